"""State per event: the kernel against the same loop in C."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import Unavailable
from guard.runtime.bench.peer import Peer
from guard.runtime.bench.plan import Behind
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, unjudged
from guard.runtime.bench.subject import Warmed, best_build, fold, quiet
from guard.runtime.bench.workload import Markets, batches, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.features.kernel import Kernel
    from guard.runtime.bench.plan import Plan

__all__ = ["measure", "upkeep"]

_MARKETS = 100
_PER_SECOND = 50_000.0
_LONG = 1_000_000


_BEHIND = Behind(60, minutes=0)


def upkeep(markets: Markets, *, is_jitted: bool = False, behind: Behind = _BEHIND) -> Callable[[], Kernel]:
    """Return what makes kernels in one state, live for a while, whose rules say nothing: what is left is the state's upkeep."""
    warmed = Warmed(markets, is_jitted=is_jitted, behind=behind)
    return lambda: quiet(warmed.fresh().engine.kernel)


def measure(plan: Plan) -> Iterator[Row]:
    """Yield what folding an event into the state costs, trades and book, 100 markets."""
    build = best_build(plan)
    row = Row("a", "state per event, 100 markets, trades and book", "ns/event", build.name, Bar(1.8, is_ceiling=True))
    markets = Markets(_MARKETS)
    long = stream(markets, _LONG, per_second=_PER_SECOND)
    columns = long.where(slice(0, plan.events(50_000, _LONG, is_jitted=build.is_jitted)))
    fresh = upkeep(markets, is_jitted=build.is_jitted)
    rows = [batch if build.is_jitted else batch.plain() for batch in batches(columns, columns.rows)]

    def ours() -> float:
        kernel = fresh()
        return 1e9 * timed(lambda: fold(kernel, rows), plan.clock) / columns.rows

    try:
        with Peer("c", plan.peers, long, markets) as twin:
            values, references = interleaved([ours, lambda: 1e9 * twin.per_event()], plan.rounds)
            row = judged(row._replace(reference_name=twin.name), values, references)
    except Unavailable as why:
        (values,) = interleaved([ours], plan.rounds)
        row = unjudged(row, values, str(why))
    yield build.judge(row)
