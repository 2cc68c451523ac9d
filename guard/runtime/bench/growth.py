"""Events a second as markets grow from 100 to 10,000, at the same rate of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged
from guard.runtime.bench.subject import best_build, fold, hurried, lived, program, quiet
from guard.runtime.bench.workload import Markets, batches, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from guard.model import Batch
    from guard.pipeline import Pipeline
    from guard.runtime.bench.plan import Plan
    from guard.runtime.bench.subject import Build

__all__ = ["measure"]

_FEW, _MANY = 100, 10_000
_PER_SECOND = 50_000.0
_FALL_MAX = 2.5
_LIVE_S = 60


class Work(NamedTuple):
    """What is done to a pipeline with each batch of rows, and before any of them."""

    title: str
    made_ready: Callable[[Pipeline], Pipeline]
    done: Callable[[Pipeline, list[Batch]], object]


def measure(plan: Plan) -> Iterator[Row]:
    """Yield how many times longer an event takes with many markets: folding it in, and the full pipeline."""
    build = best_build(plan)
    many = max(200, int(_MANY * plan.scale))
    works = {
        "g.state": Work("state per event", _quieted, _folded),
        "g.full": Work("full pipeline per event", hurried, _processed),
    }
    tasks = [task for count in (_FEW, many) for task in _tasks(plan, count, build, list(works.values()))]
    figures = interleaved(tasks, plan.rounds)
    for place, (key, work) in enumerate(works.items()):
        row = Row(
            key,
            f"{work.title}, {many:,} markets against {_FEW}",
            "ns/event",
            build.name,
            Bar(_FALL_MAX, is_ceiling=True),
            reference_name=f"{_FEW} markets",
        )
        yield build.judge(judged(row, figures[len(works) + place], figures[place]))


def _tasks(plan: Plan, count: int, build: Build, works: Sequence[Work]) -> Iterator[Callable[[], float]]:
    """Yield one task for each kind of work, each with a pipeline of its own that goes on from round to round."""
    markets = Markets(count)
    events = plan.events(20_000, 300_000, is_jitted=build.is_jitted)
    rules = program()
    for work in works:
        columns = stream(markets, events * (plan.rounds + 1), per_second=_PER_SECOND)
        subject = work.made_ready(lived(rules, markets, is_jitted=build.is_jitted, seconds=_LIVE_S))
        starts = iter(range(0, columns.rows, events))

        def once(
            subject: Pipeline = subject, done: Callable[[Pipeline, list[Batch]], object] = work.done, starts: Iterator[int] = starts
        ) -> float:
            start = next(starts)
            rows = batches(columns.where(slice(start, start + events)))  # noqa: B023 - see below
            fed = rows if build.is_jitted else [batch.plain() for batch in rows]
            return 1e9 * timed(lambda: done(subject, fed), plan.clock) / events

        yield once


def _quieted(subject: Pipeline) -> Pipeline:
    quiet(subject.engine.kernel)
    return subject


def _folded(subject: Pipeline, rows: list[Batch]) -> int:
    return fold(subject.engine.kernel, rows)


def _processed(subject: Pipeline, rows: list[Batch]) -> int:
    return sum(len(subject.process(batch).verdicts) for batch in rows)
