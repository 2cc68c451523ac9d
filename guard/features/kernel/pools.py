"""What the markets of an exchange learn together, kept by the first one of them, when states of single markets are taken up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import slots as s
from guard.features.kernel.hours import POOL, POOL_DAYS, POOL_END, POOL_LAST

if TYPE_CHECKING:
    from guard.features.kernel.layout import Layout
    from guard.features.kernel.rows import Rows

__all__ = ["carry_pools"]


def carry_pools(layout: Layout, rows: Rows, row: int, x: list[float]) -> None:
    """Take the curves of the exchange out of a market's new floats `x`, and let its first market hold those that know more days.

    Which market was the first when they were kept does not matter.
    """
    home = rows.number(row, layout.home)
    held, numbers = rows.row(home)
    for curve in layout.curves:
        first, end = curve.offset + POOL, curve.offset + POOL_END
        fullest = x[first:end] if _days(x, curve.offset) > _days(held, curve.offset) else held[first:end]
        x[first:end] = fullest if home == row else [0.0] * (end - first)
        held[first:end] = fullest
    if home != row:
        numbers[s.VERSION] += 1
        rows.set_row(home, held, numbers)


def _days(x: list[float], offset: int) -> float:
    return sum(x[offset + POOL_DAYS : offset + POOL_LAST])
