"""The exchange on loopback: sends what each client asks it for over ``/control/send``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from guard_ccxt.bench.clock import MachineClock
from guard_ccxt.bench.frames import Coin, exchange_info, framed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Server", "serve"]

_TICK_S = 0.001
_BURST_BYTES = 1 << 20


class Server:
    """REST and websockets of so many markets, for clients that are told apart by the first part of the websocket's path.

    Parameters
    ----------
    count
        Markets.

    Notes
    -----
    Each client has markets of its own, so that sequences have no holes: a book that is sent to one client moves on there alone.
    What is due in a millisecond is sent at once. A burst is as many frames of one market in one piece as fit.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._clock = MachineClock()
        self._coins: dict[str, dict[str, Coin]] = {}
        self._sockets: dict[tuple[str, str], asyncio.WriteTransport] = {}

    async def start(self) -> int:
        """Listen; returns the port."""
        app = web.Application()
        app.router.add_get("/{client}/api/v3/exchangeInfo", self._info)
        app.router.add_get("/{client}/api/v3/depth", self._depth)
        app.router.add_get("/{client}/stream", self._socket)
        app.router.add_get("/{client}/stream/{tail:.*}", self._socket)
        app.router.add_get("/{client}/control/send", self._send)
        app.router.add_get("/{client}/control/bad", self._bad)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    def _of(self, request: web.Request) -> dict[str, Coin]:
        client = request.match_info["client"]
        if client not in self._coins:
            self._coins[client] = {coin.id: coin for coin in map(Coin, range(self._count))}
        return self._coins[client]

    async def _info(self, request: web.Request) -> web.Response:
        return web.Response(text=exchange_info(list(self._of(request).values())), content_type="application/json")

    async def _depth(self, request: web.Request) -> web.Response:
        return web.json_response(self._of(request)[request.query["symbol"]].snapshot())

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        client = request.match_info["client"]
        assert isinstance(request.transport, asyncio.WriteTransport)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            asked = json.loads(message.data)
            for stream in asked["params"]:
                self._sockets[client, stream.partition("@")[0].upper()] = request.transport
            await socket.send_str(json.dumps({"result": None, "id": asked["id"]}))
        return socket

    async def _send(self, request: web.Request) -> web.Response:
        query = request.query
        coins = [coin for coin in self._of(request).values() if (request.match_info["client"], coin.id) in self._sockets]
        if not coins:
            raise web.HTTPConflict(text="nobody subscribed to anything")
        make = Coin.diff if query["what"] == "book" else Coin.trade
        total, rate = int(query["count"]), float(query.get("rate", "0"))
        started_us = self._clock.monotonic_us()
        if rate:
            await self._pace(request, coins, make, total, rate)
        else:
            await self._burst(request, coins[0], make, total)
        return web.json_response({"sent": total, "seconds": (self._clock.monotonic_us() - started_us) / 1e6})

    async def _pace(
        self, request: web.Request, coins: list[Coin], make: Callable[[Coin, int], str], total: int, rate: float
    ) -> None:
        client = request.match_info["client"]
        started_us = self._clock.monotonic_us()
        sent = 0
        while sent < total:
            due = min(total, int((self._clock.monotonic_us() - started_us) / 1e6 * rate) + 1)
            now_ms = self._clock.now_us() // 1000
            while sent < due:
                # A stride through all markets that looks like no order.
                coin = coins[sent * 7919 % len(coins)]
                self._sockets[client, coin.id].write(framed(make(coin, now_ms)))
                sent += 1
            await self._clock.sleep(_TICK_S)

    async def _burst(self, request: web.Request, coin: Coin, make: Callable[[Coin, int], str], total: int) -> None:
        transport = self._sockets[request.match_info["client"], coin.id]
        now_ms = self._clock.now_us() // 1000
        data = b"".join(framed(make(coin, now_ms)) for _ in range(total))
        for start in range(0, len(data), _BURST_BYTES):
            transport.write(data[start : start + _BURST_BYTES])
            await asyncio.sleep(0)

    async def _bad(self, request: web.Request) -> web.Response:
        # One frame that no JSON parser takes, and a good trade right behind it.
        coin = next(coin for coin in self._of(request).values() if (request.match_info["client"], coin.id) in self._sockets)
        transport = self._sockets[request.match_info["client"], coin.id]
        transport.write(framed('{"stream": broken') + framed(coin.trade(self._clock.now_us() // 1000)))
        return web.json_response({"sent": 1})


async def serve(count: int) -> None:
    """Serve until the input ends; tells the port in the first line."""
    port = await Server(count).start()
    print(json.dumps({"port": port}), flush=True)  # noqa: T201  # the program speaks in lines
    await asyncio.get_running_loop().run_in_executor(None, _until_end)


def _until_end() -> Any:
    return sys.stdin.read()
