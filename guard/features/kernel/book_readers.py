"""How the fields of the book are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import slots as s
from guard.features.kernel.book import spread
from guard.features.kernel.depths import resting
from guard.features.kernel.reading import tick

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["read_book_slot", "read_crossed", "read_depth", "read_spread", "read_tick"]


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
