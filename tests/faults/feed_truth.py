"""What a connector put into its sink, held against what really happened on the embedded exchange."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from guard.model import ASK, BID, Channel, Flag, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from guard_sim.book import Diff
    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.exchange import Exchange

DEPTH = 20
STATES_MAX = 4000
# A trade that was on its way when the last frame of a connection came is not in the hole by its stamp.
IN_FLIGHT_US = 300_000
FRESH_US = 1_500_000

Levels = tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]


class Row(NamedTuple):
    kind: int
    at_us: int
    received_us: int
    price: float
    amount: float
    side: int
    key: int
    flags: int


class TrueBooks:
    """Every state of every book that was made known, by the number of its last change, as a hash of its best levels."""

    def __init__(self, exchange: Exchange) -> None:
        self.by_symbol: dict[str, dict[int, int]] = defaultdict(dict)
        self._stock = exchange.changed
        exchange.changed = self._changed  # type: ignore[method-assign]

    def _changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        states = self.by_symbol[market.coin.symbol]
        states[diff.last_id] = hash(shown(market))
        if len(states) > STATES_MAX:
            del states[next(iter(states))]
        self._stock(market, at_us, diff)


def shown(market: CoinMarket) -> Levels:
    """Return the best levels of both sides in ticks and lots."""
    return tuple(market.book.levels(BID, DEPTH)), tuple(market.book.levels(ASK, DEPTH))


class MarketHeard:
    """The rows of one market, its book as they make it, and what of that never was."""

    def __init__(self, market: CoinMarket, states: Mapping[int, int], now_us: Callable[[], int]) -> None:
        self.market = market
        self.rows: list[Row] = []
        self.status: dict[int, Status] = {}
        self.levels: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
        self.book_key = 0
        self.book_us = 0
        self.books = 0
        self.wrong_books: deque[tuple[int, int]] = deque(maxlen=1000)
        self._states = states
        self._now_us = now_us
        self._is_message_new = True

    def append(self, row: Row) -> None:
        if row.kind == Kind.LEVEL:
            self._level(row)
            return
        self.rows.append(row)
        if row.kind == Kind.STATUS and row.key < Status.WARM:
            for channel in (Channel.TRADES, Channel.BOOK) if row.side == Channel.ALL else (row.side,):
                self.status[channel] = Status(row.key)

    def _level(self, row: Row) -> None:
        coin = self.market.coin
        if row.flags & Flag.SNAPSHOT and self._is_message_new:
            self.levels = {BID: {}, ASK: {}}
        tick, lots = round(row.price * coin.ticks_per_usdt), round(row.amount * coin.lots_per_coin)
        if lots:
            self.levels[row.side][tick] = lots
        else:
            self.levels[row.side].pop(tick, None)
        self._is_message_new = bool(row.flags & Flag.LAST)
        if self._is_message_new:
            self.books += 1
            self.book_key, self.book_us = row.key or self.book_key, self._now_us()
            if self.is_book_true() is False and row.key:
                self.wrong_books.append((self.book_us, row.key))

    def book(self) -> Levels:
        bids = sorted(self.levels[BID].items(), reverse=True)[:DEPTH]
        return tuple(bids), tuple(sorted(self.levels[ASK].items())[:DEPTH])

    def is_book_true(self) -> bool | None:
        """Whether the book is as it was at its number, None where that number was never made known."""
        true = self._states.get(self.book_key)
        return None if true is None else hash(self.book()) == true

    def holes(self, channel: Channel) -> Iterator[tuple[int, int]]:
        """Yield the spans (from, to) that were told as lost."""
        lost_us: int | None = None
        for row in self.rows:
            if row.side not in (channel, Channel.ALL):
                continue
            if row.kind == Kind.GAP:
                yield row.key, max(row.at_us, row.received_us)
            elif row.kind == Kind.STATUS and row.key in (Status.LOST, Status.STALLED, Status.MAINTENANCE):
                lost_us = row.at_us if lost_us is None else lost_us
            elif row.kind == Kind.STATUS and row.key == Status.LIVE and lost_us is not None:
                yield lost_us, row.received_us
                lost_us = None
        if lost_us is not None:
            yield lost_us, self._now_us()

    def live_since_us(self, channel: Channel) -> int | None:
        """Return when the channel first went live."""
        of = (row for row in self.rows if row.kind == Kind.STATUS and row.key == Status.LIVE and row.side in (channel, Channel.ALL))
        first = next(of, None)
        return None if first is None else first.received_us


class Heard:
    """A sink."""

    def __init__(self, exchange: Exchange, rows: Mapping[str, int]) -> None:
        self.exchange = exchange
        self.books = TrueBooks(exchange)
        self.by_symbol = {
            symbol: MarketHeard(exchange.market.by_symbol[symbol], self.books.by_symbol[symbol], exchange.now_us) for symbol in rows
        }
        self._by_row = {row: self.by_symbol[symbol] for symbol, row in rows.items()}

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        self._by_row[market].append(Row(int(kind), at_us, received_us, price, amount, int(side), int(key), int(flags)))

    def not_live(self) -> list[str]:
        """Return what does not flow at the moment."""
        now_us = self.exchange.now_us()
        found = []
        for symbol, heard in self.by_symbol.items():
            states = {channel: heard.status.get(channel) for channel in (Channel.TRADES, Channel.BOOK)}
            found += [
                f"{symbol} {channel.name.lower()} is {state.name.lower() if state else 'not begun'}"
                for channel, state in states.items()
                if state is not Status.LIVE
            ]
            if heard.is_book_true() is not True or heard.book_us < now_us - FRESH_US:
                found.append(f"{symbol} book is {'old' if heard.is_book_true() else 'not the true one'}")
            newest = [entry for entry in self.exchange.prints[heard.market.row].live() if entry.at_us < now_us - IN_FLIGHT_US]
            keys = {row.key for row in heard.rows[-2000:] if row.kind == Kind.TRADE}
            if newest and newest[-1].id not in keys and not self._is_told(heard, newest[-1].at_us, 0):
                found.append(f"{symbol} lacks its newest trade")
        return found

    def faults(self, *, tolerance_us: int = 0, until_us: int | None = None) -> list[str]:
        """Return everything that is wrong with what was delivered so far; `tolerance_us` for stamps of a wrong clock.

        Trades of after `until_us` may be missing still: the time to notice is theirs.
        """
        until_us = self.exchange.now_us() - FRESH_US if until_us is None else until_us
        return [text for symbol, heard in self.by_symbol.items() for text in self._of(symbol, heard, tolerance_us, until_us)]

    def _of(self, symbol: str, heard: MarketHeard, tolerance_us: int, until_us: int) -> Iterator[str]:
        true = {entry.id: entry for entry in self.exchange.prints[heard.market.row].live()}
        coin = heard.market.coin
        scored: dict[int, int] = defaultdict(int)
        known = set()
        for row in heard.rows:
            if row.kind != Kind.TRADE:
                continue
            known.add(row.key)
            if row.flags & Flag.BACKFILL:
                continue
            scored[row.key] += 1
            entry = true.get(row.key)
            if entry is None:
                yield f"{symbol}: a trade {row.key} at {row.price} that never was"
            elif (round(row.price * coin.ticks_per_usdt), round(row.amount * coin.lots_per_coin), row.side) != entry[2:5]:
                yield f"{symbol}: trade {row.key} is not as it was: {row}"
        twice = [key for key, count in scored.items() if count > 1]
        if twice:
            yield f"{symbol}: trades scored twice, from {twice[0]} ({len(twice)})"
        since_us = heard.live_since_us(Channel.TRADES)
        missing = [
            entry
            for entry in true.values()
            if since_us is not None and since_us + IN_FLIGHT_US < entry.at_us < until_us and entry.id not in known
        ]
        unmarked = [entry for entry in missing if not self._is_told(heard, entry.at_us, tolerance_us)]
        if unmarked:
            span = unmarked[0].at_us, unmarked[-1].at_us
            about = f"{len(unmarked)} until {span[1]}; marks about it: {_marks(heard, *span)}"
            yield f"{symbol}: trades missing outside any gap, from {unmarked[0].id} at {span[0]} ({about})"
        holes = sorted(heard.holes(Channel.BOOK))
        wrong = [at_us for at_us, _ in heard.wrong_books if not _is_within(holes, at_us, IN_FLIGHT_US + tolerance_us)]
        if wrong:
            yield f"{symbol}: book states that never were, from {wrong[0]} ({len(wrong)} until {wrong[-1]})"

    def _is_told(self, heard: MarketHeard, at_us: int, tolerance_us: int) -> bool:
        return _is_within(sorted(heard.holes(Channel.TRADES)), at_us, IN_FLIGHT_US + tolerance_us)


def _marks(heard: MarketHeard, from_us: int, to_us: int) -> str:
    of = [row for row in heard.rows if row.kind in (Kind.GAP, Kind.STATUS) and row.side in (Channel.TRADES, Channel.ALL)]
    near = [row for row in of if from_us - 10_000_000 <= row.received_us <= to_us + 10_000_000]
    names = (f"GAP from {(row.key - from_us) / 1e6:+.2f}" if row.kind == Kind.GAP else Status(row.key).name for row in near)
    return ", ".join(f"{(row.received_us - from_us) / 1e6:+.2f} {name}" for row, name in zip(near, names, strict=True))


def _is_within(spans: list[tuple[int, int]], at_us: int, tolerance_us: int) -> bool:
    place = bisect_left(spans, (at_us + tolerance_us, at_us + tolerance_us))
    return any(start - tolerance_us <= at_us <= end + tolerance_us for start, end in spans[:place])
