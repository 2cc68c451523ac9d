"""The options of the embedded exchange in guard.yaml, checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard.errors import ConfigurationError, Problem
from guard_sim.coins import chosen
from guard_sim.dialects import DIALECTS
from guard_sim.schedule import planned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Options", "read_options"]

_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the embedded exchange is set up.

    Parameters
    ----------
    seed
        Makes the market: same seed and schedule, same market.
    symbols, count
        Which coins: a list such as [BTC/USDT, MOON/USDT], or the first `count` (1..200); by default all 16.
    schedule
        ``demo``, ``calm``, or a list of {pattern, symbol, at}; see `guard_sim.schedule`.
    port, inbox
        Ports of the exchange and of the inbox for Apprise's json:// posts; 0 lets the system choose. `inbox` None: no inbox.
    bot
        Whether the demo bot trades on it, asking guard before each order.
    snapshot
        The snapshot or state folder the demo bot asks; empty: where `guard.client.Guard` looks by itself.
    speed
        1. Other speeds would move the exchange's clock away from the machine's; for virtual time see `guard_sim.tape`.
    dialect
        ``binance``, ``kucoin`` or ``gate``: whose protocol it speaks, and whose class of ccxt reads it.
    ccxt
        Options for the ccxt connector that reads it, such as ``stall_after_s``.
    """

    seed: int = 7
    symbols: Sequence[str] | None = None
    count: int | None = None
    schedule: Any = "demo"
    port: int = 0
    inbox: int | None = None
    bot: bool = False
    snapshot: str = ""
    speed: float = 1
    dialect: str = "binance"
    ccxt: Mapping[str, Any] = field(default_factory=dict)

    def server(self) -> dict[str, Any]:
        """Return what the server is told."""
        return {
            "dialect": self.dialect,
            "seed": self.seed,
            "symbols": None if self.symbols is None else list(self.symbols),
            "count": self.count,
            "schedule": self.schedule,
            "port": self.port,
            "inbox": self.inbox,
        }


def read_options(name: str, given: Mapping[str, Any]) -> Options:
    """Return the options of the exchange called `name`; raises ConfigurationError naming every mistake."""
    problems = list(_problems(name, given))
    if not problems:
        options = Options(**given)
        try:
            planned(options.schedule, [coin.symbol for coin in chosen(options.symbols, options.count)])
        except ConfigurationError as error:
            problems = list(error.problems)
        else:
            return options
    raise ConfigurationError(*problems)


def _problems(name: str, given: Mapping[str, Any]) -> Iterator[Problem]:
    known = set(Options.__dataclass_fields__)
    for key in sorted(set(given) - known):
        yield _problem(name, f"unknown option {key!r}", f"allowed are {', '.join(sorted(known))}")
    for key, (is_good, needed) in _CHECKS.items():
        if key in given and not is_good(given[key]):
            yield _problem(name, f"{key} is {given[key]!r}", f"{needed} is needed")


def _problem(name: str, message: str, hint: str) -> Problem:
    return Problem("guard.yaml", 1, 1, "S003", "sim-option", "error", f"exchange {name}: {message}", hint)


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _PORT_MAX


_CHECKS: dict[str, tuple[Any, str]] = {
    "seed": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "port": (_is_port, "a port from 0 (choose) to 65535"),
    "inbox": (lambda value: value is None or _is_port(value), "a port from 0 (choose) to 65535, or null"),
    "bot": (lambda value: isinstance(value, bool), "true or false"),
    "snapshot": (lambda value: isinstance(value, str), "a path"),
    "speed": (lambda value: value == 1 and not isinstance(value, bool), "1"),
    "dialect": (lambda value: value in DIALECTS, f"one of {', '.join(DIALECTS)}"),
    "ccxt": (lambda value: isinstance(value, dict), "a mapping"),
}
