"""How the fields of the book are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.book import depth, reach, spread
from guard.features.kernel.reading import tick

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["read_book_slot", "read_crossed", "read_depth", "read_divergence", "read_slippage", "read_spread", "read_tick"]

_TICKS_MIN: Final = 5.0
_SPREADS_MIN: Final = 2.0
_EXCHANGES_MIN: Final = 3
_OTHERS_MAX: Final = 63
_INFINITE: Final = float("inf")


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
    width = spread(x) if i[s.BOOK_OK] != 0 else s.NAN
    if width != width:
        return s.NAN
    usual = p[s.P_USUAL_SPREAD]
    if usual >= 0 and x[usual] == x[usual]:
        width = x[usual]
    within = max(q[p[at + s.L_A]], _SPREADS_MIN * width)
    step = tick(x)
    if step == step:
        within = max(within, _TICKS_MIN * step / x[s.MID])
    side = p[at + s.L_B]
    if side != 0:
        return depth(x, i, p[s.P_BOOK], side, within)
    return depth(x, i, p[s.P_BOOK], 1, within) + depth(x, i, p[s.P_BOOK], -1, within)


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


def read_divergence(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the distance of the mid from the symbol's median mid; `a` = how old a book may be, in microseconds.

    Mids count of the market itself and of at most 63 others.
    """
    fresh = p[at + s.L_A]
    own = _mid(x, i, fresh, received)
    if own != own:
        return s.NAN
    first = i[s.SIBLING]
    others = 0
    count = 1
    row = first
    # The market itself is the last of the ring.
    while I[row][s.SIBLING] != first and others < _OTHERS_MAX:
        others += 1
        mid = _mid(X[row], I[row], fresh, received)
        if mid == mid:
            count += 1
        row = I[row][s.SIBLING]
    if count < _EXCHANGES_MIN:
        return s.NAN
    middle = _median(X, I, own, first, others, fresh, received, count)
    return own / middle - 1.0 if middle > 0.0 else s.NAN


def _mid(x: Floats, i: Integers, fresh: int, received: int) -> float:
    """Return a market's mid; NaN where it is not known or its book is old."""
    return x[s.MID] if i[s.BOOK_OK] != 0 and received - i[s.BOOK_RECEIVED] <= fresh else s.NAN


def _median(
    X: FloatRows, I: IntegerRows, own: float, first: int, others: int, fresh: int, received: int, count: int
) -> float:  # fmt: skip
    """Return the median of `count` mids: goes up from the smallest, one price at a time, as far as the middle."""
    half = count // 2
    passed = 0
    reached = -_INFINITE
    while True:
        lower = reached
        reached = own if own > lower else _INFINITE
        ties = 1 if own > lower else 0
        row = first
        for _ in range(others):
            mid = _mid(X[row], I[row], fresh, received)
            if lower < mid < reached:
                reached = mid
                ties = 1
            elif mid == reached:
                ties += 1
            row = I[row][s.SIBLING]
        if passed + ties > half or ties == 0:
            break
        passed += ties
    return 0.5 * (lower + reached) if passed == half and count % 2 == 0 else reached
