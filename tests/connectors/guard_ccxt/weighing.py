"""Exchanges that weigh requests, tell so in their headers, and refuse who asks too much; and a clock that waits for no one."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import ccxt.pro
from ccxt_support import START_US

from guard_ccxt.rest.client import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ccxt_support import FrameServer

    from guard.model.ports import Clock

MINUTE_S = 60.0
_TURNS = 20  # of the loop: whoever was woken has gone on by then


class LeapClock:
    """Goes as the machine does while anyone `is_busy`, and leaps to the next moment somebody sleeps for when nobody is.

    What a test sees then hangs on what was asked and answered, and not on how fast the machine is.
    """

    def __init__(self) -> None:
        self.is_busy: Callable[[], bool] = lambda: False
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._leapt_us = 0
        self._dues: dict[asyncio.Event, int] = {}
        self._leaping: asyncio.Task[None] | None = None

    def now_us(self) -> int:
        return START_US + self.monotonic_us()

    def monotonic_us(self) -> int:
        return int((self._loop.time() - self._zero_s) * 1e6) + self._leapt_us

    async def sleep(self, seconds: float) -> None:
        over = asyncio.Event()
        self._dues[over] = self.monotonic_us() + int(seconds * 1e6)
        if self._leaping is None or self._leaping.done():
            self._leaping = asyncio.create_task(self._leap())
        try:
            await over.wait()
        finally:
            del self._dues[over]

    async def _leap(self) -> None:
        # Ends with the last sleeper.
        while self._dues:
            now_us, next_us = self.monotonic_us(), min(self._dues.values())
            if next_us <= now_us:
                for over, due_us in self._dues.items():
                    if due_us <= now_us:
                        over.set()
            elif await self._is_settled():
                self._leapt_us += max(0, min(self._dues.values(), default=0) - self.monotonic_us())
                continue
            await asyncio.sleep(0 if not self.is_busy() else 0.001)

    async def _is_settled(self) -> bool:
        for _ in range(_TURNS):
            if self.is_busy():
                return False
            await asyncio.sleep(0)
        return True


class Weigher:
    """Counts what arrives in windows of the server's own clock, answers with headers, refuses what is too much.

    `style` is ``binance`` (windows are minutes of the clock, 429 and then 418) or ``kucoin`` (30 s from the first request).
    """

    def __init__(self, server: FrameServer, clock: Clock, *, style: str, limit: float, weights: Mapping[str, float]) -> None:
        self.clock, self.style, self.limit, self.weights = clock, style, limit, weights
        self.arrivals: list[tuple[float, float]] = []
        self.refused = 0
        self.says: Callable[[float], Mapping[str, str]] | None = None
        self.refuses: list[tuple[int, dict[str, str]]] = []
        self._used = 0.0
        self._window = -1.0
        for path in weights:
            server.rest[path] = lambda _, path=path: self._answer(path)

    @property
    def now_s(self) -> float:
        return self.clock.now_us() / 1e6

    @property
    def lasted_s(self) -> float:
        """Seconds since the first request."""
        return self.now_s - self.arrivals[0][0] if self.arrivals else 0.0

    def bot_asks(self, weight: float) -> None:
        """Let the bot on the same address use some of the budget."""
        self._roll()
        self._used += weight

    def worst_minute(self) -> float:
        """Return the most weight of guard that arrived within any minute."""
        return max((sum(w for at, w in self.arrivals if first <= at < first + MINUTE_S) for first, _ in self.arrivals), default=0.0)

    def _roll(self) -> None:
        span = MINUTE_S if self.style == "binance" else 30.0
        window = self.now_s // span * span if self.style == "binance" else max(self._window, -1.0)
        if self.style != "binance" and self.now_s >= self._window + span:
            window = self.now_s
        if window != self._window:
            self._window, self._used = window, 0.0

    def _answer(self, path: str) -> tuple[int, dict[str, str], str]:
        self._roll()
        weight = self.weights[path]
        self.arrivals.append((self.now_s, weight))
        self._used += weight
        headers = self._headers()
        if self.refuses:
            status, more = self.refuses.pop(0)
            self.refused += 1
            return status, headers | more, '{"code":-1003,"msg":"too many"}'
        if self._used > self.limit:
            self.refused += 1
            left_s = int(self._window + MINUTE_S - self.now_s) + 1
            return 429, {**headers, "Retry-After": str(left_s)}, '{"code":-1003,"msg":"Too much request weight used"}'
        body = '{"code":"200000","data":[]}' if self.style == "kucoin" else "[]"
        return 200, headers, body

    def _headers(self) -> dict[str, str]:
        # The exchange's own clock, which counts the minutes.
        date = {"Date": formatdate(self.now_s, usegmt=True)}
        if self.says is not None:
            return date | dict(self.says(self._used))
        if self.style == "binance":
            return date | {"X-MBX-USED-WEIGHT-1M": f"{self._used:.0f}"}
        reset_ms = int((self._window + 30.0 - self.now_s) * 1000)
        left = max(0.0, self.limit - self._used)
        return {
            "gw-ratelimit-limit": f"{self.limit:.0f}",
            "gw-ratelimit-remaining": f"{left:.0f}",
            "gw-ratelimit-reset": f"{reset_ms}",
        }


def binance(server: FrameServer, clock: Clock, **limits: Any) -> tuple[Any, Rest, Weigher, list[str]]:
    """Return ccxt's own class over the server, its budget, the server's side, and what people were told."""
    exchange = ccxt.pro.binance({"rateLimit": 0.01, "timeout": limits.pop("timeout_ms", 5000)})
    exchange.urls["api"]["public"] = f"http://127.0.0.1:{server.port}/api/v3"
    weights = {"/api/v3/klines": 2.0, "/api/v3/depth": 5.0, "/api/v3/ticker/24hr": 80.0, "/api/v3/aggTrades": 4.0}
    weigher = Weigher(server, clock, style="binance", limit=6000.0, weights=weights)
    return _joined(exchange, clock, weigher, limits)


def kucoin(server: FrameServer, clock: Clock, **limits: Any) -> tuple[Any, Rest, Weigher, list[str]]:
    """Likewise for KuCoin."""
    exchange = ccxt.pro.kucoin({"rateLimit": 0.01})
    exchange.urls["api"]["public"] = f"http://127.0.0.1:{server.port}"
    weights = {"/api/v1/market/candles": 3.0, "/api/v1/market/histories": 3.0, "/api/v1/market/allTickers": 15.0}
    weigher = Weigher(server, clock, style="kucoin", limit=2000.0, weights=weights)
    return _joined(exchange, clock, weigher, limits)


def _joined(exchange: Any, clock: Clock, weigher: Weigher, limits: dict[str, Any]) -> tuple[Any, Rest, Weigher, list[str]]:
    told: list[str] = []
    rest = Rest(exchange, clock, note=told.append, **limits)
    rest.install()
    if isinstance(clock, LeapClock):
        clock.is_busy = lambda: rest.budget.under_way() > 0
    return exchange, rest, weigher, told
