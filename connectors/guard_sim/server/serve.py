"""Start the server, say where it is, and leave with the parent."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

from guard_sim.coins import chosen
from guard_sim.server.clock import now_us
from guard_sim.server.exchange import Exchange
from guard_sim.server.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["serve"]

HOST = "127.0.0.1"


async def serve(options: Mapping[str, Any], announce: Callable[[dict[str, Any]], None], *, with_parent: bool) -> None:
    """Serve until cancelled, or until stdin ends where `with_parent` is set.

    `options` are dialect, seed, schedule, symbols, count, port (0 = choose) and inbox (port, 0 = choose, None = no inbox).
    `announce` gets ``{rest, ws, inbox}`` once everything listens. Raises OSError where a port is taken.
    """
    exchange = Exchange(
        coins=chosen(options.get("symbols"), options.get("count")),
        seed=int(options.get("seed", 7)),
        schedule=options.get("schedule", "demo"),
        now_us=now_us,
        dialect=str(options.get("dialect", "binance")),
    )
    async with contextlib.AsyncExitStack() as stack:
        port = await _listen(stack, exchange.app(), int(options.get("port", 0)))
        urls: dict[str, Any] = {"rest": f"http://{HOST}:{port}", "ws": f"ws://{HOST}:{port}{exchange.websocket}", "inbox": None}
        if options.get("inbox") is not None:
            urls["inbox"] = f"http://{HOST}:{await _listen(stack, Inbox(now_us).app(), int(options['inbox']), of='inbox')}"
        # One full collection would walk the whole market while readers wait.
        gc.freeze()
        announce(urls)
        living = asyncio.create_task(exchange.run())
        parent = asyncio.create_task(_parent_gone() if with_parent else asyncio.Event().wait())
        try:
            done, _ = await asyncio.wait({living, parent}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            living.cancel()
            parent.cancel()


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, port: int, *, of: str = "port") -> int:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, HOST, port)
    try:
        await site.start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        also = " and the channels under alerts with it" if of == "inbox" else ""
        raise OSError(
            error.errno,
            f"port {port} of {HOST} is in use, by another guard perhaps: stop that one, or set options.{of} of this exchange in "
            f"guard.yaml to a free port{also}",
        ) from error
    return int(runner.addresses[0][1])


async def _parent_gone() -> None:
    """Wait for the end of stdin: the parent holds its other side and cannot die without closing it."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass
