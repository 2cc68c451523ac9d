"""What goes first when more rows wait than the pipeline takes: whole book messages, then trades, each with a GAP in its place."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from guard.model import Batch, Channel, Flag, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Packer", "Shedder"]

_TRADE, _LEVEL = int(Kind.TRADE), int(Kind.LEVEL)
_SNAPSHOT, _LAST, _BACKFILL = int(Flag.SNAPSHOT), int(Flag.LAST), int(Flag.BACKFILL)
_NOBODY = -1


class _Row(NamedTuple):
    """Where a row of a batch stands."""

    batch: Batch
    number: int

    @property
    def market(self) -> int:
        return self.batch.market[self.number]

    @property
    def at_us(self) -> int:
        return self.batch.at_us[self.number]

    @property
    def received_us(self) -> int:
        return self.batch.received_us[self.number]


class Shedder:
    """Thins waiting rows out, and keeps books shut of which something was dropped.

    Notes
    -----
    A book of which one message went is worth nothing until it is shown as a whole: all its rows are dropped up to the next message
    that begins with SNAPSHOT. A GAP row stands where the first dropped row stood, so that the book is unknown from there on, and
    another one before the snapshot, so that nothing counts as covered that lies between. The same holds for trades, whose hole
    ends with the last one dropped. STATUS, GAP and BACKFILL rows are never dropped.

    `books` and `trades` count dropped rows by market, `holes` tells for each shut book its last good moment.
    """

    def __init__(self) -> None:
        self.books: Counter[int] = Counter()
        self.trades: Counter[int] = Counter()
        self.holes: dict[int, int] = {}
        # The market whose message is under way among the rows that arrive, and whether it is kept.
        self._arriving = _NOBODY
        self._is_kept = True

    def passes(self, kind: int, market: int, flags: int) -> bool:
        """Whether a row that arrives is kept; ask only while there are `holes`, and call `reopen` where `reopens` says so first."""
        if kind != _LEVEL:
            self._arriving = _NOBODY
            return True
        if market != self._arriving:
            self._is_kept = market not in self.holes
        self._arriving = _NOBODY if flags & _LAST else market
        if not self._is_kept:
            self.books[market] += 1
        return self._is_kept

    def reopens(self, kind: int, market: int, flags: int) -> bool:
        """Whether a row that arrives begins a message that shows a shut book as a whole."""
        return kind == _LEVEL and flags & _SNAPSHOT != 0 and market != self._arriving and market in self.holes

    def thin_books(self, batches: Iterable[tuple[Batch, int]], packer: Packer, *, begun: int, needed: int) -> None:
        """Copy what stays into `packer`; the oldest book messages go until `needed` rows are dropped.

        `begun` is the market of a message of which the pipeline has the first rows already, -1 where there is none: its rest stays.
        """
        dropped = 0
        self._arriving, self._is_kept = begun, True
        for batch, since_us in batches:
            packer.since_us = since_us
            if not batch.count(_LEVEL):
                self._arriving = _NOBODY if len(batch) else self._arriving
                packer.rows(batch, 0, len(batch))
                continue
            kept_from = 0
            for number in range(len(batch)):
                market, flags = batch.market[number], batch.flags[number]
                if batch.kind[number] != _LEVEL:
                    self._arriving = _NOBODY
                    continue
                if market != self._arriving:
                    is_full = flags & _SNAPSHOT != 0
                    self._is_kept = (market not in self.holes or is_full) and dropped >= needed
                    if not self._is_kept or market in self.holes:
                        packer.rows(batch, kept_from, number)
                        kept_from = number
                        self._mark(_Row(batch, number), packer)
                self._arriving = _NOBODY if flags & _LAST else market
                if not self._is_kept:
                    packer.rows(batch, kept_from, number)
                    kept_from = number + 1
                    dropped += 1
                    self.books[market] += 1
            packer.rows(batch, kept_from, len(batch))

    def _mark(self, row: _Row, packer: Packer) -> None:
        """Write the GAP that a message's first row calls for: one that begins a hole, or ends it."""
        if self._is_kept:
            good_us = self.holes.pop(row.market, None)
            if good_us is not None:
                packer.gap(row.market, Channel.BOOK, at_us=row.at_us, received_us=row.received_us, good_us=good_us)
        elif row.market not in self.holes:
            self.holes[row.market] = row.at_us
            packer.gap(row.market, Channel.BOOK, at_us=row.at_us, received_us=row.received_us, good_us=row.at_us)

    def thin_trades(self, batches: Iterable[tuple[Batch, int]], packer: Packer, *, needed: int) -> int:
        """Copy what stays into `packer`; the oldest `needed` live trades go. Returns how many went."""
        batches = list(batches)
        needed = min(needed, _live_trades(batch for batch, _ in batches))
        dropped = 0
        ends: dict[int, tuple[int, int]] = {}
        for batch, since_us in batches:
            packer.since_us = since_us
            kept_from = 0
            for number in range(len(batch)):
                if dropped == needed:
                    break
                if batch.kind[number] != _TRADE or batch.flags[number] & _BACKFILL:
                    continue
                row = _Row(batch, number)
                packer.rows(batch, kept_from, number)
                kept_from = number + 1
                dropped += 1
                self.trades[row.market] += 1
                if row.market not in ends:
                    packer.gap(row.market, Channel.TRADES, at_us=row.at_us, received_us=row.received_us, good_us=row.at_us)
                good_us, end_us = ends.get(row.market, (row.at_us, row.at_us))
                ends[row.market] = good_us, max(end_us, row.at_us)
                if dropped == needed:
                    # Here, where a trade stood: no book message is cut by it.
                    for market, (good_us, end_us) in ends.items():
                        packer.gap(market, Channel.TRADES, at_us=end_us, received_us=row.received_us, good_us=good_us)
            packer.rows(batch, kept_from, len(batch))
        return dropped


def _live_trades(batches: Iterable[Batch]) -> int:
    return sum(
        batch.kind[number] == _TRADE and not batch.flags[number] & _BACKFILL for batch in batches for number in range(len(batch))
    )


class Packer:
    """Fills batches of `capacity` rows one after the other; each is as old as `since_us` was when it began."""

    def __init__(self, capacity: int) -> None:
        self.since_us = 0
        self._capacity = capacity
        self._batches: list[tuple[Batch, int]] = []

    @property
    def batches(self) -> list[tuple[Batch, int]]:
        """All of them, at least one."""
        return self._batches or [(Batch(self._capacity), self.since_us)]

    def rows(self, source: Batch, start: int, stop: int) -> None:
        """Copy rows of another batch."""
        while start < stop:
            batch = self._open()
            end = min(stop, start + batch.capacity - len(batch))
            batch.extend(source, start, end)
            start = end

    def gap(self, market: int, channel: Channel, *, at_us: int, received_us: int, good_us: int) -> None:
        """Write a GAP row: what came between `good_us` and `at_us` is missing."""
        self._open().append(Kind.GAP, market, at_us=at_us, received_us=received_us, side=channel, key=good_us)

    def _open(self) -> Batch:
        if not self._batches or self._batches[-1][0].is_full:
            self._batches.append((Batch(self._capacity), self.since_us))
        return self._batches[-1][0]
