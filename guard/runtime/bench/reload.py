"""How long a reload of the rules holds the event loop where no window is new."""

from __future__ import annotations

import statistics
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from guard.dsl import compile_rules, load_rules
from guard.errors import GuardError
from guard.features.kernel import Kernel
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, skipped
from guard.runtime.bench.subject import Build, best_build, both_builds, lived, program
from guard.runtime.bench.workload import Markets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.dsl import Program
    from guard.pipeline import Pipeline
    from guard.runtime.bench.plan import Plan

__all__ = ["changed", "measure"]

_MARKETS = 100
_PAUSE_MS_MAX = 1.0
_RELOADS = 20
_LIVE_S = 30
_SECOND_US = 1_000_000
_BEFORE, _AFTER = "when: pump.score > 0.6", "when: pump.score > 0.65"


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the pause of a reload that changes a threshold of one rule of fifteen, plain and compiled."""
    best = best_build(plan)
    builds = both_builds(plan)
    markets = Markets(max(10, int(_MARKETS * plan.scale)))
    title = f"pause of a reload without a new window, {markets.count} markets, 15 rules"
    bar = Bar(_PAUSE_MS_MAX, is_ceiling=True)
    if not best.is_jitted:
        yield skipped(Row("j.jitted", title, "ms", "jitted", bar), best.why_not)
    figures = interleaved([_task(plan, markets, build) for build in builds], plan.rounds)
    for build, figure in zip(builds, figures, strict=True):
        judging = build if build.is_jitted else Build(is_jitted=False, why_not=best.why_not or "told beside the compiled kernel")
        yield judging.judge(judged(Row(f"j.{build.name}", title, "ms", build.name, bar), figure))


def changed() -> Program:
    """Return the bench's rules with another threshold in one of them."""
    text = Path(__file__).with_name("rules.yaml").read_text(encoding="utf-8")
    if text.count(_BEFORE) != 1:
        raise GuardError(f"the bench's rules are others than it knows: {_BEFORE!r} is not there once")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(text.replace(_BEFORE, _AFTER), encoding="utf-8")
        return compile_rules(load_rules([path]))


def _task(plan: Plan, markets: Markets, build: Build) -> Callable[[], float]:
    """Return what reloads a pipeline back and forth, each time after all that follows from the last, and tells the median pause."""
    rules = program()
    subject = lived(rules, markets, is_jitted=build.is_jitted, seconds=max(5, int(_LIVE_S * plan.scale)))
    sets = cycle((_prepared(changed(), subject), _prepared(rules, subject)))

    def once() -> float:
        return 1e3 * statistics.median(_pause(subject, next(sets), plan) for _ in range(_RELOADS))

    return once


def _prepared(rules: Program, subject: Pipeline) -> Program:
    """Do what a reload does in a thread."""
    Kernel.prepare(rules.leaves)
    rules.prepare([watched.facts for watched in subject.engine.watched])
    return rules


def _pause(subject: Pipeline, rules: Program, plan: Plan) -> float:
    subject.advance(subject.now_us + _SECOND_US)
    return timed(lambda: subject.load(rules, subject.now_us), plan.clock)
