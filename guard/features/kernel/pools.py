"""What the markets of an exchange learn together, kept by the first one of them, when states of single markets are taken up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel.hours import POOL, POOL_DAYS, POOL_END, POOL_LAST

if TYPE_CHECKING:
    from guard.features.kernel.layout import Layout

__all__ = ["give_pool", "keep_pool"]


def keep_pool(layout: Layout, x: list[float], held: list[float]) -> None:
    """Let the first market, whose new row is `x`, go on with the curves that it held where they know more days."""
    for curve in layout.curves:
        if _days(held, curve.offset) > _days(x, curve.offset):
            first, end = curve.offset + POOL, curve.offset + POOL_END
            x[first:end] = held[first:end]


def give_pool(layout: Layout, x: list[float], held: list[float]) -> None:
    """Take the curves that a market's new row `x` brings out of it, and into that of the first market where they know more days."""
    for curve in layout.curves:
        first, end = curve.offset + POOL, curve.offset + POOL_END
        if _days(x, curve.offset) > _days(held, curve.offset):
            held[first:end] = x[first:end]
        x[first:end] = [0.0] * (end - first)


def _days(x: list[float], offset: int) -> float:
    return sum(x[offset + POOL_DAYS : offset + POOL_LAST])
