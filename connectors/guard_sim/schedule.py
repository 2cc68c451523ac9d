"""What happens when on the embedded exchange, and the truth about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EVERYWHERE", "PATTERNS", "SCHEDULES", "Act", "Truth", "planned"]

EVERYWHERE = "*"
PATTERNS = ("flash_crash", "frozen_feed", "layering", "market_drop", "pump_dump", "spread_blowout", "wash_trading")
# Not manipulation: quarantining a market for one of these is a mistake.
HARMLESS = frozenset({"market_drop"})
_ACTS_MAX = 1000
_AT_MAX_S = 7 * 86_400.0


class Act(NamedTuple):
    """One thing that will happen: `pattern` on `symbol` (``*`` = all), `at_s` seconds after the start."""

    pattern: str
    symbol: str
    at_s: float


SCHEDULES: dict[str, tuple[Act, ...]] = {
    "calm": (),
    "demo": (
        Act("wash_trading", "SUDS/USDT", 10.0),
        Act("pump_dump", "MOON/USDT", 35.0),
        Act("layering", "LAYR/USDT", 50.0),
        Act("spread_blowout", "YAWN/USDT", 70.0),
        Act("market_drop", EVERYWHERE, 85.0),
    ),
}


@dataclass
class Truth:
    """What one act did, in microseconds since 1970; None until it happened. `phases` are (name, start) in order."""

    pattern: str
    symbol: str
    planned_us: int
    started_us: int | None = None
    ended_us: int | None = None
    phases: list[tuple[str, int]] = field(default_factory=list)

    @property
    def is_harmless(self) -> bool:
        """Whether quarantining a single market for it would be a mistake."""
        return self.pattern in HARMLESS

    def enter(self, phase: str, at_us: int) -> None:
        """Note that a phase begins."""
        if self.started_us is None:
            self.started_us = at_us
        self.phases.append((phase, at_us))

    def end(self, at_us: int) -> None:
        """Note that it is over."""
        self.ended_us = at_us

    def document(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        return {
            "pattern": self.pattern,
            "symbol": self.symbol,
            "harmless": self.is_harmless,
            "planned_us": self.planned_us,
            "started_us": self.started_us,
            "ended_us": self.ended_us,
            "phases": [{"phase": phase, "at_us": at_us} for phase, at_us in self.phases],
        }


def planned(schedule: object, symbols: Iterable[str]) -> tuple[Act, ...]:
    """Read a schedule: ``demo``, ``calm``, or a list of ``{pattern, symbol, at}`` with `at` in seconds (``35`` or ``35s``).

    Named schedules leave out coins that this exchange does not have. Raises ConfigurationError, naming every mistake.
    """
    known = set(symbols) | {EVERYWHERE}
    if isinstance(schedule, str) and schedule in SCHEDULES:
        return tuple(act for act in SCHEDULES[schedule] if act.symbol in known)
    if not isinstance(schedule, (list, tuple)):
        raise ConfigurationError(_problem(f"schedule must be {', '.join(SCHEDULES)} or a list of acts, found {schedule!r}"))
    if len(schedule) > _ACTS_MAX:
        raise ConfigurationError(_problem(f"at most {_ACTS_MAX} acts, found {len(schedule)}"))
    acts: list[Act] = []
    problems: list[Problem] = []
    for number, entry in enumerate(schedule):
        found = entry if isinstance(entry, Act) else _act(entry)
        if isinstance(found, str):
            problems.append(_problem(f"act {number}: {found}"))
        elif complaint := _complaint(found, known):
            problems.append(_problem(f"act {number}: {complaint}"))
        else:
            acts.append(found)
    if problems:
        raise ConfigurationError(*problems)
    return tuple(acts)


def _act(entry: object) -> Act | str:
    if not isinstance(entry, dict) or set(entry) - {"symbol"} != {"pattern", "at"}:
        return f"an act is {{pattern, symbol, at}}, found {entry!r}"
    at = entry["at"]
    try:
        at_s = float(at.removesuffix("s") if isinstance(at, str) else at)
    except (TypeError, ValueError):
        return f"at must be seconds such as 35 or 35s, found {at!r}"
    return Act(str(entry["pattern"]), str(entry.get("symbol", EVERYWHERE)), at_s)


def _complaint(act: Act, known: set[str]) -> str:
    if act.pattern not in PATTERNS:
        return f"no pattern {act.pattern!r}; there are {', '.join(PATTERNS)}"
    if act.symbol not in known:
        return f"no symbol {act.symbol!r} on this exchange"
    if act.symbol == EVERYWHERE and act.pattern not in {"market_drop", "frozen_feed"}:
        return f"{act.pattern} needs one symbol"
    if act.pattern == "market_drop" and act.symbol != EVERYWHERE:
        return "market_drop is about all symbols: leave symbol out"
    if not 0.0 <= act.at_s <= _AT_MAX_S:
        return f"at must lie between 0 and {_AT_MAX_S:.0f} seconds, found {act.at_s}"
    return ""


def _problem(message: str) -> Problem:
    return Problem("guard.yaml", 1, 1, "S002", "sim-schedule", "error", f"exchange sim: {message}")
