"""What a run found, held against what the embedded exchange staged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.model import IsolationState, Level
from guard.model.moments import stamp
from guard.runtime.blocked import BlockedTime
from guard.runtime.lines import DecisionLog, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model import Decision

__all__ = ["RunRecord", "bot_lines"]

# The rule that is meant to find a pattern, where its name differs.
_RULES = {"layering": "spoofing"}
# A quarantine this long after a staged manipulation still belongs to it: windows and `for` end later than the act.
_AFTERMATH_US = 120_000_000
_KEPT_MAX = 100_000


class _Found(NamedTuple):
    at_us: int
    rule: str
    market: str


class _Opening(NamedTuple):
    at_us: int
    id: str
    target: str
    market: str


class RunRecord:
    """Collects the decisions of a run for its summary: counts of all of them, times of the first hundred thousand."""

    def __init__(self) -> None:
        self.log = DecisionLog()
        self._found: list[_Found] = []
        self._openings: list[_Opening] = []
        self._blocked = BlockedTime()

    def take(self, decision: Decision) -> None:
        """Take one decision."""
        for record in lines_of(decision):
            self.log.write(record)
        for transition in decision.transitions:
            self._blocked.take(transition)
            is_opening = transition.quarantine.state is IsolationState.QUARANTINED and transition.actor == "guard"
            if is_opening and len(self._openings) < _KEPT_MAX:
                held = transition.quarantine
                self._openings.append(_Opening(transition.at_us, held.id, str(held.target), str(held.hold.market or "")))
        for verdict in decision.verdicts:
            if verdict.level >= Level.WARNING and len(self._found) < _KEPT_MAX:
                self._found.append(_Found(verdict.at_us, verdict.rule, str(verdict.market)))

    def summary(self, *, events: int, markets: int, seconds: float, now_us: int) -> dict[str, Any]:
        """Return the figures of the run."""
        return {
            "type": "summary",
            "events": events,
            "markets": markets,
            "seconds": round(seconds, 3),
            "events_per_second": round(events / max(seconds, 1e-6)),
            "verdicts": self.log.verdicts,
            "quarantines": len(self.log.quarantines),
            "blocked_minutes": round(self._blocked.minutes(now_us), 3),
            "digest": self.log.digest,
        }

    def against(self, truth: Sequence[dict[str, Any]], *, can_tell: Callable[[str, str], bool]) -> dict[str, Any]:
        """Return each staged act with the seconds until it was found and blocked, and the quarantines that nothing explains.

        `truth` has pattern, market, harmless, started_us and ended_us (None = it goes on). `can_tell` says of a rule and a market
        whether it has seen enough by now; ``ready`` is False for an act that was missed because its rule had not.
        """
        acts = [act for act in truth if act["started_us"] is not None]
        staged = [self._judged(act, can_tell) for act in acts if not act["harmless"]]
        unexplained = [opening for opening in self._openings if not any(_explains(act, opening) for act in acts)]
        return {
            "truth": staged,
            "harmless": [
                {"pattern": act["pattern"], "market": act["market"], "started": stamp(act["started_us"])}
                for act in acts
                if act["harmless"]
            ],
            "false_quarantines": len({opening.id for opening in unexplained}),
            "false_targets": sorted({opening.target for opening in unexplained}),
        }

    def _judged(self, act: dict[str, Any], can_tell: Callable[[str, str], bool]) -> dict[str, Any]:
        rule = _RULES.get(act["pattern"], act["pattern"])
        found = [v.at_us for v in self._found if v.rule == rule and v.market == act["market"] and _is_during(act, v.at_us)]
        blocked = [o.at_us for o in self._openings if _explains(act, o)]
        return {
            "pattern": act["pattern"],
            "market": act["market"],
            "started": stamp(act["started_us"]),
            "found_after_s": _after(act, found),
            "blocked_after_s": _after(act, blocked),
            "ready": bool(found) or can_tell(rule, act["market"]),
        }


def _is_during(act: dict[str, Any], at_us: int) -> bool:
    ended_us = act["ended_us"]
    return bool(act["started_us"] <= at_us and (ended_us is None or at_us <= ended_us + _AFTERMATH_US))


def _explains(act: dict[str, Any], opening: _Opening) -> bool:
    return not act["harmless"] and opening.market == act["market"] and _is_during(act, opening.at_us)


def _after(act: dict[str, Any], times: Sequence[int]) -> float | None:
    return round((min(times) - act["started_us"]) / 1e6, 1) if times else None


def bot_lines(log: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the demo bot did, a line a market; empty where it left no summary."""
    markets = log[-1]["markets"] if log and log[-1].get("summary") else {}
    return [
        f"{market:<12} {tally['sent']:>4} entries sent, {tally['refused']:>3} refused, {tally['closed']:>3} closed"
        for market, tally in markets.items()
    ]
