"""The order book of a market: two sorted sides, best level last, at most 128 levels a side.

A side's keys ascend towards the best price: the price itself for bids, its negative for asks. Parts of a side, one after
another: key, size, amount added lately, time of that addition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import slots as s
from guard.features.kernel.layout import BOOK_CAP, BOOK_PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["clear", "depth", "drop_crossed", "level", "settle", "side_offset"]

_FRESH_US = 30_000_000


def side_offset(book: int, side: int) -> int:
    """Return where a side begins in the float row."""
    return book if side > 0 else book + BOOK_CAP * BOOK_PARTS


def clear(i: list[int]) -> None:
    """Empty both sides."""
    i[s.BIDS] = i[s.ASKS] = 0


def level(x: list[float], i: list[int], book: int, at: int, price: float, size: float, side: int, *, is_full: bool) -> float:
    """Set one level and return how much of what was added within 30 s was removed, in base.

    `is_full` marks a row of a full book: it is no news that somebody added something.
    """
    start = side_offset(book, side)
    count_slot = s.BIDS if side > 0 else s.ASKS
    count = i[count_slot]
    key = price if side > 0 else -price
    low = 0
    high = count
    while low < high:
        middle = (low + high) >> 1
        if x[start + middle] < key:
            low = middle + 1
        else:
            high = middle
    is_known = low < count and x[start + low] == key
    if not is_known and (size <= 0.0 or (low == 0 and count == BOOK_CAP)):
        return 0.0
    if low >= count - is_known:
        i[s.BEST_MOVED] |= not is_known or size <= 0.0
    i[s.NEWEST_SIDE] = side
    if not is_known:
        _insert(x, start, count, low, key, size, at, is_full=is_full)
        i[count_slot] = min(count + 1, BOOK_CAP)
        return 0.0
    at_level = start + low
    change = size - x[at_level + BOOK_CAP]
    fresh = x[at_level + 2 * BOOK_CAP] if at - x[at_level + 3 * BOOK_CAP] <= _FRESH_US else 0.0
    if size > 0.0:
        x[at_level + BOOK_CAP] = size
        if change > 0.0:
            x[at_level + 2 * BOOK_CAP] = fresh + change
            x[at_level + 3 * BOOK_CAP] = float(at)
            return 0.0
        x[at_level + 2 * BOOK_CAP] = max(0.0, fresh + change)
    else:
        for part in range(start, start + BOOK_PARTS * BOOK_CAP, BOOK_CAP):
            x[part + low : part + count - 1] = x[part + low + 1 : part + count]
        i[count_slot] = count - 1
    return min(-change, fresh)


def _insert(x: list[float], start: int, count: int, place: int, key: float, size: float, at: int, *, is_full: bool) -> None:
    """Make room at `place` and write a level there; a full side loses its worst."""
    for part in range(start, start + BOOK_PARTS * BOOK_CAP, BOOK_CAP):
        if count == BOOK_CAP:
            x[part : part + place - 1] = x[part + 1 : part + place]
        else:
            x[part + place + 1 : part + count + 1] = x[part + place : part + count]
    at_level = start + (place - 1 if count == BOOK_CAP else place)
    x[at_level] = key
    x[at_level + BOOK_CAP] = size
    x[at_level + 2 * BOOK_CAP] = 0.0 if is_full else size
    x[at_level + 3 * BOOK_CAP] = float(at)


def settle(x: list[float], i: list[int], book: int) -> None:
    """End a book message: best prices, the crossed guard, the mid.

    Newer levels win over the ones they cross, which are stale; until a message leaves the book straight by itself it counts as
    crossed and its mid is unknown.
    """
    crossed = drop_crossed(x, i, book)
    i[s.CROSSED] = int(crossed > 0)
    bids = i[s.BIDS]
    asks = i[s.ASKS]
    x[s.BID] = x[side_offset(book, 1) + bids - 1] if bids else s.NAN
    x[s.ASK] = -x[side_offset(book, -1) + asks - 1] if asks else s.NAN
    x[s.MID] = 0.5 * (x[s.BID] + x[s.ASK]) if not crossed else s.NAN
    if crossed:
        x[s.CROSSINGS] += 1.0


def drop_crossed(x: list[float], i: list[int], book: int) -> int:
    """Take away the levels that the side changed last has crossed, and return how many."""
    newest = i[s.NEWEST_SIDE] or 1
    count_slot, other_slot = (s.BIDS, s.ASKS) if newest > 0 else (s.ASKS, s.BIDS)
    if not i[count_slot]:
        return 0
    best = x[side_offset(book, newest) + i[count_slot] - 1]
    other = side_offset(book, -newest)
    dropped = 0
    while i[other_slot] and x[other + i[other_slot] - 1] >= -best:
        i[other_slot] -= 1
        dropped += 1
    return dropped


def depth(x: list[float], i: list[int], book: int, side: int, band: float) -> float:
    """Return what rests within `band` (a ratio) of the mid on one side, in quote."""
    start = side_offset(book, side)
    limit = x[s.MID] * (1.0 - band) if side > 0 else -x[s.MID] * (1.0 + band)
    resting = 0.0
    for at in _from_best(start, i[s.BIDS if side > 0 else s.ASKS]):
        if x[at] < limit:
            break
        resting += abs(x[at]) * x[at + BOOK_CAP]
    return resting


def _from_best(start: int, count: int) -> Iterator[int]:
    """Walk a side from its best level outwards."""
    return iter(range(start + count - 1, start - 1, -1))
