"""Recorded frames of three exchanges through the unmodified ccxt classes, against a direct reading of the same frames."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from ccxt_support import CAPTURES, Books, MovedClock, Rows, context, recorded_answers, recorded_frames, requests_of

from guard.model import ASK, BID, BUY, SELL, Flag, Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web
    from ccxt_support import FrameServer

pytestmark = pytest.mark.skipif(not CAPTURES.exists(), reason="recorded frames are not here")

Trade = tuple[int, int, float, float, int, int]  # market row, at_us, price, base amount, side, id


def serve_recorded(server: FrameServer, name: str, chosen: Callable[[str, Mapping[str, str]], tuple[str, ...]]) -> None:
    """Answer REST from the recording; `chosen` names what of path and query tells requests apart."""
    by_key = {}
    for url, text in recorded_answers(name).items():
        parts = urlsplit(url)
        by_key[chosen(parts.path, dict(parse_qsl(parts.query)))] = text
    for path in {key[0] for key in by_key}:

        def answer(query: Mapping[str, str], path: str = path) -> tuple[int, dict[str, str], str]:
            text = by_key.get(chosen(path, query))
            return (200, {}, text) if text else (404, {}, "{}")

        server.rest[path] = answer


async def collected(
    server: FrameServer, name: str, options: dict[str, Any], symbols: list[str], frames: list[tuple[float, str]], done: Any
) -> Any:
    """Stream `symbols` until `done(rows)`; return rows and health, and the facts."""
    clock = MovedClock(int((frames[-1][0] + 1) * 1e6))
    connector = CcxtConnector(context(name, options, clock))
    rows = Rows()
    try:
        facts = {fact.market.symbol: fact for fact in await connector.open()}
        markets = {Market(name, symbol): row for row, symbol in enumerate(symbols)}
        stream = asyncio.create_task(connector.stream(markets, rows))
        await rows.until(done, seconds=15)
        await asyncio.sleep(0.2)
        health = connector.health()
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream
    finally:
        await connector.close()
    return rows, health, facts


def trades_of(rows: Rows) -> list[Trade]:
    return [(row.market, row.at_us, row.price, row.amount, row.side, row.key) for row in rows.of(Kind.TRADE)]


def assert_sound(rows: Rows, health: Any) -> Books:
    books = Books(rows.rows)
    assert not books.crossed
    assert health.bad_frames == 0
    assert dict(health.rejected) == {}
    assert health.gaps == 0
    assert health.reconnects == 0
    assert health.received == len(rows.rows)
    assert all(row.at_us <= row.received_us for row in rows.rows)
    return books


def apply_levels(side: dict[float, float], levels: Any, scale: Callable[[float, float], float] = lambda _, size: size) -> None:
    for level in levels:
        price, size = float(level[0]), float(level[1])
        if size:
            side[price] = scale(price, size)
        else:
            side.pop(price, None)


async def test_binance_recording_gives_the_same_books_and_trades_as_its_frames(server: FrameServer) -> None:
    serve_recorded(server, "BINANCE", lambda path, query: (path, query.get("symbol", "")))
    frames = recorded_frames("BINANCE")
    symbols = {"NKNUSDT": "NKN/USDT", "BLZETH": "BLZ/ETH", "LRCBTC": "LRC/BTC", "RUNEEUR": "RUNE/EUR"}
    by_stream: dict[str, list[str]] = defaultdict(list)
    for _, frame in frames:
        by_stream[json.loads(frame)["stream"]].append(frame)
    sent = asyncio.Event()

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            await socket.send_str(json.dumps({"result": None, "id": request["id"]}))
            for stream in request["params"]:
                if "@depth" in stream:
                    await wait_for_snapshot(server, stream.partition("@")[0].upper())
                for frame in by_stream[stream]:
                    await socket.send_str(frame)
        sent.set()

    server.on_socket = script
    rows_of = {symbol: at for at, symbol in enumerate(symbols.values())}
    books: dict[tuple[int, int], dict[float, float]] = defaultdict(dict)
    trades: list[Trade] = []
    messages = 0
    answers = {
        dict(parse_qsl(urlsplit(url).query)).get("symbol"): json.loads(text)
        for url, text in recorded_answers("BINANCE").items()
        if "depth" in url
    }
    last = {}
    for market_id, answer in answers.items():
        at = rows_of[symbols[str(market_id)]]
        apply_levels(books[at, BID], answer["bids"])
        apply_levels(books[at, ASK], answer["asks"])
        last[market_id] = answer["lastUpdateId"]
    for _, frame in frames:
        data = json.loads(frame)["data"]
        at = rows_of[symbols[data["s"]]]
        if data.get("e") == "depthUpdate" and data["u"] > last[data["s"]]:
            last[data["s"]] = data["u"]
            apply_levels(books[at, BID], data["b"])
            apply_levels(books[at, ASK], data["a"])
            messages += 1
        elif data.get("e") == "aggTrade":
            trades.append((at, data["T"] * 1000, float(data["p"]), float(data["q"]), SELL if data["m"] else BUY, data["a"]))
    assert trades
    assert messages > 150

    base = f"127.0.0.1:{server.port}"
    options = {
        "id": "binance",
        "urls": {"api": {"public": f"http://{base}/api/v3", "ws": {"spot": f"ws://{base}/stream"}}},
        "types": ["spot"],
        "options": {"watchTrades": {"name": "aggTrade"}, "watchTradesForSymbols": {"name": "aggTrade"}},
        "has": {"fetchTickers": False},
        "book_limit": 1000,
    }

    def done(rows: Rows) -> bool:
        return len(rows.of(Kind.TRADE)) >= len(trades) and Books(rows.rows).sides == books

    rows, health, facts = await collected(server, "binance", options, list(symbols.values()), frames, done)
    assert_sound(rows, health)
    assert sorted(trades_of(rows)) == sorted(trades)
    assert facts["NKN/USDT"].tick == 0.0001
    assert len(facts) > 1000


async def wait_for_snapshot(server: FrameServer, market_id: str) -> None:
    """Hold back diffs until the snapshot was asked for, so that they arrive one by one."""
    while not any(query.get("symbol") == market_id for path, query in server.asked if path.endswith("/depth")):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def test_okx_recording_gives_the_same_books_and_trades_as_its_frames(server: FrameServer) -> None:
    serve_recorded(server, "OKX", lambda path, query: (path, query.get("instType", ""), query.get("uly", "")))
    frames = recorded_frames("OKX")
    symbols = {"BTC-USDT": "BTC/USDT", "UNI-USD-SWAP": "UNI/USD:UNI", "BTC-USD-220527": "BTC/USD:BTC-220527"}
    by_channel: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, frame in frames:
        arg = json.loads(frame).get("arg") or {}
        if "data" in json.loads(frame):
            by_channel[arg["channel"], arg["instId"]].append(frame)

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            for arg in request["args"]:
                await socket.send_str(json.dumps({"event": "subscribe", "arg": arg}))
                for frame in by_channel[arg["channel"], arg["instId"]]:
                    await socket.send_str(frame)

    server.on_socket = script
    contract = {"BTC-USDT": None, "UNI-USD-SWAP": 10.0, "BTC-USD-220527": 100.0}
    rows_of = {market_id: at for at, market_id in enumerate(symbols)}
    books: dict[tuple[int, int], dict[float, float]] = defaultdict(dict)
    trades: list[Trade] = []
    messages = 0
    for _, frame in frames:
        message = json.loads(frame)
        if "data" not in message:
            continue
        market_id = message["arg"]["instId"]
        at, size = rows_of[market_id], contract[market_id]

        def base(price: float, amount: float, size: float | None = size) -> float:
            return amount if size is None else amount * size / price

        for data in message["data"]:
            if message["arg"]["channel"] == "trades":
                price = float(data["px"])
                side = BUY if data["side"] == "buy" else SELL
                trades.append((at, int(data["ts"]) * 1000, price, base(price, float(data["sz"])), side, int(data["tradeId"])))
            elif message["arg"]["channel"] == "books":
                messages += 1
                if message["action"] == "snapshot":
                    books[at, BID].clear()
                    books[at, ASK].clear()
                apply_levels(books[at, BID], data["bids"], base)
                apply_levels(books[at, ASK], data["asks"], base)
    assert len(trades) >= 69
    assert messages > 150

    url = f"127.0.0.1:{server.port}"
    options = {
        "id": "okx",
        "urls": {"api": {"rest": f"http://{url}", "ws": f"ws://{url}/ws/v5"}},
        "types": ["spot", "swap", "future"],
        "has": {"fetchCurrencies": False, "fetchTickers": False},
    }

    def done(rows: Rows) -> bool:
        return len(rows.of(Kind.TRADE)) >= len(trades) and Books(rows.rows).sides == books

    rows, health, facts = await collected(server, "okx", options, list(symbols.values()), frames, done)
    assert_sound(rows, health)
    assert sorted(trades_of(rows)) == sorted(trades)
    assert facts["UNI/USD:UNI"].is_inverse
    assert facts["UNI/USD:UNI"].contract_size == 10.0
    assert facts["BTC/USDT"].listed_us == 1548133413000 * 1000


async def test_coinbase_recording_gives_the_same_books_and_trades_as_its_frames(server: FrameServer) -> None:
    serve_recorded(server, "COINBASE", lambda path, _: (path,))
    frames = recorded_frames("COINBASE")
    symbols = {"SKL-USD": "SKL/USD", "YFI-BTC": "YFI/BTC", "DASH-BTC": "DASH/BTC"}
    channels = {"snapshot": "level2", "l2update": "level2", "match": "matches", "last_match": "matches"}
    by_channel: dict[tuple[str, str], list[str]] = defaultdict(list)
    for _, frame in frames:
        message = json.loads(frame)
        if message["type"] in channels:
            by_channel[channels[message["type"]], message["product_id"]].append(frame)

    async def script(socket: web.WebSocketResponse) -> None:
        async for request in requests_of(socket):
            await socket.send_str(json.dumps({"type": "subscriptions", "channels": request["channels"]}))
            for channel in request["channels"]:
                for product in request["product_ids"]:
                    for frame in by_channel[channel, product]:
                        await socket.send_str(frame)

    server.on_socket = script
    rows_of = {market_id: at for at, market_id in enumerate(symbols)}
    books: dict[tuple[int, int], dict[float, float]] = defaultdict(dict)
    trades: list[Trade] = []
    for _, frame in frames:
        message = json.loads(frame)
        at = rows_of.get(message.get("product_id", ""))
        if at is None:
            continue
        if message["type"] == "snapshot":
            apply_levels(books[at, BID], message["bids"])
            apply_levels(books[at, ASK], message["asks"])
        elif message["type"] == "l2update":
            for side, price, size in message["changes"]:
                apply_levels(books[at, BID if side == "buy" else ASK], [(price, size)])
        elif message["type"] == "match":
            stamp = datetime.fromisoformat(message["time"].replace("Z", "+00:00"))
            at_us = int(stamp.timestamp() * 1000) * 1000  # ccxt keeps milliseconds
            # the message tells the maker's side
            side = SELL if message["side"] == "buy" else BUY
            trades.append((at, at_us, float(message["price"]), float(message["size"]), side, message["trade_id"]))
    assert len(trades) >= 15

    url = f"127.0.0.1:{server.port}"
    options = {
        "id": "coinbaseexchange",
        "urls": {"api": {"public": f"http://{url}", "private": f"http://{url}", "ws": f"ws://{url}"}},
        "has": {"fetchCurrencies": False, "fetchTickers": False},
        "dummy_keys": True,
        "levels_max": 20_000,
    }

    def done(rows: Rows) -> bool:
        return len(rows.of(Kind.TRADE)) >= len(trades) and Books(rows.rows).sides == books

    rows, health, facts = await collected(server, "coinbaseexchange", options, list(symbols.values()), frames, done)
    assert_sound(rows, health)
    assert sorted(trades_of(rows)) == sorted(trades)
    assert not any(row.flags & Flag.BACKFILL for row in rows.of(Kind.TRADE))
    assert len(facts) > 100
