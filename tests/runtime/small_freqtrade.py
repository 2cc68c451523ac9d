"""A real local server that answers the two routes of Freqtrade's REST interface that matter, as its source does."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable

USER, PASSWORD, TOKEN = "freqtrader", "s3cret pass:word", "a.b.c"


class SmallFreqtrade:
    """``GET /api/v1/ping`` for anybody, ``GET /api/v1/whitelist`` with basic auth or a bearer token."""

    def __init__(self, *pairs: str) -> None:
        self.pairs = list(pairs)
        self.asked = 0
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
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("Authorization") not in {basic, f"Bearer {TOKEN}"}:
            return web.json_response({"detail": "Unauthorized"}, status=401)
        if self.answer is not None:
            return self.answer()
        document: dict[str, Any] = {"whitelist": self.pairs, "length": len(self.pairs), "method": ["VolumePairList"]}
        return web.json_response(document)
