"""How long a fresh process takes until its engine has taken a trade, against one that imports ccxt.pro."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from guard.errors import Unavailable
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged
from guard.runtime.bench.subject import best_build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.runtime.bench.plan import Plan

__all__ = ["measure"]

_RATIO_MAX = 0.7
_CHILD_S = 120.0


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the wall time of both processes, from start to end; the first round, which fills caches, is thrown away."""
    if find_spec("ccxt") is None:
        raise Unavailable("ccxt is missing")
    build = best_build(plan)
    ours, theirs = interleaved(
        [_process(plan, "-m", "guard.runtime.bench.child", "ready", build.name), _process(plan, "-c", "import ccxt.pro")],
        plan.rounds,
    )
    row = Row("h", "engine ready in a fresh process, caches warm", "s", build.name, Bar(_RATIO_MAX, is_ceiling=True))
    yield build.judge(judged(row._replace(reference_name="import ccxt.pro"), ours, theirs))


def _process(plan: Plan, *words: str) -> Callable[[], float]:
    def once() -> None:
        try:
            subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, timeout=_CHILD_S)  # noqa: S603 - our own
        except subprocess.SubprocessError as error:
            raise Unavailable(str(error)) from error

    return lambda: timed(once, plan.clock)
