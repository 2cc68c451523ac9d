"""``guard rules sweep`` over all cores against as many replays on one core, start-up excluded."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from guard.runtime.bench.memory import asked
from guard.runtime.bench.rows import Bar, Row, judged
from guard.runtime.bench.subject import best_build
from guard.runtime.bench.tapes import made_tape
from guard.runtime.crew import cores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.runtime.bench.plan import Plan

__all__ = ["measure"]

_VALUES = 20
_RATIO_MAX = 1.3


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the time of a sweep of 20 values against 20 replays divided by the cores, both in one fresh process a round."""
    build = best_build(plan)
    processes = cores()
    steps = max(2, int(_VALUES * min(1.0, 10 * plan.scale)))
    ours, theirs, shares = [], [], []
    with TemporaryDirectory(prefix="guard-bench-") as folder:
        paths = plan.tapes or (made_tape(plan, Path(folder)),)
        for _ in range(plan.rounds):
            found = asked("sweep", build.name, str(processes), str(steps), *map(str, paths))
            ours.append(found["sweep_s"])
            theirs.append(found["values"] * found["replay_s"] / processes)
            shares.append(found["sweep_cpu_s"] / (found["values"] * found["replay_cpu_s"]))
    whose = f"{len(paths)} tapes" if plan.tapes else "a made tape"
    title = f"a sweep of {steps} values, {whose}, {processes} cores"
    bar, note = Bar(_RATIO_MAX, is_ceiling=True), f"takes {median(shares):.2f} times the processors' time of the replays"
    row = Row("l", title, "s", build.name, bar, reference_name="replays / cores", note=note)
    yield build.judge(judged(row, ours, theirs))
