"""A small server that speaks enough of Binance's spot protocol to be broken on purpose."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ccxt_support import FrameServer, requests_of, until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from guard.model.ports import Clock

SYMBOLS = {"AAAUSDT": ("AAA", "USDT"), "BBBUSDT": ("BBB", "USDT")}


class SmallBinance:
    """Markets AAA/USDT and BBB/USDT; trades and diffs are sent by the test.

    `is_mute` makes new sockets silent: no answer, no pong. `past` holds the REST trades of each market, oldest first.
    """

    def __init__(self, server: FrameServer, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.is_mute = False
        self.gives_acks = True
        self.past: dict[str, list[dict[str, Any]]] = {market_id: [] for market_id in SYMBOLS}
        self.candles: list[list[Any]] = []
        self.update_id = 1000
        self.quotes: dict[str, str] = {}
        self.levels = {"bids": [["0.99", "10"], ["0.98", "20"]], "asks": [["1.01", "11"], ["1.02", "21"]]}
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.subscribers: dict[str, list[web.WebSocketResponse]] = defaultdict(list)
        self.subscribes: list[str] = []
        self.unsubscribes: list[str] = []
        self.depth_answers: list[tuple[int, dict[str, str], str]] = []
        self.subscribed_at: dict[str, float] = {}
        server.on_socket = self._script
        server.rest = {
            "/api/v3/exchangeInfo": lambda _: (200, {}, json.dumps({"symbols": [_market(*one) for one in SYMBOLS.items()]})),
            "/api/v3/depth": self._depth,
            "/api/v3/trades": self._trades,
            "/api/v3/aggTrades": self._trades,
            "/api/v3/klines": self._klines,
            "/api/v3/ticker/24hr": lambda _: (200, {}, json.dumps([{**_ticker("AAAUSDT", "2500000.0"), **self.quotes}])),
        }

    def options(self, **more: Any) -> dict[str, Any]:
        base = f"127.0.0.1:{self.server.port}"
        return {
            "id": "binance",
            "urls": {"api": {"public": f"http://{base}/api/v3", "ws": {"spot": f"ws://{base}/stream"}}},
            "types": ["spot"],
            "repair_delay_s": 0.0,
            "has": {"fetchTickers": False},  # ccxt counts it as 80 requests and waits before the next
            **more,
        }

    async def until_subscribed(self, *streams: str, times: int = 1) -> None:
        await until(lambda: all(self.subscribes.count(stream) >= times for stream in streams))

    def trade(self, identity: int, price: float = 1.0, *, market_id: str = "AAAUSDT") -> dict[str, Any]:
        """Make a trade now: it is in the REST answer from here on."""
        stamp_ms = self.clock.now_us() // 1000
        entry = {"id": identity, "price": str(price), "qty": "2.0", "time": stamp_ms, "isBuyerMaker": False}
        self.past[market_id].append(entry)
        return {"e": "trade", "E": stamp_ms, "s": market_id, "t": identity, "p": str(price), "q": "2.0", "T": stamp_ms, "m": False}

    async def send_trade(self, identity: int, price: float = 1.0, *, market_id: str = "AAAUSDT") -> None:
        await self.send(f"{market_id.lower()}@trade", self.trade(identity, price, market_id=market_id))

    async def send_diff(self, bids: list[list[str]], asks: list[list[str]], *, skip: int = 0, market_id: str = "AAAUSDT") -> None:
        first = self.update_id + 1 + skip
        self.update_id = first
        data = {"e": "depthUpdate", "E": self.clock.now_us() // 1000, "s": market_id, "U": first, "u": first, "b": bids, "a": asks}
        await self.send(f"{market_id.lower()}@depth@100ms", data)

    async def send(self, stream: str, data: dict[str, Any]) -> None:
        text = json.dumps({"stream": stream, "data": data})
        for socket in self.listeners(stream):
            with suppress(ConnectionError):  # it was cut a moment ago
                await socket.send_str(text)

    def listeners(self, stream: str) -> list[web.WebSocketResponse]:
        """Return the open sockets that subscribed to `stream`, oldest first."""
        return [socket for socket in self.subscribers[stream] if not socket.closed and socket._req.transport is not None]

    async def _script(self, socket: web.WebSocketResponse) -> None:
        if self.is_mute:
            await asyncio.sleep(3600)
        async for request in requests_of(socket):
            if request["method"] == "UNSUBSCRIBE":
                self.unsubscribes += request["params"]
                for stream in request["params"]:
                    self.sockets.pop(stream, None)
                    if socket in self.subscribers[stream]:
                        self.subscribers[stream].remove(socket)
            for stream in request["params"] if request["method"] == "SUBSCRIBE" else ():
                self.sockets[stream] = socket
                if socket not in self.subscribers[stream]:
                    self.subscribers[stream].append(socket)
                self.subscribes.append(stream)
            if self.gives_acks:
                await socket.send_str(json.dumps({"result": None, "id": request["id"]}))

    def _depth(self, _: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
        if self.depth_answers:
            return self.depth_answers.pop(0)
        return 200, {}, json.dumps({"lastUpdateId": self.update_id, **self.levels})

    def _trades(self, query: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
        return 200, {}, json.dumps(self.past[query["symbol"]][-int(query.get("limit", "500")) :])

    def _klines(self, query: Mapping[str, str]) -> tuple[int, dict[str, str], str]:
        start, limit = int(query.get("startTime", "0")), int(query.get("limit", "500"))
        return 200, {}, json.dumps([candle for candle in self.candles if candle[0] >= start][:limit])


def _market(market_id: str, parts: tuple[str, str]) -> dict[str, Any]:
    base, quote = parts
    return {
        "symbol": market_id,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "isSpotTradingAllowed": True,
        "permissions": ["SPOT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000", "tickSize": "0.01"},
            {"filterType": "LOT_SIZE", "minQty": "0.1", "maxQty": "100000", "stepSize": "0.1"},
        ],
    }


def _ticker(market_id: str, quote_volume: str) -> dict[str, Any]:
    return {"symbol": market_id, "lastPrice": "1.0", "quoteVolume": quote_volume, "volume": "1", "openTime": 1, "closeTime": 2}
