"""How windows of totals and single values are read: what most leaves are.

Every reader takes the same eight arguments: all rows `X` and `I`, the market's own rows `x` and `i`, the plan `p` and its floats
`q`, the offset `at` of the leaf's record in the plan, and the time of arrival `received`. It changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.windows import FULL_US

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = [
    "known_edge",
    "read_before",
    "read_long",
    "read_long_both",
    "read_short",
    "read_short_both",
    "read_slot",
    "tick",
    "unbroken_edge",
]

_US: Final = s.L_WINDOW + s.W_US
_SIZE: Final = s.L_WINDOW + s.W_SIZE
_WIDTH: Final = s.L_WINDOW + s.W_WIDTH
_RING: Final = s.L_WINDOW + s.W_RING
_SLOT: Final = s.L_WINDOW + s.W_SLOT
_KEPT: Final = s.L_WINDOW + s.W_SINCE
_BACK: Final = s.L_WINDOW + s.W_BACK
_COUNT: Final = s.L_WINDOW + s.W_COUNT
_A: Final = s.L_A
_B: Final = s.L_B
_SINCE: Final = s.L_SINCE
_BEGAN: Final = s.L_BEGAN
_DOWN: Final = s.L_DOWN
_AT: Final = s.AT
_HEAD: Final = s.CLOCK_HEAD
_NAN: Final = s.NAN
_COVERED_MIN: Final = 0.9


def known_edge(x: Floats, i: Integers, p: Integers, at: int) -> int:
    """Return where column 0 would stand at the left edge of a leaf's window; -1 where its stream does not cover it.

    The rule is that of `windows.covered`, written out because most of all reading is this: a window of up to 5 min needs full
    coverage, a longer one 90 %.
    """
    now = i[_AT]
    us = p[at + _US]
    since = i[p[at + _SINCE]]
    kept = i[p[at + _KEPT]]
    slot = p[at + _SLOT]
    place = i[slot + 1] - p[at + _BACK]
    if place < 0:
        place += p[at + _SIZE]
    left = p[at + _RING] + i[slot + _HEAD + place] * p[at + _COUNT]
    if us <= FULL_US:
        return left if now - since >= us and now - kept >= us else -1
    if since == s.NEVER:
        return -1
    down = p[at + _DOWN]
    lasted = now - i[p[at + _BEGAN]]
    if lasted > now - kept:
        lasted = now - kept
    if lasted > us:
        lasted = us
    return left if (float(lasted) - (x[down] - x[left + down])) / float(us) >= _COVERED_MIN else -1


def unbroken_edge(x: Floats, i: Integers, p: Integers, at: int) -> int:
    """Return what `known_edge` does, but -1 where the bin at the edge of a short window still holds what was before a hole.

    A sum loses nothing by it; a price from before a hole would make a move of what nobody saw.
    """
    us = p[at + _US]
    before = i[_AT] - us
    since = i[p[at + _SINCE]]
    if us <= FULL_US and since != i[p[at + _BEGAN]] and before - before % p[at + _WIDTH] < since:
        return -1
    return known_edge(x, i, p, at)


def tick(x: Floats) -> float:
    """Return the price step: as told, else the smallest step seen, else NaN."""
    told = x[s.TICK]
    return told if told == told else x[s.TICK_SEEN]


# The short ones do without that call. NEVER is later than any time.
def read_short(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of column `a` over at most 5 min; `b` = ring + a."""
    us = p[at + _US]
    left = i[_AT] - us
    if left < i[p[at + _SINCE]] or left < i[p[at + _KEPT]]:
        return _NAN
    slot = p[at + _SLOT]
    place = i[slot + 1] - p[at + _BACK]
    if place < 0:
        place += p[at + _SIZE]
    return x[p[at + _A]] - x[p[at + _B] + i[slot + _HEAD + place] * p[at + _COUNT]]


def read_long(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of column `a` over more than 5 min."""
    left = known_edge(x, i, p, at)
    if left < 0:
        return _NAN
    a = p[at + _A]
    return x[a] - x[left + a]


def read_short_both(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of the columns `a` and `b` together over at most 5 min."""
    us = p[at + _US]
    left = i[_AT] - us
    if left < i[p[at + _SINCE]] or left < i[p[at + _KEPT]]:
        return _NAN
    a = p[at + _A]
    b = p[at + _B]
    slot = p[at + _SLOT]
    place = i[slot + 1] - p[at + _BACK]
    if place < 0:
        place += p[at + _SIZE]
    start = p[at + _RING] + i[slot + _HEAD + place] * p[at + _COUNT]
    return (x[a] - x[start + a]) + (x[b] - x[start + b])


def read_long_both(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of the columns `a` and `b` together over more than 5 min."""
    left = known_edge(x, i, p, at)
    if left < 0:
        return _NAN
    a = p[at + _A]
    b = p[at + _B]
    return (x[a] - x[left + a]) + (x[b] - x[left + b])


def read_before(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read column `a` as it stood before the window."""
    left = unbroken_edge(x, i, p, at)
    return x[left + p[at + _A]] if left >= 0 else _NAN


def read_slot(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read float `a` as it stands: an answer of a baseline, a rate."""
    return x[p[at + _A]]
