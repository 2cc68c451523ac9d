"""What the engine costs for an event that arrives live, against what ccxt takes to parse one trade."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from guard.errors import Unavailable
from guard.model.decision import NOTHING
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, skipped, unjudged
from guard.runtime.bench.subject import Warmed, best_build, both_builds
from guard.runtime.bench.workload import Markets, stream
from guard.runtime.inlet import Inlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.model import Batch
    from guard.model.ports import Clock
    from guard.pipeline import Pipeline
    from guard.runtime.bench.plan import Plan
    from guard.runtime.bench.subject import Build

__all__ = ["measure"]

_BARS = {"jitted": 0.10, "plain": 0.60}
_MARKETS = 100
_PER_SECOND = 5_000.0
# What arrives in one turn of the loop at that rate: a connector's frame brings a few rows at once.
_TURN_ROWS = 8
_LIVE_S = 1_800
_PARSES = 5_000
_TRADE = {
    "e": "trade", "E": 1579481530911, "s": "ETHBTC", "t": 158410082, "p": "0.01914100", "q": "0.00700000", "b": 586187049,
    "a": 586186710, "T": 1579481530910, "m": False, "M": True,
}  # fmt: skip


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the cost of inlet, kernel, rules and routing for an event, in parses of ccxt."""
    best = best_build(plan)
    builds = both_builds(plan)
    rows = {
        name: Row(f"d.{name}", "engine per live event, 100 markets, 15 rules", "ns/event", name, Bar(most, is_ceiling=True))
        for name, most in _BARS.items()
    }
    markets = Markets(_MARKETS)
    tasks = [_task(plan, markets, build) for build in builds]
    try:
        *figures, parse = interleaved([*tasks, _parser(plan)], plan.rounds)
    except Unavailable as why:
        for build, figure in zip(builds, interleaved(tasks, plan.rounds), strict=True):
            yield unjudged(rows.pop(build.name), figure, str(why))
        return
    for build, figure in zip(builds, figures, strict=True):
        yield judged(rows.pop(build.name)._replace(reference_name="ccxt binance parse_ws_trade"), figure, parse)
    for row in rows.values():
        yield skipped(row, best.why_not)


def _task(plan: Plan, markets: Markets, build: Build) -> Callable[[], float]:
    # Compiled, thirty thousand events would tell most of the first evaluation of each market.
    columns = stream(markets, plan.events(30_000, 300_000, is_jitted=build.is_jitted), per_second=_PER_SECOND)
    warmed = Warmed(markets, is_jitted=build.is_jitted, behind=plan.behind(_LIVE_S))
    rows = list(zip(*(column.tolist() for column in columns), strict=True))

    def once() -> float:
        subject = warmed.fresh()
        return 1e9 * timed(lambda: drive(subject, rows, plan.clock), plan.clock) / columns.rows

    return once


def drive(subject: Pipeline, rows: list[tuple[Any, ...]], clock: Clock) -> int:
    """Put rows into an inlet, flush once per turn of eight, and return how many decisions said something.

    A trade and a book message of one level are put by place, as guard_ccxt does.
    """
    told = 0
    turn: list[Callable[[], None]] = []

    def take(batch: Batch) -> None:
        nonlocal told
        told += subject.process(batch) is not NOTHING

    inlet = Inlet(take, call_soon=turn.append, now_us=clock.now_us, monotonic_us=clock.monotonic_us)
    put = inlet.put
    for start in range(0, len(rows), _TURN_ROWS):
        for kind, market, at_us, received_us, price, amount, side, key, flags in rows[start : start + _TURN_ROWS]:
            put(kind, market, at_us, received_us, price, amount, side, key, flags)
        turn.pop()()
    return told


def _parser(plan: Plan) -> Callable[[], float]:
    """Return what times ccxt's parsing of one trade message, decoded already. Raises Unavailable without ccxt."""
    try:
        # A yardstick by its name: guard itself imports no ccxt.
        exchange = import_module("ccxt.pro").binance()
    except ImportError as error:
        raise Unavailable(f"ccxt is missing: {error}") from error
    market = exchange.safe_market("ETHBTC", None, None, "spot")

    def parse() -> None:
        for _ in range(_PARSES):
            exchange.parse_ws_trade(_TRADE, market)

    return lambda: 1e9 * timed(parse, plan.clock) / _PARSES
