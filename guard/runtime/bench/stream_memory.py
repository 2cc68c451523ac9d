"""What a reader of trades holds in memory after minutes, against what it held when it had warmed up."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from guard.runtime.bench.connected import Exchange
from guard.runtime.bench.rows import Bar, Row, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.runtime.bench.plan import Plan

__all__ = ["measure"]

_MARKETS = 200
_RATE = 2_000.0
_STEP_S = 10.0
_GROWTH_MAX = 2.0
# Each market remembers 512 ids of trades, which is 10 MB for all of them: they are filled first.
_WARM, _WARM_RATE = 600 * _MARKETS, 10_000.0


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the growth of resident memory, in per cent, from the first quarter of the run to the last."""
    steps = max(8, int(plan.minutes * 60 / _STEP_S))
    count = max(500, int(_RATE * _STEP_S * plan.scale))
    for tier in ("generic", "fast"):
        with Exchange("trades", _MARKETS, (tier,)) as exchange:
            exchange.ask(tier, count=max(count, int(_WARM * plan.scale)), rate=_WARM_RATE)
            exchange.ask(tier, count=count, rate=_RATE)
            held = [exchange.ask(tier, count=count, rate=_RATE)["resident"] for _ in range(steps)]
        quarter = steps // 4
        before, after = statistics.median(held[:quarter]), statistics.median(held[-quarter:])
        title = f"growth of memory over {steps * count / _RATE / 60:.3g} min at {_RATE:,.0f} trades/s"
        row = Row("r", title, "%", tier, Bar(_GROWTH_MAX, is_ceiling=True))
        told = f"{before / 1e6:.1f} MB in the first quarter, {after / 1e6:.1f} MB in the last"
        yield judged(row, [100.0 * (after / before - 1.0)])._replace(note=told)
