"""How windows of totals and single values are read: what most leaves are.

Every reader takes the same eight arguments: all rows `X` and `I`, the market's own rows `x` and `i`, the plan `p` and its floats
`q`, the offset `at` of the leaf's record in the plan, and the time of arrival `received`. It changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.windows import covered, edge

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["known", "read_before", "read_long", "read_long_both", "read_short", "read_short_both", "read_slot", "tick"]

_W: Final = s.L_WINDOW
_US: Final = s.L_WINDOW + s.W_US
_WIDTH: Final = s.L_WINDOW + s.W_WIDTH
_SIZE: Final = s.L_WINDOW + s.W_SIZE
_RING: Final = s.L_WINDOW + s.W_RING
_SLOT: Final = s.L_WINDOW + s.W_SLOT
_A: Final = s.L_A
_B: Final = s.L_B
_SINCE: Final = s.L_SINCE
_AT: Final = s.AT
_COLUMNS: Final = s.COLUMNS
_NAN: Final = s.NAN


def known(x: Floats, i: Integers, p: Integers, at: int) -> int:
    """Whether a leaf's stream covers its window: 1 or 0."""
    return covered(x, i, p, at + _W, p[at + _SINCE], p[at + s.L_BEGAN], p[at + s.L_DOWN])


def tick(x: Floats) -> float:
    """Return the price step: as told, else the smallest step seen, else NaN."""
    told = x[s.TICK]
    return told if told == told else x[s.TICK_SEEN]


# The short ones are written out: most of all reading is this. Up to 5 min a window is known when it is covered without a gap.
def read_short(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of column `a` over at most 5 min; `b` = ring + a."""
    us = p[at + _US]
    left = i[_AT] - us
    if left < i[p[at + _SINCE]] or left < i[p[at + _SLOT] + 1]:
        return _NAN
    return x[p[at + _A]] - x[p[at + _B] + (left // p[at + _WIDTH] - 1) % p[at + _SIZE] * _COLUMNS]


def read_long(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of column `a` over more than 5 min."""
    if known(x, i, p, at) == 0:
        return _NAN
    a = p[at + _A]
    return x[a] - x[edge(i, p, at + _W) + a]


def read_short_both(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of the columns `a` and `b` together over at most 5 min."""
    us = p[at + _US]
    left = i[_AT] - us
    if left < i[p[at + _SINCE]] or left < i[p[at + _SLOT] + 1]:
        return _NAN
    a = p[at + _A]
    b = p[at + _B]
    start = p[at + _RING] + (left // p[at + _WIDTH] - 1) % p[at + _SIZE] * _COLUMNS
    return (x[a] - x[start + a]) + (x[b] - x[start + b])


def read_long_both(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of the columns `a` and `b` together over more than 5 min."""
    if known(x, i, p, at) == 0:
        return _NAN
    a = p[at + _A]
    b = p[at + _B]
    start = edge(i, p, at + _W)
    return (x[a] - x[start + a]) + (x[b] - x[start + b])


def read_before(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read column `a` as it stood before the window."""
    return x[edge(i, p, at + _W) + p[at + _A]] if known(x, i, p, at) else _NAN


def read_slot(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read float `a` as it stands: an answer of a baseline, a rate."""
    return x[p[at + _A]]
