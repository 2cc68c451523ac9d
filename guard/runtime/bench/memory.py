"""What a market takes in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from guard.errors import Unavailable
from guard.runtime.bench.rounds import interleaved
from guard.runtime.bench.rows import Bar, Row, judged
from guard.runtime.bench.subject import best_build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.runtime.bench.plan import Plan

__all__ = ["asked", "measure"]

_FEW, _MANY = 1_000, 10_000
_KB_MAX = 40.0
_GROWTH_MAX = 1.1
_CHILD_S = 600.0
# Memory hardly differs between runs, and ten thousand markets take a while to fill.
_ROUNDS_MAX = 3


def measure(plan: Plan) -> Iterator[Row]:
    """Yield kilobytes a market, as the growth of a fresh process, and how that changes up to 10,000 markets."""
    build = best_build(plan)
    few, many = max(100, int(_FEW * plan.scale)), max(200, int(_MANY * plan.scale))
    rounds = min(plan.rounds, _ROUNDS_MAX)
    small, large = interleaved([_footprint(few, build.name), _footprint(many, build.name)], rounds, warm=False)
    row = Row(
        "f.market", f"memory of a market, 5 windows, 15 rules, {few:,} markets", "kB", build.name, Bar(_KB_MAX, is_ceiling=True)
    )
    yield build.judge(judged(row, small))
    row = Row(
        "f.linear",
        f"memory of a market, {many:,} markets against {few:,}",
        "kB",
        build.name,
        Bar(_GROWTH_MAX, is_ceiling=True),
        reference_name=f"{few:,} markets",
    )
    yield build.judge(judged(row, large, small))


def _footprint(count: int, build: str) -> Callable[[], float]:
    return lambda: asked("footprint", build, str(count))["bytes"] / 1e3


def asked(*words: str) -> dict[str, float]:
    """Return what a child process measured. Raises Unavailable where it fails."""
    command = [sys.executable, "-m", "guard.runtime.bench.child", *words]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_CHILD_S)  # noqa: S603 - our own module
    except subprocess.SubprocessError as error:
        raise Unavailable(f"{' '.join(words)}: {error}") from error
    return dict(json.loads(done.stdout))
