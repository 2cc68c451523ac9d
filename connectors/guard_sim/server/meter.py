"""What REST requests cost, as each exchange counts them, and how it says no."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from guard_sim.server.exchange import Exchange

__all__ = ["BINANCE", "GATE", "KUCOIN", "Meter", "Tariff"]


class Tariff(NamedTuple):
    """An exchange's price list: weight of a path's end (or of what it contains), and how much a window allows.

    `used`, `left`, `limit` and `reset` name the headers that tell of it, where there are such; `reset` in milliseconds from now.
    `body` is what comes with a refusal.
    """

    weights: Mapping[str, int]
    limit: int
    window_s: int
    body: Mapping[str, object]
    used: str = ""
    left: str = ""
    total: str = ""
    reset: str = ""
    is_for_each_path: bool = False


BINANCE = Tariff(
    {
        "exchangeInfo": 20,
        "depth": 5,
        "trades": 25,
        "historicalTrades": 25,
        "aggTrades": 4,
        "klines": 2,
        "24hr": 80,
        "bookTicker": 4,
    },
    limit=6000,
    window_s=60,
    body={"code": -1003, "msg": "Too many requests; please use the websocket for live updates."},
    used="X-MBX-USED-WEIGHT-1M",
)
KUCOIN = Tariff(
    {
        "symbols": 4,
        "allTickers": 15,
        "stats": 15,
        "level2_100": 4,
        "level2_20": 2,
        "histories": 3,
        "candles": 3,
        "timestamp": 3,
        "status": 3,
        "currencies": 3,
        "bullet-public": 10,
    },
    limit=2000,
    window_s=30,
    body={"code": "429000", "msg": "Too many requests. System-level rate limit exceeded."},
    left="gw-ratelimit-remaining",
    total="gw-ratelimit-limit",
    reset="gw-ratelimit-reset",
)
GATE = Tariff(
    {},
    limit=200,
    window_s=10,
    body={"label": "TOO_MANY_REQUESTS", "message": "Request Rate Limit Exceeded"},
    left="X-Gate-RateLimit-Requests-Remain",
    total="X-Gate-RateLimit-Limit",
    is_for_each_path=True,
)

_UNAVAILABLE = 503
_TROUBLE = {"msg": "Service Unavailable."}


class Meter:
    """Counts what is asked, refuses while a fault says so, and holds answers back while one says so.

    ``used`` is what the present window has cost, ``peak`` the dearest one so far, `total` everything; `requests` counts by path.
    Nobody is refused for asking too much: whoever asks is to be held to it by `peak`.
    """

    def __init__(self, exchange: Exchange, tariff: Tariff) -> None:
        self._exchange = exchange
        self._tariff = tariff
        self._windows: dict[str, tuple[int, int]] = {}
        self.peak = 0
        self.total = 0
        self.requests: dict[str, int] = {}
        self.refused = 0

    def document(self) -> dict[str, object]:
        """Return the figures as JSON-ready values."""
        tariff = self._tariff
        figures = {"limit": tariff.limit, "window_s": tariff.window_s, "peak": self.peak, "total": self.total, "used": self._used()}
        return {**figures, "refused": self.refused, "requests": dict(self.requests)}

    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Return what every request passes through."""

        @web.middleware
        async def metered(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            is_socket = request.headers.get("Upgrade", "").lower() == "websocket"
            if request.path.startswith("/control") or is_socket:
                return await handler(request)
            return await self._answered(request, handler)

        return metered

    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        now_us, faults = self._exchange.now_us(), self._exchange.faults
        used = self._count(request.path, now_us)
        delay_s = faults.delay_s(now_us)
        if delay_s:
            await self._exchange.pause(delay_s)
        left_us = faults.throttled_until_us - now_us
        if left_us > 0:
            self.refused += 1
            wait = {"Retry-After": str(max(1, round(left_us / 1e6)))} if faults.has_retry_after else {}
            # Only 429 and 418 speak of limits; 503 is a server that has trouble of its own.
            body = orjson.dumps(_TROUBLE if faults.throttled_with == _UNAVAILABLE else self._tariff.body)
            return web.Response(body=body, status=faults.throttled_with, headers=wait, content_type="application/json")
        answer = await handler(request)
        answer.headers.update(self._headers(used))
        return answer

    def _count(self, path: str, now_us: int) -> int:
        tariff = self._tariff
        end = path.rpartition("/")[2]
        weight = tariff.weights.get(end, 1)
        self.requests[end] = self.requests.get(end, 0) + 1
        self.total += weight
        # Spot and contracts, /api and /fapi, have a budget each.
        account = end if tariff.is_for_each_path else path[1:].partition("/")[0]
        window, used = self._windows.get(account, (0, 0))
        this = now_us // (tariff.window_s * 1_000_000)
        used = weight + (used if window == this else 0)
        self._windows[account] = (this, used)
        self.peak = max(self.peak, used)
        return used

    def _used(self) -> int:
        this = self._exchange.now_us() // (self._tariff.window_s * 1_000_000)
        return max((used for window, used in self._windows.values() if window == this), default=0)

    def _headers(self, used: int) -> dict[str, str]:
        tariff = self._tariff
        values = {
            tariff.used: used,
            tariff.left: max(0, tariff.limit - used),
            tariff.total: tariff.limit,
            tariff.reset: tariff.window_s * 1000,
        }
        return {name: str(value) for name, value in values.items() if name}
