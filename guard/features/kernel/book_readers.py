"""How the fields of the book are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import slots as s
from guard.features.kernel.book import reach, spread
from guard.features.kernel.depths import resting, resting_on
from guard.features.kernel.reading import tick

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["read_book_slot", "read_crossed", "read_depth", "read_depth_on", "read_slippage", "read_spread", "read_tick"]


def read_tick(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the price step."""
    return tick(x)


def read_book_slot(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read float `a` of the book, unknown while it is not whole or crossed."""
    return x[p[at + s.L_A]] if i[s.BOOK_OK] != 0 and i[s.CROSSED] == 0 else s.NAN


def read_spread(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the spread over the mid."""
    return spread(x) if i[s.BOOK_OK] != 0 else s.NAN


def read_crossed(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read whether the last message left the book crossed."""
    return float(i[s.CROSSED]) if i[s.BOOK_OK] != 0 else s.NAN


def read_depth(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read what rests within the band ``q[a]`` of the mid; `b` = 1 bids, -1 asks, 0 both."""
    return resting(x, i, p, q[p[at + s.L_A]], p[at + s.L_B])


def read_depth_on(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int, walks: Floats
) -> float:  # fmt: skip
    """Read what `read_depth` does, with what the depths of one evaluation share."""
    return resting_on(x, i, p, q[p[at + s.L_A]], p[at + s.L_B], walks)


def read_slippage(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read how far from the mid an order of ``q[a]`` USD would trade; `b` = -1 walks the asks, 1 the bids."""
    mid = x[s.MID]
    wanted = q[p[at + s.L_A]]
    if i[s.BOOK_OK] == 0 or not mid > 0.0 or not x[s.USD_RATE] > 0.0 or not wanted > 0.0:
        return s.NAN
    taken = reach(x, i, p[s.P_BOOK], p[at + s.L_B], wanted / x[s.USD_RATE])
    if not taken > 0.0:
        return s.NAN
    mean = wanted / x[s.USD_RATE] / taken
    return mean / mid - 1.0 if p[at + s.L_B] < 0 else 1.0 - mean / mid
