"""An order book in whole ticks and lots."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, NamedTuple

from guard.model import ASK, BID, BUY

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Book", "Diff", "Fill"]


class Fill(NamedTuple):
    """What a market order took from one level."""

    tick: int
    lots: int


class Diff(NamedTuple):
    """Levels that changed, with their new sizes (0 = gone), and the numbers of the first and last change."""

    first_id: int
    last_id: int
    levels: tuple[tuple[int, int, int], ...]


class Book:
    """Resting size by price level, with a number for each change.

    Prices are ticks, amounts lots, sides BID and ASK. Every change is kept until `flush` hands it out, so that the snapshot of
    `levels()` with `update_id` and the diffs join without a seam.

    Examples
    --------
    >>> book = Book()
    >>> book.set(BID, 99, 5), book.set(ASK, 101, 3), book.set(ASK, 102, 4)
    (None, None, None)
    >>> book.take(BUY, 5), book.best(ASK), book.update_id
    ([Fill(tick=101, lots=3), Fill(tick=102, lots=2)], 102, 5)
    """

    __slots__ = ("_changed", "_flushed_id", "_keys", "lots", "update_id")

    def __init__(self, update_id: int = 0) -> None:
        # Keys are -tick for bids and tick for asks: the best level always comes first.
        self._keys: dict[int, list[int]] = {BID: [], ASK: []}
        self.lots: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
        self._changed: dict[tuple[int, int], int] = {}
        self.update_id = update_id
        self._flushed_id = update_id

    def set(self, side: int, tick: int, lots: int) -> None:
        """Make `lots` rest at `tick`; 0 removes the level. Nothing is recorded where nothing changes."""
        level = self.lots[side]
        present = level.get(tick, 0)
        if lots == present:
            return
        keys = self._keys[side]
        key = -side * tick
        if lots <= 0:
            del level[tick]
            del keys[bisect_left(keys, key)]
            lots = 0
        else:
            if not present:
                insort(keys, key)
            level[tick] = lots
        self.update_id += 1
        self._changed[side, tick] = lots

    def best(self, side: int) -> int | None:
        """Return the best tick of a side, None where it is empty."""
        keys = self._keys[side]
        return -side * keys[0] if keys else None

    def ticks(self, side: int) -> Iterator[int]:
        """Yield the ticks of a side, best first."""
        return (-side * key for key in self._keys[side])

    def levels(self, side: int, limit: int = 5000) -> list[tuple[int, int]]:
        """Return (tick, lots) of a side, best first."""
        level = self.lots[side]
        return [(-side * key, level[-side * key]) for key in self._keys[side][:limit]]

    def size_to(self, side: int, count: int) -> int:
        """Return the lots resting on the best `count` levels."""
        level = self.lots[side]
        return sum(level[-side * key] for key in self._keys[side][:count])

    def take(self, side: int, lots: int, *, limit: int | None = None, levels_max: int = 10_000) -> list[Fill]:
        """Execute a taker order: walk the other side until `lots` are filled, `limit` (a tick) or `levels_max` is reached."""
        fills: list[Fill] = []
        other = ASK if side == BUY else BID
        while lots > 0 and len(fills) < levels_max:
            tick = self.best(other)
            if tick is None or (limit is not None and side * (tick - limit) > 0):
                break
            present = self.lots[other][tick]
            filled = min(lots, present)
            self.set(other, tick, present - filled)
            fills.append(Fill(tick, filled))
            lots -= filled
        return fills

    def flush(self) -> Diff | None:
        """Return what changed since the last call, None where nothing did."""
        if self.update_id == self._flushed_id:
            return None
        diff = Diff(self._flushed_id + 1, self.update_id, tuple((side, tick, lots) for (side, tick), lots in self._changed.items()))
        self._flushed_id = self.update_id
        self._changed.clear()
        return diff
