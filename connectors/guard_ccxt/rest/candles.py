"""One-minute candles as trade rows that baselines can be fed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.model import BUY, SELL, Flag
from guard_ccxt.stream.gate import TradeRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard_ccxt.stream.gate import Gate

__all__ = ["MINUTE_US", "candle_rows"]

MINUTE_US = 60_000_000
_FLAGS = int(Flag.INFERRED_SIDE)


def candle_rows(candle: Sequence[Any], gate: Gate, *, now_us: int) -> list[TradeRow]:
    """Return up to four trade rows that stand for a candle ``[ms, open, high, low, close, volume]``; raises MalformedEvent.

    Prices: open; low then high in a rising candle, high then low in a falling one; close; a price that repeats its
    predecessor is left out. Amounts are equal parts of the volume and sum to it. Times are spread evenly over the minute. The
    side of a row is the direction of the move to it, of the open row that of the whole candle, 0 in a flat one; all are inferred.
    An empty candle gives no row.

    Examples
    --------
    >>> from guard_ccxt.stream.gate import Gate
    >>> rows = candle_rows([1700000000000, 10.0, 12.0, 9.0, 11.0, 8.0], Gate(), now_us=1800000000000000)
    >>> [(row.price, row.amount, row.side) for row in rows]
    [(10.0, 2.0, 1), (9.0, 2.0, -1), (12.0, 2.0, 1), (11.0, 2.0, -1)]
    """
    stamp_ms, first, high, low, last, volume = candle[:6]
    if not volume:
        return []
    between = (low, high) if last >= first else (high, low)
    prices = [first]
    prices += [price for before, price in zip((first, *between), (*between, last), strict=True) if price != before]
    start_us = gate.at_us(stamp_ms, received_us=now_us, is_live=False)
    rows: list[TradeRow] = []
    before = first - (last - first)
    for place, price in enumerate(prices):
        share = gate.level(price, volume / len(prices))
        side = BUY if price > before else SELL if price < before else 0
        at_us = min(start_us + place * MINUTE_US // len(prices), now_us)
        rows.append(TradeRow(at_us, float(price), share, side, 0, _FLAGS))
        before = price
    return rows
