"""Features, detectors, fifteen rules, quarantine and routing over a stream, as replay runs them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from guard.errors import ConfigurationError, Unavailable
from guard.runtime.bench.past import beginnings
from guard.runtime.bench.peer import Peer
from guard.runtime.bench.recordings import BATCH_ROWS, in_memory, recorded, replayed, write_recording
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, skipped, unjudged
from guard.runtime.bench.subject import Warmed, best_build
from guard.runtime.bench.workload import Columns, Markets, batches, joined, stream, trades_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.runtime.bench.plan import Plan
    from guard.runtime.bench.subject import Build

__all__ = ["measure"]

_MARKETS = 100
_PER_SECOND = 50_000.0
_LONG = 1_000_000
_LIVE_S = 1_800
_RATE_MIN = 4e6
_TIMES = {"nautilus": ("b.nautilus", 40.0, "no-op backtest"), "river": ("b.river", 1_000.0, "25 rolling sums")}


def measure(plan: Plan) -> Iterator[Row]:
    """Yield events a second of the full pipeline, and how many times cheaper a trade is than in others."""
    build = best_build(plan)
    markets = Markets(_MARKETS)
    long = stream(markets, _LONG, per_second=_PER_SECOND)
    columns = long.where(slice(0, plan.events(60_000, _LONG, is_jitted=build.is_jitted)))
    yield _rate(plan, markets, columns, build)
    trades = trades_of(columns)
    ours = _task(plan, markets, trades, is_book=False, build=build)
    for name, (key, times, what) in _TIMES.items():
        row = Row(
            key,
            f"full pipeline per trade, times cheaper than {name}'s {what}",
            "ns/trade",
            build.name,
            Bar(times, is_ceiling=False),
        )
        try:
            with Peer(name, plan.peers, trades_of(long), markets) as peer:
                mine, theirs = interleaved([ours, peer.per_event], plan.rounds)
                row = row._replace(reference_name=peer.name)
            row = judged(row, [1e9 * each for each in mine], [1e9 * each for each in theirs], is_inverse=True)
        except Unavailable as why:
            (mine,) = interleaved([ours], plan.rounds)
            row = unjudged(row, [1e9 * each for each in mine], str(why))
        yield build.judge(row)


def _rate(plan: Plan, markets: Markets, columns: Columns, build: Build) -> Row:
    """Return events a second from a Parquet file to the decision log."""
    row = Row(
        "b.rate", "replay from Parquet, 100 markets, 15 rules, one core", "events/s", build.name, Bar(_RATE_MIN, is_ceiling=False)
    )
    warmed = Warmed(markets, is_jitted=build.is_jitted, behind=plan.behind(_LIVE_S))
    with TemporaryDirectory(prefix="guard-bench-") as folder:
        path = Path(folder) / "events.parquet"
        try:
            write_recording(path, markets, joined(beginnings(markets), columns))
        except ConfigurationError as error:
            return skipped(row, str(error))

        def once() -> float:
            subject = warmed.fresh()
            return columns.rows / timed(lambda: replayed(subject, recorded(path), build, clock=plan.clock), plan.clock)

        (rates,) = interleaved([once], plan.rounds)
    return build.judge(judged(row, rates))


def _task(plan: Plan, markets: Markets, columns: Columns, *, is_book: bool, build: Build) -> Callable[[], float]:
    warmed = Warmed(markets, is_jitted=build.is_jitted, behind=plan.behind(_LIVE_S), is_book=is_book)
    rows = batches(columns, BATCH_ROWS)

    def once() -> float:
        subject = warmed.fresh()
        return timed(lambda: replayed(subject, in_memory(rows), build, clock=plan.clock), plan.clock) / columns.rows

    return once
