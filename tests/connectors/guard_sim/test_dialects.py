"""Unmodified ccxt.pro classes over the embedded KuCoin and Gate, and what those refuse."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from sim_support import serving

from guard_sim.dialects import ccxt_options

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sim_support import Running

LIMIT_S = 15.0
BOTH = pytest.mark.parametrize("dialect", ["kucoin", "gate"])


@asynccontextmanager
async def reading(dialect: str) -> AsyncIterator[tuple[Any, Running]]:
    ccxtpro = pytest.importorskip("ccxt.pro")
    async with serving(dialect=dialect) as running:
        options = ccxt_options(dialect, {"rest": running.rest, "ws": running.websocket})
        client = getattr(ccxtpro, dialect)({"enableRateLimit": False})
        client.urls = client.deep_extend(client.urls, options["urls"])
        client.options = client.deep_extend(client.options, options["options"])
        try:
            yield client, running
        finally:
            await client.close()


@BOTH
async def test_markets_tickers_and_the_past_can_be_had(dialect: str) -> None:
    async with reading(dialect) as (client, running):
        markets = await client.load_markets()
        tickers = await client.fetch_tickers()
        now_ms = running.exchange.now_us() // 1000
        candles = await client.fetch_ohlcv("BTC/USDT", "1m", since=now_ms - 3_600_000)
        hours = await client.fetch_ohlcv("BTC/USDT", "1h", limit=24)
        trades = await client.fetch_trades("MOON/USDT")
        assert abs(await client.fetch_time() - now_ms) < 5000
    assert len(markets) == len(tickers) == 16
    moon = markets["MOON/USDT"]
    assert (moon["precision"]["price"], moon["precision"]["amount"], moon["active"]) == (1e-7, 1.0, True)
    assert tickers["BTC/USDT"]["quoteVolume"] > 5e8
    assert all(ticker["bid"] < ticker["ask"] for ticker in tickers.values())
    assert len(candles) in {60, 61}
    assert all(after[0] - before[0] == 60_000 for before, after in pairwise(candles))
    assert len(hours) == 24
    assert len(trades) == 100
    assert all(before["timestamp"] <= after["timestamp"] for before, after in pairwise(trades))


@BOTH
async def test_trades_stream_complete_and_as_they_were(dialect: str) -> None:
    seen: list[Any] = []
    async with reading(dialect) as (client, running), asyncio.timeout(LIMIT_S):
        while len(seen) < 12:
            seen += await client.watch_trades_for_symbols(["BTC/USDT", "ETH/USDT"])
        true = {
            symbol: running.exchange.prints[running.exchange.market.by_symbol[symbol].row] for symbol in ("BTC/USDT", "ETH/USDT")
        }
        for symbol, prints in true.items():
            ours = [trade for trade in seen if trade["symbol"] == symbol]
            coin = running.exchange.market.by_symbol[symbol].coin
            theirs = {entry.id: entry for entry in prints.live()}
            assert all(int(after["id"]) == int(before["id"]) + 1 for before, after in pairwise(ours))
            for trade in ours:
                entry = theirs[int(trade["id"])]
                assert (trade["price"], trade["amount"]) == (entry.tick / coin.ticks_per_usdt, entry.lots / coin.lots_per_coin)
                assert trade["timestamp"] == entry.at_us // 1000
                assert trade["side"] == ("buy" if entry.side > 0 else "sell")


@BOTH
async def test_the_streamed_book_equals_the_exchanges_own(dialect: str) -> None:
    async with reading(dialect) as (client, running), asyncio.timeout(LIMIT_S):
        own = running.exchange.market.by_symbol["ETH/USDT"]
        for _ in range(60):
            book = await client.watch_order_book("ETH/USDT", 100)
            if book["nonce"] == own.book.update_id:
                scale = own.coin.ticks_per_usdt
                for name, side in (("bids", 1), ("asks", -1)):
                    assert len(book[name]) >= 50
                    assert [price for price, _ in book[name]] == [
                        tick / scale for tick, _ in own.book.levels(side, len(book[name]))
                    ]
                return
    pytest.fail("the book was never level with the exchange's")


@asynccontextmanager
async def talking(running: Running) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with aiohttp.ClientSession() as session:
        url = running.websocket
        if running.exchange.websocket == "/endpoint":
            async with session.post(f"{running.rest}/api/v1/bullet-public") as response:
                data = (await response.json())["data"]
            url = f"{data['instanceServers'][0]['endpoint']}?token={data['token']}&connectId=7"
        async with session.ws_connect(url) as socket:
            yield socket


async def test_kucoin_greets_answers_pings_and_refuses_what_is_too_much() -> None:
    async with serving(dialect="kucoin") as running, talking(running) as socket, asyncio.timeout(LIMIT_S):

        async def say(kind: str, topic: str = "", number: str = "1") -> Any:
            await socket.send_json({"id": number, "type": kind, "topic": topic, "response": True})
            while (answer := await socket.receive_json())["type"] == "message":
                continue
            return answer

        assert await socket.receive_json() == {"id": "7", "type": "welcome"}
        assert (await say("ping", number="3"))["type"] == "pong"
        assert await say("subscribe", "/market/match:BTC-USDT,ETH-USDT", "4") == {"id": "4", "type": "ack"}
        assert (await say("subscribe", "/market/match:NO-USDT"))["code"] == 404
        assert (await say("dance"))["code"] == 415
        (reader,) = running.exchange.hub.readers
        reader.topics |= {f"/market/match:X{number}-USDT" for number in range(297)}
        refused = await say("subscribe", "/market/level2:BTC-USDT,ETH-USDT")
        assert (refused["code"], refused["data"]) == (509, "exceed max subscription count limitation of 300 per session")
        reader.topics = {"/market/match:BTC-USDT", "/market/match:ETH-USDT"}
        answers = [await say("ping") for _ in range(100)]
        assert answers[-1]["data"] == "exceed max permits per second"


async def test_kucoin_lets_nobody_in_without_a_token_that_is_good() -> None:
    async with serving(dialect="kucoin") as running, aiohttp.ClientSession() as session, asyncio.timeout(LIMIT_S):
        async with session.ws_connect(f"{running.websocket}?token=wrong&connectId=1") as socket:
            assert (await socket.receive_json())["data"] == "token is invalid"
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        async with session.post(f"{running.rest}/api/v1/bullet-public") as response:
            token = (await response.json())["data"]["token"]
        await running.fault("expire_token")
        async with session.ws_connect(f"{running.websocket}?token={token}&connectId=1") as socket:
            assert (await socket.receive_json())["data"] == "token is expired"


async def test_gate_acknowledges_refuses_a_book_twice_and_begins_books_in_full() -> None:
    async with serving(dialect="gate") as running, talking(running) as socket, asyncio.timeout(LIMIT_S):

        async def say(channel: str, event: str, *payload: str) -> Any:
            await socket.send_json({"id": 5, "time": 0, "channel": channel, "event": event, "payload": list(payload)})
            while (answer := await socket.receive_json())["event"] == "update":
                continue
            return answer

        assert (await say("spot.ping", ""))["channel"] == "spot.pong"
        first = await say("spot.obu", "subscribe", "ob.BTC_USDT.50")
        assert (first["id"], first["result"]) == (5, {"status": "success"})
        full, then = (await socket.receive_json())["result"], (await socket.receive_json())["result"]
        assert full["full"] is True
        assert then["U"] == full["u"] + 1
        assert (await say("spot.obu", "subscribe", "ob.BTC_USDT.50"))["error"] == {"code": 2, "message": "Alert sub ob.BTC_USDT.50"}
        unknown = await say("spot.trades", "subscribe", "NO_USDT")
        assert unknown["error"] == {"code": 2, "message": "unknown currency pair: NO_USDT"}
        assert (await say("spot.obu", "unsubscribe", "ob.BTC_USDT.50"))["result"] == {"status": "success"}
        assert (await say("spot.obu", "subscribe", "ob.BTC_USDT.50"))["result"] == {"status": "success"}
        assert (await say("spot.order_book_update", "subscribe", "BTC_USDT", "100ms"))["result"] == {"status": "success"}


@BOTH
async def test_rest_refuses_unknown_markets_and_tells_what_is_used(dialect: str) -> None:
    path, name = {"kucoin": ("/api/v1/market/histories", "symbol"), "gate": ("/api/v4/spot/trades", "currency_pair")}[dialect]
    async with serving(dialect=dialect) as running, aiohttp.ClientSession() as session:
        async with session.get(running.rest + path, params={name: "NO"}) as response:
            assert response.status == 400
        good = {"kucoin": "BTC-USDT", "gate": "BTC_USDT"}[dialect]
        async with session.get(running.rest + path, params={name: good}) as response:
            assert any("ratelimit" in header.lower() for header in response.headers)
        rest = (await running.ask("/control/health"))["rest"]
    assert rest["total"] == {"kucoin": 6, "gate": 2}[dialect]
