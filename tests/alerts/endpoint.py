"""A real aiohttp server that a webhook posts to, and that answers as told."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from guard.alerts.endpoints import Endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

KEY = b"a key that nobody guesses"


class Post(NamedTuple):
    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Keeps every post; `answers` are used up first, then 200. 0 hangs; a function makes a response; `route` has one for a path."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.route: dict[str, Callable[[], web.StreamResponse]] = {}
        self.answers: list[int | Callable[[], web.StreamResponse]] = []
        self.end = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/path-with-a-secret?token=hush-hush"

    def endpoint(self, *, timeout_s: float = 2.0, key: bytes | None = KEY) -> Endpoint:
        return Endpoint(self.url, key, timeout_s, {"Authorization": "Bearer a-token-of-mine"})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.posts.append(Post(request.path_qs, dict(request.headers), await request.read()))
        if request.path in self.route:
            return self.route[request.path]()
        answer = self.answers.pop(0) if self.answers else 200
        if answer == 0:
            await self.end.wait()
            return web.Response()
        return answer() if callable(answer) else web.Response(status=answer, text="words of the server")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        receiver.end.set()
        await runner.cleanup()
