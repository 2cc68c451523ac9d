"""OKX and Bybit over real sockets: subscriptions, snapshots, a hole in a sequence, and how many frames were left to ccxt."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import test_fast_bybit as bybit
import test_fast_okx as okx
from ccxt_support import Books, MovedClock, Rows, context, requests_of

from guard.model import ASK, BID, Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aiohttp import web
    from ccxt_support import FrameServer

OKX_MARKET = {
    "instType": "SPOT",
    "instId": "BTC-USDT",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "lotSz": "0.00000001",
    "tickSz": "0.1",
    "minSz": "0.00001",
    "state": "live",
}
BYBIT_MARKET = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "lotSizeFilter": {"basePrecision": "0.000001", "minOrderQty": "0.00001", "maxOrderQty": "100"},
    "priceFilter": {"tickSize": "0.01"},
}


@asynccontextmanager
async def streaming(name: str, options: dict[str, Any]) -> AsyncIterator[tuple[CcxtConnector, Rows]]:
    connector, rows = CcxtConnector(context(name, options, MovedClock())), Rows()
    try:
        await connector.open()
        stream = asyncio.create_task(connector.stream({Market(name, "BTC/USDT"): 0}, rows))
        yield connector, rows
        stream.cancel()
        with suppress(asyncio.CancelledError):
            await stream
    finally:
        await connector.close()


def details(connector: CcxtConnector) -> Mapping[str, Any]:
    found = connector.health().details
    assert found is not None
    return found


async def test_okx_book_with_a_hole_is_subscribed_again_and_shown_whole(server: FrameServer) -> None:
    server.rest["/api/v5/public/instruments"] = lambda _: (200, {}, json.dumps({"code": "0", "data": [OKX_MARKET], "msg": ""}))
    snapshots = iter((100, 200))

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            for arg in request["args"]:
                await socket.send_str(json.dumps({"event": request["op"], "arg": arg, "connId": "a"}))
                if request["op"] == "unsubscribe":
                    continue
                if arg["channel"] == "trades":
                    for number in range(1, 6):
                        await socket.send_str(json.dumps(okx.trades(okx.trade(tradeId=str(number)))))
                    continue
                first = next(snapshots)
                whole = okx.diff(-1, first, [["99", "5"]], [["101", str(first)]]) | {"action": "snapshot"}
                await socket.send_str(json.dumps(whole))
                await socket.send_str(json.dumps(okx.diff(first, first + 1, [["98", "1"]], [])))
                if first == 100:
                    await socket.send_str(json.dumps(okx.diff(102, 103, [["97", "1"]], [])))

    server.on_socket = script
    base = f"127.0.0.1:{server.port}"
    options = {
        "id": "okx",
        "urls": {"api": {"rest": f"http://{base}", "ws": f"ws://{base}/ws/v5"}},
        "types": ["spot"],
        "has": {"fetchCurrencies": False, "fetchTickers": False},
    }
    async with streaming("okx", options) as (connector, rows):
        await rows.until(lambda rows: Books(rows.rows).sides.get((0, ASK)) == {101.0: 200.0})
        await rows.until(lambda rows: Books(rows.rows).sides[0, BID] == {99.0: 5.0, 98.0: 1.0})
        await rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 5)
        assert len(rows.of(Kind.GAP)) == 1
        found = details(connector)
        assert found["tier"] == "fast"
        # Handled: five trades and a diff after each snapshot. Left to ccxt: snapshots, the hole, answers.
        assert found["frames"] - found["fallbacks"] == 7
        assert connector.health().bad_frames == 0


async def test_bybit_streams_trades_and_books_of_spot(server: FrameServer) -> None:
    def instruments(query: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
        markets = [BYBIT_MARKET] if query.get("category") == "spot" else []
        return 200, {}, json.dumps({"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": markets}})

    server.rest["/v5/market/instruments-info"] = instruments
    trades = [json.dumps(bybit.trades(bybit.trade(i=str(number), p=str(100 + number)))) for number in range(1, 6)]
    book = [
        bybit.book("snapshot", [["99", "5"]], [["100", "7"]]),
        bybit.book("delta", [["98", "1"]], [["100", "0"], ["101", "2"]]),
        bybit.book("delta", [["99", "4"]], []),
    ]

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            if request["op"] != "subscribe":
                continue
            answer = {"success": True, "ret_msg": "", "conn_id": "a", "req_id": request["req_id"], "op": "subscribe"}
            await socket.send_str(json.dumps(answer))
            for topic in request["args"]:
                for frame in trades if topic.startswith("publicTrade") else map(json.dumps, book):
                    await socket.send_str(frame)

    server.on_socket = script
    base = f"127.0.0.1:{server.port}"
    options = {
        "id": "bybit",
        "urls": {"api": {"public": f"http://{base}", "ws": {"public": {"spot": f"ws://{base}/v5/public/spot"}}}},
        "types": ["spot"],
        "has": {"fetchCurrencies": False, "fetchTickers": False},
        "book_limit": 50,
    }
    async with streaming("bybit", options) as (connector, rows):
        await rows.until(lambda rows: Books(rows.rows).sides.get((0, ASK)) == {101.0: 2.0})
        await rows.until(lambda rows: Books(rows.rows).sides[0, BID] == {99.0: 4.0, 98.0: 1.0})
        await rows.until(lambda rows: len(rows.of(Kind.TRADE)) == 5)
        assert [row.price for row in rows.of(Kind.TRADE)] == [101.0, 102.0, 103.0, 104.0, 105.0]
        found = details(connector)
        assert found["tier"] == "fast"
        assert found["frames"] - found["fallbacks"] == 7
        assert connector.health().gaps == 0
