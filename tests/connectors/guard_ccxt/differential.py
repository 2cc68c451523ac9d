"""The same frames through unmodified ccxt.pro, through the generic tier and through a decoder; what each made of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import ccxt.pro
from ccxt_support import START_US, Books, Row, Rows, StillClock
from hypothesis import given, settings

from guard.errors import MalformedEvent
from guard.model import ASK, BID, Channel, Flag, Kind
from guard_ccxt.connections.tap import Tap
from guard_ccxt.counters import Counters
from guard_ccxt.stream.gate import ClockOffset, Gate
from guard_ccxt.stream.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hypothesis.strategies import SearchStrategy

__all__ = ["NOW_MS", "Differential", "Feeding", "checked", "contract", "spot"]

NOW_MS = START_US // 1000
_LEVELS_MAX = 1000


def spot(market_id: str, symbol: str) -> dict[str, Any]:
    """Return a ccxt market."""
    base, _, quote = symbol.partition("/")
    return _market(market_id, symbol, base, quote, type="spot", spot=True)


def contract(market_id: str, symbol: str, *, size: float, is_inverse: bool = False, market_type: str = "swap") -> dict[str, Any]:
    """Return a ccxt market of a contract."""
    base, _, rest = symbol.partition("/")
    quote, _, settle = rest.partition(":")
    kind = {"type": market_type, market_type: True, "contract": True, "settle": settle.partition("-")[0], "contractSize": size}
    return _market(market_id, symbol, base, quote, **kind, linear=not is_inverse, inverse=is_inverse)


def _market(market_id: str, symbol: str, base: str, quote: str, **more: Any) -> dict[str, Any]:
    kinds = dict.fromkeys(("spot", "margin", "swap", "future", "option", "contract", "linear", "inverse"), False)
    names = {"id": market_id, "symbol": symbol, "base": base, "quote": quote, "baseId": base, "quoteId": quote, "active": True}
    return {**kinds, **names, "precision": {"price": 1e-8, "amount": 1e-8}, "limits": {}, "info": {}, **more}


class Feeding(NamedTuple):
    """What one frame gave: rows, the error that ccxt raised, whether stock ccxt had to read it, symbols of failed calls."""

    rows: list[Row]
    error: str
    is_fallback: bool
    rejected: list[str]


class _Way:
    # One ccxt instance with the tap, of either tier, and no socket.
    def __init__(self, exchange_id: str, markets: Sequence[dict[str, Any]], url: str, *, tier: str) -> None:
        self.exchange = made(exchange_id, markets)
        self.clock = StillClock()
        self.counters = Counters(lambda _: None)
        self.tap = Tap(
            self.exchange, clock=self.clock, counters=self.counters, levels_max=_LEVELS_MAX, bad_frames_max=1000, tier=tier
        )
        self.tap.install()
        self.markets, self.url = markets, url
        self.gates = gates_of(markets)
        self.renew()

    def renew(self) -> None:
        forget(self.exchange)
        self.client = self.exchange.client(self.url)
        self.connection = self.tap.connections[self.url]
        self.sink = Rows()
        for row, market in enumerate(self.markets):
            for channel in (Channel.TRADES, Channel.BOOK):
                self._subscribe(market["symbol"], row, channel)

    def _subscribe(self, symbol: str, row: int, channel: Channel) -> None:
        gate, sink, counters, clock = self.gates[symbol], self.sink, self.counters, self.clock
        subscription = Subscription(symbol, row, channel, gate=gate, sink=sink, counters=counters, clock=clock)
        subscription.begin()
        self.tap.subscriptions[channel, symbol] = subscription

    def feed(self, frame: str) -> Feeding:
        self.connection.arrived(is_data=True)
        before, error = len(self.sink.rows), ""
        decoder = self.connection.decoder
        is_taken = decoder is not None and decoder.take(self.connection, frame)
        self.counters.fallbacks += not is_taken
        try:
            if not is_taken:
                self.client.handle_text_or_binary_message(frame)
        except Exception as caught:  # noqa: BLE001  # ccxt raises anything
            error = type(caught).__name__
        self.connection.received_us = 0
        rejected = sorted(self.client.rejections)
        self.client.rejections.clear()
        return Feeding(self.sink.rows[before:], error, not is_taken, rejected)


class Differential:
    """Feeds frames in all three ways and compares at once.

    `fast.counters.fallbacks` tells how many frames the decoder left to stock ccxt.
    """

    def __init__(self, exchange_id: str, markets: Sequence[dict[str, Any]], url: str) -> None:
        self.markets, self.url = markets, url
        self._seen: dict[tuple[int, int], tuple[float, float]] = {}
        self.stock = made(exchange_id, markets)
        self.stock_client = self.stock.client(url)
        self.generic = _Way(exchange_id, markets, url, tier="generic")
        self.fast = _Way(exchange_id, markets, url, tier="auto")
        assert self.fast.tap.tier == "fast"
        assert self.generic.connection.decoder is None
        self._gates = gates_of(markets)

    def renew(self) -> None:
        """Forget all frames: new clients, new subscriptions, the same exchanges."""
        forget(self.stock)
        self.stock_client = self.stock.client(self.url)
        self.generic.renew()
        self.fast.renew()
        self._seen.clear()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for exchange in (self.stock, self.generic.exchange, self.fast.exchange):
            await exchange.close()

    def subscribed(self, *hashes: str) -> None:
        """Let all three think that they had asked for these message hashes."""
        for client in self._clients():
            client.subscriptions |= dict.fromkeys(hashes, True)

    def show_book(self, symbol: str, bids: list[list[float]], asks: list[list[float]], *, nonce: int | None) -> None:
        """Synchronise the book of `symbol` as ccxt does with a snapshot of REST."""
        snapshot = {"symbol": symbol, "nonce": nonce, "timestamp": NOW_MS, "bids": bids, "asks": asks}
        for exchange in (self.stock, self.generic.exchange, self.fast.exchange):
            book = exchange.orderbooks[symbol] = exchange.order_book({}, 100)
            book.reset(snapshot)
        for way in (self.generic, self.fast):
            way.tap.take_book(way.exchange.orderbooks[symbol], way.clock.now_us())

    def feed(self, frame: str) -> Feeding:
        """Feed one frame; return what the fast tier made of it, which is what the two others made of it."""
        error = ""
        try:
            self.stock_client.handle_text_or_binary_message(frame)
        except Exception as caught:  # noqa: BLE001  # likewise
            error = type(caught).__name__
        generic, fast = self.generic.feed(frame), self.fast.feed(frame)
        self.stock_client.rejections.clear()
        assert generic.rows == fast.rows, (frame, generic.rows, fast.rows)
        assert generic.error == fast.error == error, frame
        assert generic.rejected == fast.rejected, frame
        trades = [row._replace(flags=row.flags & ~Flag.BACKFILL) for row in fast.rows if row.kind == Kind.TRADE]
        stock_trades = sorted(self._stock_trades())
        assert stock_trades == sorted(trades), frame
        assert dict(self.fast.counters.rejected) == dict(self.generic.counters.rejected)
        return fast

    def feed_all(self, frames: Iterable[str]) -> int:
        """Feed frames; return how many the decoder handled."""
        return sum(not self.feed(frame).is_fallback for frame in frames)

    def books(self, way: _Way) -> dict[tuple[int, int], dict[float, float]]:
        """Return the levels a reader of the rows has: (row, side) -> price -> base amount."""
        return {key: levels for key, levels in Books(way.sink.rows).sides.items() if levels}

    def stock_books(self) -> dict[tuple[int, int], dict[float, float]]:
        """Return the levels of unmodified ccxt in the same form."""
        found = {}
        for row, market in enumerate(self.markets):
            book = self.stock.orderbooks.get(market["symbol"]) or {"bids": [], "asks": []}
            for side, name in ((BID, "bids"), (ASK, "asks")):
                levels = {level[0]: self._gates[market["symbol"]].level(level[0], level[1]) for level in book[name]}
                if levels:
                    found[row, side] = levels
        return found

    def _stock_trades(self) -> list[Row]:
        found = {market["symbol"]: row for row, market in enumerate(self.markets)}
        rows, received_us = [], self.fast.clock.now_us()
        for cache in self.stock.trades.values():
            for trade in cache:
                row = found.get(trade["symbol"])
                if row is None:
                    continue
                try:
                    taken = self._gates[trade["symbol"]].trade(trade, received_us=received_us)
                except MalformedEvent:
                    continue
                at_us, price, amount, side, key, flags = taken
                if key and self._seen.get((row, key)) == (price, amount):  # guard drops what is sent again
                    continue
                self._seen[row, key] = price, amount
                rows.append(Row(int(Kind.TRADE), row, at_us, received_us, price, amount, side, key, flags))
            cache.clear()
        return rows

    def _clients(self) -> tuple[Any, ...]:
        return self.stock_client, self.generic.client, self.fast.client


def made(exchange_id: str, markets: Sequence[dict[str, Any]]) -> Any:
    exchange = getattr(ccxt.pro, exchange_id)({"newUpdates": True})
    exchange.set_markets([dict(market) for market in markets])
    return exchange


def forget(exchange: Any) -> None:
    exchange.clients, exchange.trades, exchange.orderbooks = {}, {}, {}


def checked(
    make: Callable[[], Differential], strategy: SearchStrategy[Any], judge: Callable[[Differential, Any], None], *, examples: int
) -> None:
    """Let `judge` look at generated values, each with a `Differential` that has seen nothing."""
    with asyncio.Runner() as runner:

        async def made_here() -> Differential:
            return make()

        found = runner.run(made_here())

        async def judged(value: Any) -> None:
            found.renew()
            judge(found, value)

        @settings(max_examples=examples, deadline=None)
        @given(strategy)
        def each(value: Any) -> None:
            runner.run(judged(value))

        try:
            each()
        finally:
            runner.run(found.__aexit__())


def gates_of(markets: Sequence[dict[str, Any]]) -> dict[str, Gate]:
    return {
        market["symbol"]: Gate(
            contract_size=market.get("contractSize") or 1.0, is_inverse=bool(market["inverse"]), offset=ClockOffset()
        )
        for market in markets
    }
