"""Markets of several exchanges are loaded one after another, and one that does not answer holds up nobody for long."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from ccxt_support import MovedClock, context
from small_binance import SmallBinance

from guard.errors import Disconnected
from guard_ccxt import CcxtConnector
from guard_ccxt.rest.loading import in_turn

if TYPE_CHECKING:
    from ccxt_support import FrameServer


class QuickClock(MovedClock):
    """Sleeps for a twentieth of what it is asked for."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 20)


async def test_one_begins_when_the_one_before_has_ended() -> None:
    clock, under_way, most = MovedClock(), 0, 0

    async def load() -> None:
        nonlocal under_way, most
        async with in_turn(clock):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1

    began_s = asyncio.get_running_loop().time()
    await asyncio.gather(*(load() for _ in range(8)))
    assert most == 1
    assert asyncio.get_running_loop().time() - began_s < 1.0


async def test_one_that_hangs_or_is_cancelled_or_fails_holds_up_the_next_for_a_moment_only() -> None:
    clock, begun = QuickClock(), list[str]()

    async def load(name: str, seconds: float) -> None:
        async with in_turn(clock):
            begun.append(name)
            await asyncio.sleep(seconds)
            if name == "fails":
                raise Disconnected("no answer")

    hangs = asyncio.create_task(load("hangs", 3600.0))
    await asyncio.sleep(0)
    waits = asyncio.create_task(load("cancelled while it waits", 0.0))
    fails = asyncio.create_task(load("fails", 0.0))
    last = asyncio.create_task(load("last", 0.0))
    await asyncio.sleep(0.01)
    assert begun == ["hangs"]
    waits.cancel()
    await asyncio.wait_for(last, 2.0)
    assert begun == ["hangs", "fails", "last"]
    with pytest.raises(Disconnected):
        await fails
    hangs.cancel()
    await asyncio.gather(hangs, waits, return_exceptions=True)


async def test_connectors_of_one_guard_do_not_load_at_once(server: FrameServer) -> None:
    clock, asked_s = MovedClock(), list[float]()
    exchange = SmallBinance(server, clock)

    async def slow(*_: object) -> None:
        asked_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.3)

    server.delays["/api/v3/exchangeInfo"] = slow
    connectors = [CcxtConnector(context(f"small{number}", exchange.options(), clock, reports=[])) for number in range(3)]
    try:
        await asyncio.gather(*(connector.open() for connector in connectors))
        assert len(asked_s) == 3
        assert all(later - sooner >= 0.25 for sooner, later in pairwise(asked_s))
    finally:
        for connector in connectors:
            await connector.close()
