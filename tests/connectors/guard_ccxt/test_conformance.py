"""Recorded frames of three exchanges through the unmodified ccxt classes, against a direct reading of the same frames."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ccxt_support import CAPTURES, Books, MovedClock, Rows, context, recorded_answers, recorded_frames, requests_of
from direct_reading import Reading, read_binance, read_coinbase, read_okx

from guard.model import Flag, Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web
    from ccxt_support import FrameServer

    from guard.model import MarketFacts
    from guard.model.ports import ConnectorHealth

pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="recorded frames are not here")


def serve_recorded(server: FrameServer, name: str, *parameters: str) -> None:
    """Answer REST from the recording; `parameters` of the query tell requests to one path apart."""

    def key(path: str, query: Mapping[str, str]) -> tuple[str, ...]:
        return path, *(query.get(parameter, "") for parameter in parameters)

    by_key = {}
    for url, text in recorded_answers(name).items():
        parts = urlsplit(url)
        by_key[key(parts.path, dict(parse_qsl(parts.query)))] = text
    for path in {path for path, *_ in by_key}:

        def answer(query: Mapping[str, str], path: str = path) -> tuple[int, dict[str, str], str]:
            text = by_key.get(key(path, query))
            return (200, {}, text) if text else (404, {}, "{}")

        server.rest[path] = answer


async def conformed(
    name: str, options: dict[str, Any], symbols: list[str], expected: Reading
) -> tuple[Books, dict[str, MarketFacts]]:
    """Stream `symbols` until everything `expected` is there; check all that must hold for any exchange."""
    clock = MovedClock(int((recorded_frames(name.upper())[-1][0] + 1) * 1e6))
    connector, rows = CcxtConnector(context(name, options, clock)), Rows()
    try:
        facts = {fact.market.symbol: fact for fact in await connector.open()}
        stream = asyncio.create_task(connector.stream({Market(name, symbol): row for row, symbol in enumerate(symbols)}, rows))
        await rows.until(lambda rows: has_all(rows, expected), seconds=15)
        await asyncio.sleep(0.1)  # anything too much would come now
        health, arrived = connector.health(), len(rows.rows)
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream
    finally:
        await connector.close()
    assert_sound(rows, health)
    assert health.received == arrived
    trades = [(row.market, row.at_us, row.price, row.amount, row.side, row.key) for row in rows.of(Kind.TRADE)]
    assert sorted(trades) == sorted(expected.trades)
    return Books(rows.rows), facts


def has_all(rows: Rows, expected: Reading) -> bool:
    return len(rows.of(Kind.TRADE)) >= len(expected.trades) and Books(rows.rows).sides == expected.books


def assert_sound(rows: Rows, health: ConnectorHealth) -> None:
    assert not Books(rows.rows).crossed
    assert (health.bad_frames, dict(health.rejected), health.gaps, health.reconnects) == (0, {}, 0, 0)
    assert set(health.connections.values()) == {"live"}
    assert all(row.at_us <= row.received_us for row in rows.rows)
    assert not any(row.flags & (Flag.BACKFILL | Flag.INFERRED_SIDE) for row in rows.rows)


async def test_binance_recording_gives_the_same_books_and_trades_as_its_frames(server: FrameServer) -> None:
    serve_recorded(server, "BINANCE", "symbol")
    symbols = {"NKNUSDT": "NKN/USDT", "BLZETH": "BLZ/ETH", "LRCBTC": "LRC/BTC", "RUNEEUR": "RUNE/EUR"}
    by_stream: dict[str, list[str]] = defaultdict(list)
    for _, frame in recorded_frames("BINANCE"):
        by_stream[json.loads(frame)["stream"]].append(frame)

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            await socket.send_str(json.dumps({"result": None, "id": request["id"]}))
            for stream in request["params"]:
                if "@depth" in stream:  # held back until the snapshot was asked for, so that diffs arrive one by one
                    await server.until_asked("/api/v3/depth", symbol=stream.partition("@")[0].upper())
                    await asyncio.sleep(0.05)
                await send_all(socket, by_stream[stream])

    server.on_socket = script
    expected = read_binance(list(symbols))
    assert len(expected.trades) > 0
    base = f"127.0.0.1:{server.port}"
    options = {
        "id": "binance",
        "urls": {"api": {"public": f"http://{base}/api/v3", "ws": {"spot": f"ws://{base}/stream"}}},
        "types": ["spot"],
        "options": {"watchTrades": {"name": "aggTrade"}, "watchTradesForSymbols": {"name": "aggTrade"}},
        "has": {"fetchTickers": False},
        "book_limit": 1000,
    }
    books, facts = await conformed("binance", options, list(symbols.values()), expected)
    assert 150 < sum(books.messages.values()) <= sum(expected.changes.values())
    assert facts["NKN/USDT"].tick == 0.0001
    assert len(facts) > 1000


async def test_okx_recording_gives_the_same_books_and_trades_as_its_frames(server: FrameServer) -> None:
    serve_recorded(server, "OKX", "instType", "uly")
    by_channel: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, frame in recorded_frames("OKX"):
        message = json.loads(frame)
        if "data" in message:
            by_channel[message["arg"]["channel"], message["arg"]["instId"]].append(frame)

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            for arg in request["args"]:
                await socket.send_str(json.dumps({"event": "subscribe", "arg": arg}))
                await send_all(socket, by_channel[arg["channel"], arg["instId"]])

    server.on_socket = script
    expected = read_okx({"BTC-USDT": None, "UNI-USD-SWAP": 10.0, "BTC-USD-220527": 100.0})
    assert len(expected.trades) >= 69
    base = f"127.0.0.1:{server.port}"
    options = {
        "id": "okx",
        "urls": {"api": {"rest": f"http://{base}", "ws": f"ws://{base}/ws/v5"}},
        "types": ["spot", "swap", "future"],
        "has": {"fetchCurrencies": False, "fetchTickers": False},
    }
    books, facts = await conformed("okx", options, ["BTC/USDT", "UNI/USD:UNI", "BTC/USD:BTC-220527"], expected)
    assert dict(books.messages) == dict(expected.changes)
    assert facts["UNI/USD:UNI"].is_inverse
    assert facts["UNI/USD:UNI"].contract_size == 10.0
    assert facts["BTC/USDT"].listed_us == 1548133413000 * 1000


async def test_coinbase_recording_gives_the_same_books_and_trades_as_its_frames(server: FrameServer) -> None:
    serve_recorded(server, "COINBASE")
    channels = {"snapshot": "level2", "l2update": "level2", "match": "matches", "last_match": "matches"}
    by_channel: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, frame in recorded_frames("COINBASE"):
        message = json.loads(frame)
        if message["type"] in channels:
            by_channel[channels[message["type"]], message["product_id"]].append(frame)

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            await socket.send_str(json.dumps({"type": "subscriptions", "channels": request["channels"]}))
            await send_all(socket, by_channel[request["channels"][0], request["product_ids"][0]])

    server.on_socket = script
    expected = read_coinbase(["SKL-USD", "YFI-BTC", "DASH-BTC"])
    assert len(expected.trades) >= 15
    base = f"127.0.0.1:{server.port}"
    options = {
        "id": "coinbaseexchange",
        "urls": {"api": {"public": f"http://{base}", "private": f"http://{base}", "ws": f"ws://{base}"}},
        "has": {"fetchCurrencies": False, "fetchTickers": False},
        "dummy_keys": True,
        "levels_max": 20_000,
    }
    books, facts = await conformed("coinbase", options, ["SKL/USD", "YFI/BTC", "DASH/BTC"], expected)
    assert dict(books.messages) == dict(expected.changes)
    assert len(facts) > 100


async def send_all(socket: web.WebSocketResponse, frames: list[str]) -> None:
    for frame in frames:
        await socket.send_str(frame)
