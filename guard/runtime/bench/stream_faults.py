"""How long a frame that no parser takes keeps the next good one from arriving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.runtime.bench.connected import Exchange
from guard.runtime.bench.rows import Bar, Row, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.runtime.bench.plan import Plan

__all__ = ["measure"]

_GOOD_S = 1.0
_PATIENCE_S = 5.0


def measure(plan: Plan) -> Iterator[Row]:
    """Yield the seconds between a bad frame and the good one behind it."""
    with Exchange("trades", 2) as exchange:
        stock = exchange.ask("stock", bad=1, wait_s=_PATIENCE_S)
        told = f"in {stock['seconds']:.3g} s" if stock["received"] else f"nothing in {_PATIENCE_S:.0f} s"
        for tier in ("generic", "fast"):
            answers = [exchange.ask(tier, bad=1, wait_s=_PATIENCE_S) for _ in range(plan.rounds)]
            row = Row("q", "a bad frame until the next good one", "s", tier, Bar(_GOOD_S, is_ceiling=True))
            times = [answer["seconds"] if answer["received"] else _PATIENCE_S for answer in answers]
            yield judged(row, times)._replace(note=f"stock ccxt: {told}")
