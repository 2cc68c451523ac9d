"""An unmodified ccxt.pro.binance over the embedded exchange."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim_support import Running

LIMIT_S = 15.0


async def test_markets_load_with_their_steps(pointed: Callable[[], Any]) -> None:
    client = pointed()
    markets = await client.load_markets()
    assert len(markets) == 16
    moon = markets["MOON/USDT"]
    assert (moon["precision"]["price"], moon["precision"]["amount"], moon["active"]) == (1e-7, 1.0, True)
    assert moon["limits"]["cost"]["min"] == 1.0


async def test_trades_stream_with_consecutive_ids(pointed: Callable[[], Any]) -> None:
    client = pointed()
    seen: list[Any] = []
    async with asyncio.timeout(LIMIT_S):
        while len(seen) < 8:
            seen += await client.watch_trades("BTC/USDT")
    assert all(int(after["id"]) == int(before["id"]) + 1 for before, after in pairwise(seen))
    assert all(trade["side"] in {"buy", "sell"} and trade["price"] > 0 for trade in seen)


async def test_the_streamed_book_equals_the_exchanges_own(pointed: Callable[[], Any], running: Running) -> None:
    client = pointed()
    async with asyncio.timeout(LIMIT_S):
        for _ in range(60):
            book = await client.watch_order_book("ETH/USDT")
            own = running.exchange.market.by_symbol["ETH/USDT"]
            if book["nonce"] == own.book.update_id:
                scale = own.coin.ticks_per_usdt
                assert [price for price, _ in book["bids"]] == [tick / scale for tick, _ in own.book.levels(1)]
                assert [price for price, _ in book["asks"]] == [tick / scale for tick, _ in own.book.levels(-1)]
                return
            assert book["bids"][0][0] < book["asks"][0][0]
    pytest.fail("the book was never level with the exchange's")


async def test_books_of_many_symbols_stay_in_sequence(pointed: Callable[[], Any]) -> None:
    client = pointed()
    symbols = ["BTC/USDT", "SOL/USDT", "MOON/USDT"]
    await client.load_markets()
    async with asyncio.timeout(LIMIT_S):
        seen = set()
        for _ in range(40):
            book = await client.watch_order_book_for_symbols(symbols)
            seen.add(book["symbol"])
    assert seen == set(symbols)


async def test_candles_join_the_present_without_a_hole(pointed: Callable[[], Any], running: Running) -> None:
    client = pointed()
    since = running.exchange.now_us() // 1000 - 3_600_000
    candles = await client.fetch_ohlcv("BTC/USDT", "1m", since=since)
    assert len(candles) in {60, 61}
    assert all(after[0] - before[0] == 60_000 for before, after in pairwise(candles))
    assert candles[-1][4] == pytest.approx(64_250.0, rel=0.01)
    assert len(await client.fetch_ohlcv("BTC/USDT", "1h", limit=24)) == 24
    first = (await client.fetch_ohlcv("MOON/USDT", "1d", since=0, limit=1))[0]
    assert since - first[0] > 300 * 86_400_000


async def test_recent_trades_reach_back_into_the_past(pointed: Callable[[], Any], running: Running) -> None:
    client = pointed()
    newest = await client.fetch_trades("MOON/USDT", limit=1000)
    assert len(newest) == 1000
    assert all(int(after["id"]) == int(before["id"]) + 1 for before, after in pairwise(newest))
    since = running.exchange.now_us() // 1000 - 600_000
    some = await client.fetch_trades("MOON/USDT", since=since, limit=50)
    assert some[0]["timestamp"] >= since
    plain = await client.fetch_trades("MOON/USDT", limit=100, params={"fetchTradesMethod": "publicGetTrades"})
    assert {trade["id"] for trade in plain} <= {trade["id"] for trade in newest} | {
        str(number) for number in range(100_000_000, running.exchange.market.by_symbol["MOON/USDT"].next_id)
    }
    by_id = await running.ask("/api/v3/aggTrades", symbol="MOONUSDT", fromId=newest[10]["id"], limit=3)
    assert [str(trade["a"]) for trade in by_id] == [trade["id"] for trade in newest[10:13]]


async def test_tickers_cover_all_markets(pointed: Callable[[], Any]) -> None:
    tickers = await pointed().fetch_tickers()
    assert len(tickers) == 16
    assert tickers["BTC/USDT"]["quoteVolume"] > 5e8
    assert tickers["DUST/USDT"]["quoteVolume"] < 1e6
    assert all(ticker["bid"] < ticker["ask"] for ticker in tickers.values())


async def test_a_market_order_trades_against_the_book_and_is_printed(pointed: Callable[[], Any], running: Running) -> None:
    client = pointed()
    await client.load_markets()
    moon = running.exchange.market.by_symbol["MOON/USDT"]
    asks = moon.book.levels(-1)[:3]
    order = await client.create_order("MOON/USDT", "market", "buy", sum(lots for _, lots in asks) + 1)
    assert order["status"] == "closed"
    assert order["filled"] == sum(lots for _, lots in asks) + 1
    assert len(order["trades"]) >= 3
    printed = {str(trade["id"]) for trade in await running.ask("/api/v3/trades", symbol="MOONUSDT")}
    assert {trade["id"] for trade in order["trades"]} <= printed


async def test_a_resting_limit_order_waits_fills_and_can_be_taken_back(pointed: Callable[[], Any], running: Running) -> None:
    client = pointed()
    await client.load_markets()
    moon = running.exchange.market.by_symbol["MOON/USDT"]
    far = await client.create_order("MOON/USDT", "limit", "buy", 1000, 0.02)
    assert far["status"] == "open"
    assert (await client.cancel_order(far["id"], "MOON/USDT"))["status"] == "canceled"
    near = await client.create_order("MOON/USDT", "limit", "sell", 1000, (moon.book.best(-1) or 0) / 1e7)
    moon.sweep(running.exchange.advance(), 1, 4)
    assert (await client.fetch_order(near["id"], "MOON/USDT"))["status"] == "closed"
    assert await client.fetch_open_orders("MOON/USDT") == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"symbol": "MOONUSDT", "side": "UP", "type": "MARKET"}, -1102),
        ({"symbol": "MOONUSDT", "side": "BUY", "type": "MARKET", "quantity": "nan"}, -1102),
        ({"symbol": "MOONUSDT", "side": "BUY", "type": "MARKET", "quantity": "1e300"}, -1013),
        ({"symbol": "MOONUSDT", "side": "BUY", "type": "LIMIT", "quantity": "5", "price": "-1"}, -1102),
    ],
)
async def test_an_order_that_cannot_be_is_refused_with_its_code(running: Running, words: dict[str, str], code: int) -> None:
    from urllib.parse import urlencode

    status, answer = await running.post(f"/api/v3/order?{urlencode(words)}", None)
    assert (status, answer["code"]) == (400, code)


async def test_an_unknown_symbol_is_a_bad_symbol(pointed: Callable[[], Any], running: Running) -> None:
    import ccxt

    client = pointed()
    await client.load_markets()
    with pytest.raises(ccxt.BadSymbol):
        await client.publicGetDepth({"symbol": "NOPEUSDT"})
    answer = await running.ask("/api/v3/klines", symbol="MOONUSDT", interval="7m")
    assert answer["code"] == -1120
