"""Hourly candles as trade rows: each hour is told in the shape of a like hour whose minutes are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from guard_ccxt.rest.candles import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard_ccxt.stream.gate import Gate, TradeRow

__all__ = ["HOUR_US", "hour_rows", "shapes_of"]

HOUR_US = 60 * MINUTE_US
_RATIO_MAX = 1e6


def shapes_of(rows: Iterable[TradeRow], *, since_us: int, until_us: int) -> list[list[TradeRow]]:
    """Return the rows of each whole hour in which something was traded, oldest first."""
    hours: dict[int, list[TradeRow]] = {}
    first, last = -(-since_us // HOUR_US), until_us // HOUR_US
    for row in rows:
        if first <= row.at_us // HOUR_US < last:
            hours.setdefault(row.at_us // HOUR_US, []).append(row)
    return [hours[hour] for hour in sorted(hours)]


def hour_rows(candle: Sequence[Any], shapes: Sequence[Sequence[TradeRow]], gate: Gate, *, now_us: int) -> list[TradeRow]:
    """Return rows that stand for an hour's candle ``[ms, open, high, low, close, volume]``; raises MalformedEvent.

    Spread evenly, an hour would have no empty minute and no busy one, and what is usual for a minute would be wrong. So it takes
    the rows of the hour in `shapes` whose volume is nearest (as a ratio; of two the later), with its empty minutes and its bursts:
    amounts scaled to the candle's volume, prices moved to its close. Without shapes, and without volume, there are no rows.

    Measured on twelve days of the pump tapes, 18 hours of the warming day by the hour: over the next hour the median error of
    ``vol_z(60s, baseline=6h)`` is 0.02, against 0.09 spread evenly and 0.001 where all of it came by the minute.
    """
    stamp_ms, close, volume = candle[0], candle[4], candle[5]
    if not volume or not shapes:
        return []
    start_us = gate.at_us(stamp_ms, received_us=now_us, is_live=False) // HOUR_US * HOUR_US
    total = gate.level(close, volume)
    shape = min(reversed(shapes), key=lambda rows: abs(math.log(_volume(rows) / total)))
    ratio = min(max(total / _volume(shape), 1.0 / _RATIO_MAX), _RATIO_MAX)
    moved, shift_us = float(close) / shape[-1].price, start_us - shape[0].at_us // HOUR_US * HOUR_US
    return [
        row._replace(at_us=min(row.at_us + shift_us, now_us), price=row.price * moved, amount=row.amount * ratio, key=0)
        for row in shape
    ]


def _volume(rows: Sequence[TradeRow]) -> float:
    return sum(row.amount for row in rows)
