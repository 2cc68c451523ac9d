"""How long a checkpoint holds the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from guard.errors import Unavailable
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, skipped
from guard.runtime.bench.subject import best_build, both_builds, lived, program
from guard.runtime.bench.workload import Markets
from guard.runtime.keeper import Keeper, Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.model.ports import Clock
    from guard.pipeline import Pipeline
    from guard.runtime.bench.plan import Plan
    from guard.runtime.bench.subject import Build

__all__ = ["measure"]

_MARKETS = 500
_PAUSE_MS_MAX = 1.0
_LIVE_S = 30


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the longest turn of the event loop that a checkpoint of all markets takes, plain and compiled."""
    best = best_build(plan)
    builds = both_builds(plan)
    markets = Markets(max(20, int(_MARKETS * plan.scale)))
    title = f"pause of a checkpoint, {markets.count} markets, 15 rules"
    bar = Bar(_PAUSE_MS_MAX, is_ceiling=True)
    if not best.is_jitted:
        yield skipped(Row("k.jitted", title, "ms", "jitted", bar), best.why_not)
    figures = interleaved([_task(plan, markets, build) for build in builds], plan.rounds)
    for build, figure in zip(builds, figures, strict=True):
        yield judged(Row(f"k.{build.name}", title, "ms", build.name, bar), figure)


class _Standing:
    """Time stands where the markets' events ended, so that none of them is too old to be kept; durations are the machine's."""

    def __init__(self, clock: Clock, at_us: int) -> None:
        self.monotonic_us = clock.monotonic_us
        self.sleep = clock.sleep
        self._at_us = at_us

    def now_us(self) -> int:
        return self._at_us


def _task(plan: Plan, markets: Markets, build: Build) -> Callable[[], float]:
    subject = lived(program(), markets, is_jitted=build.is_jitted, seconds=max(5, int(_LIVE_S * plan.scale)))
    return lambda: _longest_ms(subject, _Standing(plan.clock, subject.now_us))


def _longest_ms(subject: Pipeline, clock: Clock) -> float:
    """Write a checkpoint of all markets to a new file. Raises Unavailable where one is missing there."""
    kernel = subject.engine.kernel
    assert isinstance(kernel, Rows)
    with TemporaryDirectory() as folder:
        keeper = Keeper(subject, kernel, Path(folder) / "checkpoint", clock=clock, committed=_committed)
        timed(lambda: asyncio.run(keeper.keep()), clock)
        health = keeper.health
    if health.failures or health.markets != len(subject.engine.watched):
        raise Unavailable(f"{health.markets} of {len(subject.engine.watched)} markets were kept")
    return health.pause_max_us / 1e3


async def _committed() -> bool:
    return True
