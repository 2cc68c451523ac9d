"""The generic tier on every exchange of ccxt.pro that streams trades: its hooks, on the real class of each."""

from __future__ import annotations

import inspect
import re
from itertools import product
from typing import Any

import ccxt.pro
import pytest
from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheBySymbolById
from ccxt_support import MovedClock, Rows

from guard.model import Channel, Kind
from guard_ccxt import CcxtConnector
from guard_ccxt.connections.instance import made
from guard_ccxt.connections.tap import _CACHES, Tap, missing_names
from guard_ccxt.counters import Counters
from guard_ccxt.options import read_options
from guard_ccxt.stream.gate import ClockOffset, Gate
from guard_ccxt.stream.subscription import Subscription

IDS = sorted(name for name in ccxt.pro.exchanges if getattr(ccxt.pro, name)().has.get("watchTrades"))


def test_there_are_as_many_as_are_listed() -> None:
    assert len(IDS) == 73
    assert [offer.id for offer in CcxtConnector.catalogue()] == IDS


class Tapped:
    """An exchange with its hooks in place and both streams of A/USDT subscribed, on a connection that is never dialled."""

    def __init__(self, name: str, *symbols: str) -> None:
        clock, self.counters = MovedClock(), Counters(lambda _: None)
        self.rows = Rows()
        self.exchange = made(name, read_options(name, {}))
        self.tap = Tap(self.exchange, clock=clock, counters=self.counters, levels_max=100, bad_frames_max=3, tier="generic")
        self.tap.install()
        self.now_ms = clock.now_us() // 1000
        for row, channel in product(range(len(symbols) or 1), (Channel.TRADES, Channel.BOOK)):
            gate, symbol = Gate(offset=ClockOffset()), (symbols or ("A/USDT",))[row]
            one = Subscription(symbol, row, channel, gate=gate, sink=self.rows, counters=self.counters, clock=clock)
            one.begin()
            self.tap.subscriptions[one.key] = one
        self.client = self.exchange.client("ws://127.0.0.1:1/any")

    async def close(self) -> None:
        await self.tap.close()
        await self.exchange.close()


@pytest.mark.parametrize("name", IDS)
async def test_trades_and_books_are_taken_where_ccxt_resolves_them(name: str) -> None:
    run = Tapped(name)
    assert missing_names(run.exchange) == []
    for first, kind in ((10, ArrayCache), (20, ArrayCacheBySymbolById)):
        cache = kind(10)
        for key in (first, first + 1, first + 2):
            cache.append({"symbol": "A/USDT", "id": str(key), "price": 1.0, "amount": 2.0, "side": "buy", "timestamp": run.now_ms})
        run.client.resolve(cache, "trades")
        assert len(cache) == 0
    book = run.exchange.order_book({"bids": [[1.0, 2.0]], "asks": [[1.1, 2.0]], "timestamp": run.now_ms, "nonce": 7})
    book["symbol"] = "A/USDT"
    run.client.resolve(book, "book")
    assert [row.key for row in run.rows.of(Kind.TRADE)] == [10, 11, 12, 20, 21, 22]
    assert len(run.rows.of(Kind.LEVEL)) == 2
    await run.close()


@pytest.mark.parametrize("name", IDS)
def test_its_handlers_hand_trades_over_in_a_cache_that_the_tap_empties(name: str) -> None:
    # Another kind of cache would be left to the plain await, which loses bursts, without a word.
    owner: Any = getattr(ccxt.pro, name)
    handlers = [each for each in dir(owner) if re.match(r"handle_.*trade", each) and "my_trade" not in each]
    sources = [source for each in handlers if "client.resolve(" in (source := inspect.getsource(getattr(owner, each)))]
    kept = [source for source in sources if "self.trades" in source]
    assert kept
    made_of = {kind for source in kept for kind in re.findall(r"\b(ArrayCache\w*)\(", source)}
    assert made_of <= {kind.__name__ for kind in _CACHES}


async def test_a_burst_on_coinbase_is_delivered_whole() -> None:
    run = Tapped("coinbase")
    market = {"id": "A-USDT", "symbol": "A/USDT", "base": "A", "quote": "USDT", "type": "spot", "spot": True}
    run.exchange.set_markets([run.exchange.safe_market_structure(market)])
    for frame in range(50):
        keys = range(100 * frame + 100, 100 * frame, -1)  # the newest first
        trades = [
            {
                "trade_id": str(key),
                "product_id": "A-USDT",
                "price": "1.5",
                "size": "2",
                "side": "BUY",
                "time": run.exchange.iso8601(run.now_ms),
            }
            for key in keys
        ]
        message = {"channel": "market_trades", "events": [{"type": "update", "trades": trades}]}
        run.exchange.handle_trade(run.client, message)
    assert [row.key for row in run.rows.of(Kind.TRADE)] == list(range(1, 5001))
    assert run.counters.rejected == {}
    await run.close()


def coinbase(*symbols: str) -> Tapped:
    """Return Coinbase with these symbols watched, and with A/USD and A/USDC on offer."""
    run = Tapped("coinbase", *symbols)
    markets = [
        {"id": f"A-{quote}", "symbol": f"A/{quote}", "base": "A", "quote": quote, "type": "spot", "spot": True} for quote in USD
    ]
    run.exchange.set_markets([run.exchange.safe_market_structure(market) for market in markets])
    return run


USD = ("USD", "USDC")


def show(run: Tapped, market_id: str, key: int, bid: str) -> None:
    """Let a trade and a message of the book come under a name."""
    now = run.exchange.iso8601(run.now_ms)
    trade = {"trade_id": str(key), "product_id": market_id, "price": "1.5", "size": "2", "side": "BUY", "time": now}
    run.exchange.handle_trade(run.client, {"channel": "market_trades", "events": [{"type": "update", "trades": [trade]}]})
    levels = [
        {"side": "bid", "price_level": bid, "new_quantity": "3"},
        {"side": "offer", "price_level": "1.6", "new_quantity": "3"},
    ]
    kind = "snapshot" if key == 1 else "update"
    event = {"type": kind, "product_id": market_id, "updates": levels}
    run.exchange.handle_order_book(run.client, {"channel": "l2_data", "timestamp": now, "events": [event]})


@pytest.mark.parametrize("symbols", [("A/USDC",), ("A/USD", "A/USDC")])
async def test_a_market_that_coinbase_streams_under_its_twins_name_is_delivered_once(symbols: tuple[str, ...]) -> None:
    run = coinbase(*symbols)
    show(run, "A-USD", 1, "1.4")
    show(run, "A-USD", 2, "1.45")
    for row in range(len(symbols)):
        assert [each.key for each in run.rows.of(Kind.TRADE, row)] == [1, 2]
        assert [each.price for each in run.rows.of(Kind.LEVEL, row)] == [1.4, 1.6, 1.45]
    assert run.counters.rejected == {}
    await run.close()


async def test_a_market_that_comes_under_its_own_name_takes_nothing_of_its_twin() -> None:
    run = coinbase("A/USD", "A/USDC")
    show(run, "A-USDC", 1, "1.4")
    show(run, "A-USD", 1, "1.3")
    assert [each.price for each in run.rows.of(Kind.LEVEL, 1)] == [1.4, 1.6]
    assert [each.price for each in run.rows.of(Kind.LEVEL, 0)] == [1.3, 1.6]
    assert len(run.rows.of(Kind.TRADE, 0)) == len(run.rows.of(Kind.TRADE, 1)) == 1
    await run.close()
