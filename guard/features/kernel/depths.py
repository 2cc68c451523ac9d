"""What rests near the mid, and how much of it usually does: the book's depth and its baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.baselines import observe
from guard.features.kernel.book import depth, depth_on, spread
from guard.features.kernel.reading import tick

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["NOT_BEGUN", "resting", "resting_on", "sample_depths"]

_TICKS_MIN: Final = 5.0
_SPREADS_MIN: Final = 2.0
_SAMPLE_MAX_S: Final = 60
# What the depths of one evaluation share: the least band, below 0 until it is read, and what `book.depth_on` keeps of each side.
_LEAST: Final = 0
_BIDS: Final = 1
_ASKS: Final = 4
NOT_BEGUN: Final = (-1.0, s.NAN, 0.0, 0.0, s.NAN, 0.0, 0.0)


def resting(x: Floats, i: Integers, p: Integers, band: float, side: int) -> float:
    """Return what rests within `band` of the mid, in quote; `side` = 1 bids, -1 asks, 0 both; NaN without a whole, straight book.

    The band is at least 2 usual spreads and 5 ticks.
    """
    reach = least_band(x, i, p)
    if reach != reach:
        return s.NAN
    if reach < band:
        reach = band
    if side != 0:
        return depth(x, i, p[s.P_BOOK], side, reach)
    return depth(x, i, p[s.P_BOOK], 1, reach) + depth(x, i, p[s.P_BOOK], -1, reach)


def resting_on(x: Floats, i: Integers, p: Integers, band: float, side: int, walks: Floats) -> float:
    """Return what `resting` does; `walks` is `NOT_BEGUN` where an evaluation begins, and all its depths share it."""
    reach = walks[_LEAST]
    if reach < 0.0:
        reach = least_band(x, i, p)
        walks[_LEAST] = reach
    if reach != reach:
        return s.NAN
    if reach < band:
        reach = band
    total = 0.0
    if side >= 0:
        total = depth_on(x, i, p[s.P_BOOK], 1, reach, walks, _BIDS)
    if side <= 0:
        total += depth_on(x, i, p[s.P_BOOK], -1, reach, walks, _ASKS)
    return total


def least_band(x: Floats, i: Integers, p: Integers) -> float:
    """Return 2 usual spreads or 5 ticks, whichever is more, over the mid; NaN without a whole, straight book."""
    width = spread(x) if i[s.BOOK_OK] != 0 else s.NAN
    if width != width:
        return s.NAN
    usual = p[s.P_USUAL_SPREAD]
    if usual >= 0 and x[usual] == x[usual]:
        width = x[usual]
    spreads = _SPREADS_MIN * width
    ticks = _TICKS_MIN * tick(x) / x[s.MID]
    # The tick may be unknown.
    return ticks if ticks > spreads else spreads


def sample_depths(x: Floats, i: Integers, p: Integers, q: Floats) -> None:
    """Observe the depths that held since the last sample, once a second: to be called before a message changes the book."""
    second = i[s.AT] // s.SECOND_US
    first = p[s.P_DEPTHS]
    for d in range(first, first + p[s.P_DEPTH_COUNT] * s.DEPTH_STRIDE, s.DEPTH_STRIDE):
        b = p[d + s.D_BASELINE]
        slot = p[b + s.B_SLOT]
        before = i[slot]
        if second <= before:
            continue
        i[slot] = second
        value = resting(x, i, p, q[p[d + s.D_BAND]], p[d + s.D_SIDE])
        # Nobody knows since when the first one held.
        if before < 0 or value != value:
            continue
        count = float(min(second - before, _SAMPLE_MAX_S))
        observe(x, p, q, b, value, count, count * s.SECOND_US / p[b + s.B_DECAY_US])
