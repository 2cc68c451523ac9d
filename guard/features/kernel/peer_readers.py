"""How the fields of the same symbol on other exchanges are read.

The markets of a symbol are a ring, `slots.SIBLING`; the market itself is the last one. At most 63 others count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["before_of", "read_divergence", "read_peers_ret"]

_HAS_BOOK: Final = 2
_OTHERS_MIN: Final = 2
_OTHERS_MAX: Final = 63
_INFINITE: Final = float("inf")


def read_divergence(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read how far the mid is from those of most others, all on one side; `a` = how old a book may be, in microseconds.

    Others are all that have a book, told or silent: one that falls silent bears nobody out, so that this never grows by it.
    """
    fresh = p[at + s.L_A]
    own = _mid(x, i, fresh, received)
    if own != own:
        return s.NAN
    first = i[s.SIBLING]
    others = 0
    books = 0
    above = 0
    below = 0
    known = 0
    row = first
    while I[row][s.SIBLING] != first and others < _OTHERS_MAX:
        others += 1
        if I[row][s.STREAMS] & _HAS_BOOK:
            books += 1
            mid = _mid(X[row], I[row], fresh, received)
            if mid == mid:
                known += 1
                if mid > own:
                    above += 1
                elif mid < own:
                    below += 1
        row = I[row][s.SIBLING]
    most = books // 2 + 1
    if books < _OTHERS_MIN or known < most:
        return s.NAN
    if above < most and below < most:
        return 0.0
    reached = _reached(X, I, 1.0 if above >= most else -1.0, first, others, fresh, received, most)
    return own / reached - 1.0 if reached > 0.0 else s.NAN


def _mid(x: Floats, i: Integers, fresh: int, received: int) -> float:
    """Return a market's mid; NaN where it is not known or its book is old."""
    return x[s.MID] if i[s.BOOK_OK] != 0 and received - i[s.BOOK_RECEIVED] <= fresh else s.NAN


def _reached(
    X: FloatRows, I: IntegerRows, sign: float, first: int, others: int, fresh: int, received: int, most: int
) -> float:  # fmt: skip
    """Return the farthest mid, up where `sign` is 1.0 and down where it is -1.0, that `most` of the others reach."""
    passed = 0
    limit = _INFINITE
    while True:
        farthest = -_INFINITE
        ties = 0
        row = first
        for _ in range(others):
            if I[row][s.STREAMS] & _HAS_BOOK:
                mid = sign * _mid(X[row], I[row], fresh, received)
                if farthest < mid < limit:
                    farthest = mid
                    ties = 1
                elif mid == farthest:
                    ties += 1
            row = I[row][s.SIBLING]
        passed += ties
        if passed >= most or ties == 0:
            return sign * farthest
        limit = farthest


def read_peers_ret(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the median return of the others' mids over the window; `a` = how old a book may be, in microseconds."""
    fresh = p[at + s.L_A]
    w = at + s.L_WINDOW
    first = i[s.SIBLING]
    others = 0
    count = 0
    row = first
    while I[row][s.SIBLING] != first and others < _OTHERS_MAX:
        others += 1
        change = _ret(X[row], I[row], i, p, w, fresh, received)
        if change == change:
            count += 1
        row = I[row][s.SIBLING]
    if count < _OTHERS_MIN:
        return s.NAN
    half = count // 2
    passed = 0
    reached = -_INFINITE
    # Up from the smallest, one return at a time, as far as the middle.
    while True:
        lower = reached
        reached = _INFINITE
        ties = 0
        row = first
        for _ in range(others):
            change = _ret(X[row], I[row], i, p, w, fresh, received)
            if lower < change < reached:
                reached = change
                ties = 1
            elif change == reached:
                ties += 1
            row = I[row][s.SIBLING]
        if passed + ties > half or ties == 0:
            break
        passed += ties
    return 0.5 * (lower + reached) if passed == half and count % 2 == 0 else reached


def _ret(theirs: Floats, numbers: Integers, i: Integers, p: Integers, w: int, fresh: int, received: int) -> float:
    """Return the return of another market's mid over a window that ends at the own time; NaN where it is not known."""
    mid = _mid(theirs, numbers, fresh, received)
    if mid != mid:
        return s.NAN
    before = before_of(theirs, numbers, i, p, w, s.BOOK_SINCE, s.BOOK_BEGAN, s.MID)
    return mid / before - 1.0 if before > 0.0 else s.NAN


def before_of(
    theirs: Floats, numbers: Integers, i: Integers, p: Integers, w: int, since: int, began: int, column: int
) -> float:  # fmt: skip
    """Return a column of another market as it stood before a window that ends at the own time, without moving its clock.

    NaN where its stream was broken in the window, or where the window's edge still holds what was before a hole.
    """
    us = p[w + s.W_US]
    slot = p[w + s.W_SLOT]
    now = i[s.AT]
    unbroken = numbers[since]
    if now - unbroken < us or now - numbers[p[w + s.W_SINCE]] < us:
        return s.NAN
    if unbroken != numbers[began] and (now - us) // p[w + s.W_WIDTH] * p[w + s.W_WIDTH] < unbroken:
        return s.NAN
    size = p[w + s.W_SIZE]
    back = p[w + s.W_BACK] + numbers[slot] - i[slot]
    if back > size:
        # Its clock is so far ahead that it no longer keeps what was.
        return s.NAN
    if back <= 0:
        return theirs[column]
    place = numbers[slot + 1] - back
    if place < 0:
        place += size
    return theirs[p[w + s.W_RING] + numbers[slot + s.CLOCK_HEAD + place] * p[w + s.W_COUNT] + column]
