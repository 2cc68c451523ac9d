"""Frames through ccxt alone and through a decoder first, with the same real ccxt classes: what both write must be equal."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Any

import ccxt.pro
from aiohttp import WSMessage, WSMsgType
from ccxt_support import START_US, Rows, StillClock

from guard.model import Channel
from guard_ccxt.connections.pump import _handle
from guard_ccxt.connections.tap import Tap
from guard_ccxt.counters import Counters
from guard_ccxt.stream import recording
from guard_ccxt.stream.gate import ClockOffset, Gate
from guard_ccxt.stream.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Side", "both", "market"]


def market(market_id: str, symbol: str, kind: str, *, size: float | None = None, inverse: bool = False) -> dict[str, Any]:
    """Return a market as ccxt keeps it; `kind` is spot, swap or option."""
    base, _, rest = symbol.partition("/")
    return {
        "id": market_id,
        "symbol": symbol,
        "base": base,
        "quote": rest.partition(":")[0],
        "type": kind,
        "spot": kind == "spot",
        "swap": kind == "swap",
        "option": kind == "option",
        "contract": kind != "spot",
        "contractSize": size,
        "linear": None if kind == "spot" else not inverse,
        "inverse": None if kind == "spot" else inverse,
        "active": True,
        "precision": {},
        "limits": {},
        "info": {},
    }


@cache
def _made(exchange_id: str, tier: str) -> Any:
    # Making one takes longer than a comparison does; sockets are never opened.
    assert tier
    exchange = getattr(ccxt.pro, exchange_id)({"newUpdates": True})
    exchange.options["tradesLimit"] = 10_000
    exchange.session = object()
    exchange.own_session = False
    return exchange, exchange.client


def _instance(exchange_id: str, tier: str) -> Any:
    exchange, exchange.client = _made(exchange_id, tier)
    exchange.asyncio_loop = asyncio.get_running_loop()
    exchange.orderbooks, exchange.trades, exchange.clients = {}, {}, {}
    return exchange


class Side:
    """One exchange with its tap, fed frame by frame without a socket; `sides` of one comparison differ in their tier alone."""

    def __init__(
        self, exchange_id: str, url: str, markets: Sequence[Mapping[str, Any]], *, tier: str, levels_max: int = 2000
    ) -> None:
        self.exchange = _instance(exchange_id, tier)
        self.exchange.set_markets([dict(one) for one in markets])
        self.clock = StillClock()
        self.counters = Counters(lambda _: None)
        self.rows = Rows()
        self.tap = Tap(
            self.exchange, clock=self.clock, counters=self.counters, levels_max=levels_max, bad_frames_max=10**9, tier=tier
        )
        self.tap.install()
        self.client = self.exchange.client(url)
        self.connection = self.tap.connections[url]
        offset = ClockOffset()
        for row, one in enumerate(markets):
            gate = Gate(contract_size=one["contractSize"] or 1.0, is_inverse=bool(one["inverse"]), offset=offset)
            for channel in (Channel.TRADES, Channel.BOOK):
                subscription = Subscription(
                    one["symbol"],
                    row,
                    channel,
                    gate=gate,
                    sink=self.rows,
                    counters=self.counters,
                    clock=self.clock,
                    on_hole=lambda _: None,
                )
                subscription.begin()
                self.tap.subscriptions[channel, one["symbol"]] = subscription

    def take(self, text: str) -> None:
        """Feed one frame as the pump does."""
        _handle(self.connection, self.counters, WSMessage(WSMsgType.TEXT, text, ""), is_fresh=True, bad_frames_max=10**9)
        self.connection.received_us = 0

    def synchronise(self, symbol: str, nonce: int, bids: Sequence[Any], asks: Sequence[Any], stamp: int | None = None) -> None:
        """Do what ccxt does when the snapshot of a book arrives."""
        book = self.exchange.orderbooks.setdefault(symbol, self.exchange.order_book({}))
        # Copies: ccxt keeps the very lists that it is given.
        levels = {"bids": [list(level) for level in bids], "asks": [list(level) for level in asks]}
        book.reset({"symbol": symbol, "nonce": nonce, "timestamp": stamp, **levels})
        self.client.resolve(book, "orderbook::" + symbol)

    def book(self, symbol: str) -> Any:
        """Return ccxt's book as it is when ccxt wants it, nonce included; None where it has none."""
        book = self.exchange.orderbooks.get(symbol)
        if book is None:
            return None
        recording.take_back(book)
        for side, sign in ((book["bids"], -1), (book["asks"], 1)):
            assert repr([sign * key for key in side._index]) == repr([level[0] for level in side])
        # As text, in which a number that is none equals itself.
        return repr((book["nonce"], book["timestamp"], list(book["bids"]), list(book["asks"])))

    def written(self) -> tuple[Any, ...]:
        """Return all that must not differ."""
        return (
            [tuple(row) for row in self.rows.rows],
            dict(self.counters.rejected),
            self.counters.received,
            self.counters.last_event_us,
            [(one.phase, one.arrivals, one.last_price, one.last_trade_us) for one in self.tap.subscriptions.values()],
        )


def both(exchange_id: str, url: str, markets: Sequence[Mapping[str, Any]], *, levels_max: int = 2000) -> tuple[Side, Side]:
    """Return the generic and the fast side of a comparison."""
    generic, fast = (Side(exchange_id, url, markets, tier=tier, levels_max=levels_max) for tier in ("generic", "auto"))
    assert (generic.tap.tier, fast.tap.tier) == ("generic", "fast")
    return generic, fast


NOW_MS = START_US // 1000
