"""An exchange of any dialect in the test's own loop."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from aiohttp.test_utils import TestServer

from guard_sim.coins import chosen
from guard_sim.server.clock import now_us
from guard_sim.server.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Running(NamedTuple):
    exchange: Exchange
    rest: str
    websocket: str

    async def ask(self, path: str, **words: Any) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.rest + path, params=words) as response:
            return await response.json()

    async def post(self, path: str, document: Any) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.post(self.rest + path, json=document) as response:
            return response.status, await response.json()

    async def fault(self, kind: str, **words: Any) -> Any:
        status, answer = await self.post("/control/fault", {"kind": kind, **words})
        assert status == 200, answer
        return answer


@asynccontextmanager
async def serving(schedule: object = "calm", dialect: str = "binance") -> AsyncIterator[Running]:
    exchange = Exchange(coins=chosen(), seed=7, schedule=schedule, now_us=now_us, dialect=dialect)
    server = TestServer(exchange.app())
    await server.start_server()
    living = asyncio.create_task(exchange.run())
    try:
        yield Running(exchange, f"http://127.0.0.1:{server.port}", f"ws://127.0.0.1:{server.port}{exchange.websocket}")
    finally:
        living.cancel()
        exchange.hub.drop(None)
        await server.close()
