"""What stands at a moment of a recording: the state of each stream and the books, so that a piece of it can begin there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard.model import ASK, BID, Channel, Flag, Kind, Status
from guard_tape.columns import Rows, length

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

__all__ = ["Standing", "gap_rows"]

_LEVEL: Final = int(Kind.LEVEL)
_STATUS: Final = int(Kind.STATUS)
_ENDS_BOOK: Final = [int(Status.LOST), int(Status.STALLED), int(Status.MAINTENANCE)]
_VALUES: Final = (int(Status.USD_RATE), int(Status.VOLUME_24H), int(Status.WARM))
_OF_BOOK: Final = [int(Channel.ALL), int(Channel.BOOK)]
_Row = tuple[int, int, int, int, float, float, int, int, int]


class Standing:
    """Follows the rows of a recording; `rows` tells what stands after the last of them.

    A book is known from a snapshot on, until a gap or the end of its stream.
    """

    def __init__(self) -> None:
        self.received_us = 0
        self.is_within_message = False
        self._at_us: dict[int, int] = {}
        # By market: the statuses by channel and what they tell of, in order of arrival.
        self._statuses: dict[int, dict[tuple[int, int], tuple[int, float]]] = {}
        self._books: dict[int, tuple[dict[float, float], dict[float, float]]] = {}
        # The market whose snapshot goes on with the next row; -1 for none.
        self._snapshot_of = -1

    def take(self, rows: Rows) -> None:
        """Follow the next rows."""
        if not length(rows):
            return
        self.received_us = max(self.received_us, int(rows.received_us.max()))
        markets, last = np.unique(rows.market[::-1], return_index=True)
        places = length(rows) - 1 - last
        for market, at_us in zip(markets.tolist(), rows.at_us[places].tolist(), strict=True):
            self._at_us[market] = max(at_us, self._at_us.get(market, 0))
        for place in np.flatnonzero(rows.kind == int(Kind.STATUS)).tolist():
            self._tell(int(rows.market[place]), int(rows.side[place]), int(rows.key[place]), float(rows.price[place]))
        self._take_books(rows)
        self.is_within_message = bool(rows.kind[-1] == _LEVEL and not rows.flags[-1] & Flag.LAST)

    def _tell(self, market: int, channel: int, code: int, value: float) -> None:
        told = self._statuses.setdefault(market, {})
        what = (channel, code if code in _VALUES else 0)
        if code not in _VALUES and channel == Channel.ALL:
            for each in (Channel.TRADES, Channel.BOOK):
                told.pop((int(each), 0), None)
        told.pop(what, None)
        told[what] = (code, value)

    def _take_books(self, rows: Rows) -> None:
        is_level = rows.kind == _LEVEL
        begins = self._snapshots(rows, is_level)
        ends = (rows.kind == int(Kind.GAP)) & np.isin(rows.side, _OF_BOOK)
        ends |= (rows.kind == int(Kind.STATUS)) & np.isin(rows.side, _OF_BOOK) & np.isin(rows.key, _ENDS_BOOK)
        (resets,) = np.nonzero(begins | ends)
        since: dict[int, int] = {}
        for place in resets.tolist():
            since[int(rows.market[place])] = place
        for market, place in since.items():
            if begins[place]:
                self._books[market] = ({}, {})
            else:
                self._books.pop(market, None)
        (levels,) = np.nonzero(is_level)
        if since and len(levels):
            known = np.array(sorted(since), np.int64)
            starts = np.array([since[market] for market in known.tolist()], np.int64)
            at = np.minimum(np.searchsorted(known, rows.market[levels]), len(known) - 1)
            levels = levels[(known[at] != rows.market[levels]) | (levels >= starts[at])]
        self._store(rows, levels)

    def _snapshots(self, rows: Rows, is_level: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which rows are the first of a snapshot."""
        is_part = is_level & ((rows.flags & int(Flag.SNAPSHOT)) != 0)
        goes_on = is_part & ((rows.flags & int(Flag.LAST)) == 0)
        before = np.empty(length(rows), np.bool_)
        before[1:] = goes_on[:-1] & (rows.market[1:] == rows.market[:-1])
        before[0] = self._snapshot_of == int(rows.market[0])
        self._snapshot_of = int(rows.market[-1]) if goes_on[-1] else -1
        found: NDArray[np.bool_] = is_part & ~before
        return found

    def _store(self, rows: Rows, levels: NDArray[Any]) -> None:
        if not len(levels):
            return
        market, side, price = rows.market[levels], rows.side[levels], rows.price[levels]
        order = np.lexsort((price, side, market))
        market, side, price = market[order], side[order], price[order]
        is_last = np.ones(len(order), np.bool_)
        is_last[:-1] = (market[1:] != market[:-1]) | (side[1:] != side[:-1]) | (price[1:] != price[:-1])
        kept = zip(
            market[is_last].tolist(), side[is_last].tolist(), price[is_last].tolist(), rows.amount[levels][order][is_last].tolist(),
            strict=True,
        )  # fmt: skip
        for number, which, at, amount in kept:
            book = self._books.get(number)
            if book is None:
                continue
            levels_of = book[0] if which == BID else book[1]
            if amount:
                levels_of[at] = amount
            else:
                levels_of.pop(at, None)

    def rows(self, markets: Collection[int]) -> Rows:
        """Return rows that say what stands, in the order of `markets`: statuses, then each known book as a snapshot."""
        made: list[_Row] = []
        for market in markets:
            at_us = min(self._at_us.get(market, self.received_us), self.received_us)
            for (channel, _), (code, value) in self._statuses.get(market, {}).items():
                made.append((_STATUS, market, at_us, self.received_us, value, 0.0, channel, code, 0))
            made += self._book(market, at_us)
        columns = list(zip(*made, strict=True)) or [()] * len(Rows._fields)
        return Rows(*(np.array(column, kind) for column, kind in zip(columns, _TYPES, strict=True)))

    def _book(self, market: int, at_us: int) -> list[_Row]:
        bids, asks = self._books.get(market, ({}, {}))
        made = [
            (_LEVEL, market, at_us, self.received_us, price, amount, side, 0, int(Flag.SNAPSHOT))
            for side, levels in ((BID, bids), (ASK, asks))
            for price, amount in levels.items()
        ]
        if made:
            made[-1] = (*made[-1][:-1], int(Flag.SNAPSHOT | Flag.LAST))
        return made


_TYPES: Final = (np.int8, np.int32, np.int64, np.int64, np.float64, np.float64, np.int8, np.int64, np.int8)


def gap_rows(markets: Collection[int], *, last_us: int, received_us: int) -> Rows:
    """Return a GAP row of all streams for each market: what happened between the two moments is not on the recording."""
    count = len(markets)
    times = np.full(count, received_us, np.int64)
    return Rows(
        kind=np.full(count, int(Kind.GAP), np.int8),
        market=np.array(list(markets), np.int32),
        at_us=times,
        received_us=times,
        price=np.zeros(count),
        amount=np.zeros(count),
        side=np.full(count, int(Channel.ALL), np.int8),
        key=np.full(count, last_us, np.int64),
        flags=np.zeros(count, np.int8),
    )
