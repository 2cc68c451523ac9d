"""A real local server that answers the routes of Freqtrade's REST interface that matter, as its source does."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

CANDLE_MS = 300_000
USER, PASSWORD, TOKEN = "freqtrader", "s3cret pass:word", "a.b.c"


class SmallFreqtrade:
    """``GET /api/v1/ping`` for anybody, ``whitelist``, ``show_config`` and ``locks`` with basic auth or a bearer token."""

    def __init__(self, *pairs: str) -> None:
        self.pairs = list(pairs)
        self.locks: dict[int, dict[str, Any]] = {}
        self.asked = self.changes = 0
        self.answer: Callable[[], web.StreamResponse] | None = None
        self.port = 0
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/v1/ping", self._ping)
        app.router.add_get("/api/v1/whitelist", self._whitelist)
        app.router.add_get("/api/v1/show_config", self._config)
        app.router.add_get("/api/v1/locks", self._locks)
        app.router.add_post("/api/v1/locks", self._lock)
        app.router.add_delete("/api/v1/locks/{id}", self._unlock)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @staticmethod
    async def _ping(_: web.Request) -> web.StreamResponse:
        return web.json_response({"status": "pong"})

    async def _whitelist(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        document: dict[str, Any] = {"whitelist": self.pairs, "length": len(self.pairs), "method": ["VolumePairList"]}
        return self._answer(request, document)

    async def _config(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, {"timeframe": "5m", "timeframe_ms": CANDLE_MS})

    async def _locks(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, {"lock_count": len(self.locks), "locks": list(self.locks.values())})

    async def _lock(self, request: web.Request) -> web.StreamResponse:
        for each in await request.json():
            end_ms = round(datetime.fromisoformat(each["until"]).timestamp() * 1000)
            self.changes += 1
            end_ms += CANDLE_MS - end_ms % CANDLE_MS
            self.locks[self.changes] = {**each, "id": self.changes, "lock_end_timestamp": end_ms}
        return await self._locks(request)

    async def _unlock(self, request: web.Request) -> web.StreamResponse:
        self.changes += 1
        self.locks.pop(int(request.match_info["id"]), None)
        return await self._locks(request)

    def _answer(self, request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") not in {basic, f"Bearer {TOKEN}"}:
            return web.json_response({"detail": "Unauthorized"}, status=401)
        return web.json_response(document) if self.answer is None else self.answer()
