"""One market as the oracle sees it: every event kept, every quantity booked at the market's time, in fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from features.oracle.book import TIMEOUT_US, Removal
from features.oracle.memory import MINUTE, Memory, Print
from features.oracle.streams import SECOND, Stream

from guard.model import Channel, Flag, Kind, Status

if TYPE_CHECKING:
    from features.streams import Row

__all__ = ["Market"]

FRESH_BOOK_US = 100_000
NEAR = Fraction(0.0025)
ENDS = (Status.LOST, Status.STALLED, Status.MAINTENANCE)


class Market(Memory):
    """All that happened on one market, and what follows from it."""

    def take(self, row: Row, reference: Market | None = None) -> None:
        """Take the next event."""
        if row.flags & Flag.BACKFILL:
            if row.kind == Kind.TRADE:
                self._history(row)
            return
        if row.kind == Kind.GAP:
            self._tear(row)
        self.move(row.at_us)
        self._count(row)
        match row.kind:
            case Kind.TRADE:
                self._trade(row, reference)
            case Kind.LEVEL:
                self._level(row)
            case Kind.GAP:
                self.log("gaps").add(self.at_us, 1)
                for stream in self._streams(row.side):
                    stream.gap(self.at_us, row.key)
            case Kind.STATUS:
                self._status(row)

    def _streams(self, channel: int) -> list[Stream]:
        return {Channel.TRADES: [self.trades], Channel.BOOK: [self.books]}.get(Channel(channel), [self.trades, self.books])

    def _tear(self, row: Row) -> None:
        """Break streams at a row's time, before time moves there."""
        at_us = max(row.at_us, self.at_us)
        for stream in self._streams(row.side):
            if stream is self.books:
                if stream.end(at_us):
                    self._lose_book()
            elif stream.tear(at_us):
                self._lose_trades()

    def _lose_book(self) -> None:
        self._quote = None
        self.book.lose()
        self.log("mid").add(self.at_us, math.nan)

    def _lose_trades(self) -> None:
        """Forget all with which the next trade could be compared."""
        self.price = None
        self.log("price").add(self.at_us, math.nan)
        self.held, self.removals = [], []
        self.pairs.append([])
        for side in (1, -1):
            self._sweeps.pop(("live", side), None)

    def _status(self, row: Row) -> None:
        if row.key in ENDS:
            for stream in self._streams(row.side):
                if stream.end(self.at_us):
                    (self._lose_book if stream is self.books else self._lose_trades)()
        elif row.key == Status.LIVE:
            if self.trades in self._streams(row.side):
                self.trades.begin(self.at_us)
        elif row.key == Status.USD_RATE:
            self.usd_rate = Fraction(row.price) if row.price > 0 else None
        elif row.key == Status.VOLUME_24H:
            self.volume_24h_usd = Fraction(row.price) if row.price >= 0 else None
        elif row.key == Status.WARM:
            for key in list(self._past):
                self._close_past(key, self._past[key][0] + 1)
            self._past = {}

    def _trade(self, row: Row, reference: Market | None) -> None:
        self.trades.begin(self.at_us)
        at_us, price, amount = self.at_us, Fraction(row.price), Fraction(row.amount)
        side, mid = row.side, self.book.mid
        if side == 0 and mid is not None:
            side = (price > mid) - (price < mid)
        self._book_trade(at_us, price, amount, side, is_unsure=row.side == 0 or bool(row.flags & Flag.INFERRED_SIDE))
        if side:
            self._sweep(row.at_us, price, side)
        self.prints.append(Print(at_us, row.at_us, price, amount, side, self.price is None))
        self.price = price
        self.log("price").add(at_us, price)
        self._hold(at_us, price)
        self.trade_stamp_us = max(self.trade_stamp_us, row.at_us)
        self._arrive("trades", row)
        if reference is not None:
            self.pairs[-1].append((at_us // MINUTE, price, reference.price or Fraction(0)))
        self._fill(price, amount, side)

    def _book_trade(self, at_us: int, price: Fraction, amount: Fraction, side: int, *, is_unsure: bool) -> None:
        self.log("volume").add(at_us, amount)
        self.log("turnover").add(at_us, price * amount)
        self.log("trades").add(at_us, 1)
        if side > 0:
            self.log("buy_volume").add(at_us, amount)
            self.log("buy_turnover").add(at_us, price * amount)
        if is_unsure:
            self.log("unsure_volume").add(at_us, amount)
        book = self.book
        if (
            book.is_whole
            and book.bid is not None
            and book.ask is not None
            and book.bid < price < book.ask
            and at_us - self.book_stamp_us < FRESH_BOOK_US
        ):
            self.log("inside_volume").add(at_us, amount)

    def _sweep(self, stamp_us: int, price: Fraction, side: int) -> None:
        word = "buy" if side > 0 else "sell"
        before = self._sweeps.get(("live", side))
        swept = self._swept("live", stamp_us, price, side)
        if side not in self._orders or self._orders[side][0] != stamp_us:
            self._orders[side] = (stamp_us, False)
        if not swept:
            return
        self.log(f"swept_{word}").add(self.at_us, self.log("turnover").amounts[-1])
        self.log(f"rush_{word}").add(self.at_us, 1)
        if self._seconds.get(side) != self.at_us // SECOND:
            self._seconds[side] = self.at_us // SECOND
            self.log(f"rush_seconds_{word}").add(self.at_us, 1)
        if before is not None and before[0] == stamp_us and not self._orders[side][1]:
            self._orders[side] = (stamp_us, True)
            self.log(f"rush_orders_{word}").add(self.at_us, 1)

    def _fill(self, price: Fraction, amount: Fraction, side: int) -> None:
        left = amount
        for removal in self.removals:
            if removal.price == price and side in (0, -removal.side):
                met = min(left, removal.left)
                removal.left -= met
                left -= met
        if left > 0:
            self.fills.append(Removal(self.at_us, price, -side, amount, left))

    def _level(self, row: Row) -> None:
        if row.flags & Flag.SNAPSHOT and not self.book.is_open:
            self.books.begin(self.at_us)
            self._quote = None
        if not self.book.is_open:
            self._sample_depths()
        rested = self._resting(row)
        removed = self.book.take(row, self.at_us)
        self._add(row, self._resting(row) - rested)
        if self.book.is_whole:
            if not row.flags & Flag.SNAPSHOT:
                self.log("level_churn").add(self.at_us, 1)
            if removed > 0:
                self._remove(Fraction(row.price), removed, row.side)
        if row.flags & Flag.LAST:
            self._settle(row)

    def _count(self, row: Row) -> None:
        if row.kind in (Kind.TRADE, Kind.LEVEL):
            self.log("events").add(self.at_us, 1)
            if row.at_us < self._newest_us:
                self.log("late").add(self.at_us, 1)
        self._newest_us = max(self._newest_us, row.at_us)

    def _arrive(self, stream: str, row: Row) -> None:
        arrived = row.at_us + row.lag_us
        self.received[stream] = max(self.received[stream], arrived)
        if arrived >= self.lags.get(stream, (0, 0))[0]:
            self.lags[stream] = (arrived, row.lag_us)

    def _resting(self, row: Row) -> Fraction:
        """Return what rests at a row's price."""
        level = self.book.sides[row.side].get(Fraction(row.price))
        return Fraction(0) if level is None else level.size

    def _add(self, row: Row, growth: Fraction) -> None:
        """Book what a level that the book keeps grows by, near the mid that stood before the message."""
        price, mid = Fraction(row.price), self.book.mid
        is_near = mid is not None and abs(price - mid) <= NEAR * mid
        if is_near and growth > 0 and self.book.is_whole and not row.flags & Flag.SNAPSHOT:
            self.log("added_bid" if row.side > 0 else "added_ask").add(self.at_us, price * growth)

    def _flow(self, *, is_full: bool) -> None:
        """Book the order-flow imbalance of a message, from the best prices and sizes before and after it."""
        book, before = self.book, self._quote
        self._quote = None
        if book.mid is None or book.bid is None or book.ask is None:
            return
        bid, ask = book.bid, book.ask
        bids, asks = book.sides[1][bid].size, book.sides[-1][ask].size
        self._quote = (bid, bids, ask, asks)
        if before is None or is_full:
            return
        bid0, bids0, ask0, asks0 = before
        grown = (bid >= bid0) * bids - (bid <= bid0) * bids0 - (ask <= ask0) * asks + (ask >= ask0) * asks0
        self.log("flow_imbalance").add(self.at_us, grown * book.mid)

    def _remove(self, price: Fraction, amount: Fraction, side: int) -> None:
        mid = self.book.mid
        if mid is None or abs(price - mid) > NEAR * mid or self.trades.lost_at is not None:
            return
        left = amount
        for fill in self.fills:
            if fill.price == price and fill.side in (0, side) and self.at_us - fill.at_us <= TIMEOUT_US:
                met = min(left, fill.left)
                fill.left -= met
                left -= met
        self.removals.append(Removal(self.at_us, price, side, amount, left))

    def _settle(self, row: Row) -> None:
        if not self.book.is_whole:
            self.book.is_open = False
            return
        self.book_stamp_us = max(self.book_stamp_us, row.at_us)
        self._arrive("book", row)
        self._sample()
        self.book.settle()
        is_full = bool(row.flags & Flag.SNAPSHOT)
        self._flow(is_full=is_full)
        if not is_full:
            self.log("book_messages").add(self.at_us, 1)
        self.log("mid").add(self.at_us, math.nan if self.book.mid is None else self.book.mid)
        if self.book.is_crossed:
            self.log("crossings").add(self.at_us, 1)
