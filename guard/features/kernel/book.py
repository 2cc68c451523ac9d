"""The order book of a market: two sorted sides, best level last, at most 128 levels a side.

A side's keys ascend towards the best price: the price itself for bids, its negative for asks. Parts of a side, one after
another: key, size, amount added lately, time since when that amount came in, and both of the amount added before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.blocks import copy, find, weigh
from guard.features.kernel.sizes import BOOK_CAP, BOOK_PARTS

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["clear", "depth", "depth_on", "drop_crossed", "flow", "level", "reach", "settle", "spread"]

_SIDE: Final = BOOK_CAP * BOOK_PARTS
_SIZE: Final = BOOK_CAP
_FRESH: Final = 2 * BOOK_CAP
_SINCE: Final = 3 * BOOK_CAP
_OLDER: Final = 4 * BOOK_CAP
_OLDER_SINCE: Final = 5 * BOOK_CAP
_FRESH_US: Final = 30_000_000.0
_JOIN_US: Final = 15_000_000.0
# A level on the edge of a band is in, whichever way its product rounds.
_EDGE: Final = 1e-9
# What is added counts where what is removed does: see `removals`.
_NEAR: Final = 0.0025


def clear(i: Integers) -> None:
    """Empty both sides."""
    i[s.BIDS] = 0
    i[s.ASKS] = 0


def level(x: Floats, i: Integers, book: int, at: int, price: float, size: float, side: int, is_full: int, quotes: int) -> float:
    """Set one level and return how much of what was added within 30 s was removed, in base: never more than was added.

    `is_full` marks a row of a full book: it is no news that somebody added something. What is added near the mid is counted where
    `quotes` is not -1.
    """
    if side > 0:
        count_slot = s.BIDS
        start = book
        key = price
    else:
        count_slot = s.ASKS
        start = book + _SIDE
        key = -price
    count = i[count_slot]
    end = start + count
    place = find(x, key, start, end)
    if place == end or x[place] != key:
        if size > 0.0 and (count < BOOK_CAP or place > start):
            i[s.NEWEST_SIDE] = side
            if place == end:
                i[s.BEST_MOVED] = 1
            if quotes >= 0 and not is_full:
                _put(x, price, size, side)
            _insert(x, i, count_slot, start, place, key, size, 0.0 if is_full else size, at)
        return 0.0
    i[s.NEWEST_SIDE] = side
    if size > 0.0:
        if quotes >= 0 and not is_full:
            _put(x, price, size - x[place + _SIZE], side)
        return _resize(x, place, size, float(at))
    if place == end - 1:
        i[s.BEST_MOVED] = 1
    return _remove(x, i, count_slot, place, end, size, float(at))


def _put(x: Floats, price: float, growth: float, side: int) -> None:
    """Count what a level near the mid grows by; the mid is that before the message."""
    mid = x[s.MID]
    if growth > 0.0 and abs(price - mid) <= _NEAR * mid:
        if side > 0:
            x[s.ADDED_BID] += price * growth
        else:
            x[s.ADDED_ASK] += price * growth


def _insert(
    x: Floats, i: Integers, count_slot: int, start: int, place: int, key: float, size: float, fresh: float, at: int
) -> None:
    """Make room at `place` and write a level there; a full side loses its worst."""
    count = i[count_slot]
    if count < BOOK_CAP:
        i[count_slot] = count + 1
        moving = start + count - place
        if moving > 0:
            for part in range(place, place + _SIDE, BOOK_CAP):
                copy(x, part + 1, part, moving)
    else:
        place -= 1
        moving = place - start
        if moving > 0:
            for part in range(start, start + _SIDE, BOOK_CAP):
                copy(x, part, part + 1, moving)
    x[place] = key
    x[place + _SIZE] = size
    x[place + _FRESH] = fresh
    x[place + _SINCE] = float(at)
    x[place + _OLDER] = 0.0


def _resize(x: Floats, place: int, size: float, at: float) -> float:
    """Change the size of the level at `place`; returns how much of what was added lately went away.

    What is added joins what was added within the 15 s before and grows old with that; later additions count for themselves. Two
    amounts suffice: when a third begins the first is over 30 s old. What was added last goes first.
    """
    change = size - x[place + _SIZE]
    x[place + _SIZE] = size
    if change <= 0.0:
        return _take_fresh(x, place, -change, at)
    fresh = x[place + _FRESH]
    if fresh > 0.0 and at - x[place + _SINCE] <= _JOIN_US:
        x[place + _FRESH] = fresh + change
        return 0.0
    if fresh > 0.0:
        x[place + _OLDER] = fresh
        x[place + _OLDER_SINCE] = x[place + _SINCE]
    x[place + _FRESH] = change
    x[place + _SINCE] = at
    return 0.0


def _take_fresh(x: Floats, place: int, gone: float, at: float) -> float:
    """Take `gone` away from what was added to a level within 30 s; returns how much of it there was."""
    newer = x[place + _FRESH] if at - x[place + _SINCE] <= _FRESH_US else 0.0
    older = x[place + _OLDER] if at - x[place + _OLDER_SINCE] <= _FRESH_US else 0.0
    if gone < newer:
        x[place + _FRESH] = newer - gone
        x[place + _OLDER] = older
        return gone
    x[place + _FRESH] = 0.0
    if gone - newer < older:
        x[place + _OLDER] = older - (gone - newer)
        return gone
    x[place + _OLDER] = 0.0
    return newer + older


def _remove(x: Floats, i: Integers, count_slot: int, place: int, end: int, size: float, at: float) -> float:
    """Take the level at `place` out; returns how much of it was added lately."""
    taken = _take_fresh(x, place, x[place + _SIZE] - size, at)
    i[count_slot] -= 1
    moving = end - place - 1
    if moving > 0:
        for part in range(place, place + _SIDE, BOOK_CAP):
            copy(x, part, part + 1, moving)
    return taken


def settle(x: Floats, i: Integers, book: int) -> None:
    """End a book message: best prices, the crossed guard, the mid.

    Newer levels win over the ones they cross, which are stale; until a message leaves the book straight by itself it counts as
    crossed and its mid is unknown.
    """
    bids = i[s.BIDS]
    asks = i[s.ASKS]
    if bids > 0 and asks > 0:
        bid = x[book + bids - 1]
        ask = -x[book + _SIDE + asks - 1]
        if bid < ask:
            i[s.CROSSED] = 0
            x[s.BID] = bid
            x[s.ASK] = ask
            x[s.MID] = 0.5 * (bid + ask)
            return
    crossed = drop_crossed(x, i, book)
    bids = i[s.BIDS]
    asks = i[s.ASKS]
    x[s.BID] = x[book + bids - 1] if bids > 0 else s.NAN
    x[s.ASK] = -x[book + _SIDE + asks - 1] if asks > 0 else s.NAN
    x[s.MID] = s.NAN
    i[s.CROSSED] = 0
    if crossed > 0:
        i[s.CROSSED] = 1
        x[s.CROSSINGS] += 1.0


def flow(x: Floats, i: Integers, book: int, quotes: int, is_full: int) -> None:
    """Count a message that has ended and add its order-flow imbalance; `quotes` holds the best prices and sizes before it.

    They are 0 where there is nothing to compare with: after a book that was lost, crossed or without a side.
    """
    if not is_full:
        x[s.MESSAGES] += 1.0
    if not x[s.MID] > 0.0:
        x[quotes] = 0.0
        return
    bid = x[s.BID]
    ask = x[s.ASK]
    bids = x[book + i[s.BIDS] - 1 + _SIZE]
    asks = x[book + _SIDE + i[s.ASKS] - 1 + _SIZE]
    last_bid = x[quotes]
    if last_bid > 0.0 and not is_full:
        last_ask = x[quotes + 2]
        grown = 0.0
        if bid >= last_bid:
            grown += bids
        if bid <= last_bid:
            grown -= x[quotes + 1]
        if ask <= last_ask:
            grown -= asks
        if ask >= last_ask:
            grown += x[quotes + 3]
        x[s.FLOW_IMBALANCE] += grown * x[s.MID]
    x[quotes] = bid
    x[quotes + 1] = bids
    x[quotes + 2] = ask
    x[quotes + 3] = asks


def drop_crossed(x: Floats, i: Integers, book: int) -> int:
    """Take away the levels that the side changed last has crossed, and return how many."""
    if i[s.NEWEST_SIDE] >= 0:
        count_slot = s.BIDS
        other_slot = s.ASKS
        start = book
        other = book + _SIDE
    else:
        count_slot = s.ASKS
        other_slot = s.BIDS
        start = book + _SIDE
        other = book
    if i[count_slot] == 0:
        return 0
    limit = -x[start + i[count_slot] - 1]
    count = i[other_slot]
    left = count
    while left > 0 and x[other + left - 1] >= limit:
        left -= 1
    i[other_slot] = left
    return count - left


def depth(x: Floats, i: Integers, book: int, side: int, band: float) -> float:
    """Return what rests within `band` (a ratio) of the mid on one side, in quote."""
    first = book if side > 0 else book + _SIDE
    end = first + (i[s.BIDS] if side > 0 else i[s.ASKS])
    # Keys of asks are negative, so theirs is the negative sum, to the bit.
    return abs(weigh(x, limit_of(x, side, band), first, end, _SIZE))


def depth_on(x: Floats, i: Integers, book: int, side: int, band: float, walks: Floats, w: int) -> float:
    """Return what `depth` does; where the last walk along that side went no farther, go on from its end.

    From `w` on, `walks` holds how far that one went, as a key (NaN before the first), the level after it, and its sum.
    """
    first = book if side > 0 else book + _SIDE
    limit = limit_of(x, side, band)
    if limit <= walks[w]:
        place = int(walks[w + 1])
        total = walks[w + 2]
    else:
        place = first + (i[s.BIDS] if side > 0 else i[s.ASKS]) - 1
        total = 0.0
    while place >= first and not x[place] < limit:
        total += x[place] * x[place + _SIZE]
        place -= 1
    walks[w] = limit
    walks[w + 1] = float(place)
    walks[w + 2] = total
    return abs(total)


def limit_of(x: Floats, side: int, band: float) -> float:
    """Return the key of a side at the edge of a band."""
    if side > 0:
        return x[s.MID] * (1.0 - band) * (1.0 - _EDGE)
    return -x[s.MID] * (1.0 + band) * (1.0 + _EDGE)


def reach(x: Floats, i: Integers, book: int, side: int, value: float) -> float:
    """Return how much (base) of one side `value` (quote, > 0) would take, from the best level on; 0 where it holds less."""
    if side > 0:
        first = book
        last = book + i[s.BIDS] - 1
    else:
        first = book + _SIDE
        last = first + i[s.ASKS] - 1
    left = value
    taken = 0.0
    for place in range(last, first - 1, -1):
        price = abs(x[place])
        resting = price * x[place + _SIZE]
        if resting >= left:
            return taken + left / price
        left -= resting
        taken += x[place + _SIZE]
    return 0.0


def spread(x: Floats) -> float:
    """Return (ask - bid) / mid; NaN while the mid is unknown."""
    return (x[s.ASK] - x[s.BID]) / x[s.MID] if x[s.MID] > 0.0 else s.NAN
