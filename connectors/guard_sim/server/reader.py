"""One connection of a reader of streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from guard_sim.server.faults import Faults

__all__ = ["QUEUE_MAX", "Reader"]

QUEUE_MAX = 4096
_ABNORMAL = 1006


class Reader:
    """Its topics and a bounded queue. A reader that lets the queue fill is cut, as exchanges do.

    `is_dead`: the other side of a connection that broke without a word; nothing is read or sent any more. `said` counts its
    messages of the present window, which began at `window_us`.
    """

    def __init__(self, request: web.Request, *, born_us: int = 0, has_envelope: bool = False) -> None:
        self.has_envelope = has_envelope
        self.born_us = born_us
        self.topics: set[str] = set()
        self.is_cut = False
        self.is_dead = False
        self.said = 0
        self.window_us = 0
        self._request = request
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)
        self._closing: asyncio.Task[bool] | None = None
        self._last_code: int | None = None
        self.socket: web.WebSocketResponse | None = None

    def send(self, text: str) -> None:
        """Queue a frame; a full queue cuts the connection."""
        if self.is_dead:
            return
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """Close the connection without a word."""
        self.is_cut = True
        if self._request.transport is not None:
            self._request.transport.abort()

    def close(self, code: int) -> None:
        """Close with a code; 1006, which is never sent, cuts."""
        if code == _ABNORMAL or self.socket is None:
            self.cut()
        elif self._closing is None:
            self.is_cut = True
            self._closing = asyncio.ensure_future(self.socket.close(code=code))

    def close_soon(self, code: int) -> None:
        """Close with a code once what is queued has been sent."""
        self._last_code = code

    def die(self) -> None:
        """Let the connection break without either side being told."""
        self.is_dead = True
        if self._request.transport is not None:
            self._request.transport.pause_reading()

    async def write(self, faults: Faults, now_us: Callable[[], int]) -> None:
        """Send what is queued until the connection ends."""
        assert self.socket is not None
        try:
            while True:
                text = await self._queue.get()
                if not self.is_dead and not faults.is_mute(now_us()):
                    await self.socket.send_str(text)
                if self._last_code is not None and self._queue.empty():
                    self.close(self._last_code)
        except (ConnectionError, RuntimeError):
            self.cut()

    async def left(self) -> None:
        """Wait until a close under way is done."""
        if self._closing is not None:
            await asyncio.wait({self._closing})
