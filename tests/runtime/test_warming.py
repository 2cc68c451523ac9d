from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerts.support import MovedClock, settle
from runtime.feeds import Rows

from guard.errors import Disconnected
from guard.model import Market
from guard.runtime.warming import Warming

if TYPE_CHECKING:
    from guard.model.ports import Sink

MARKETS = {Market("x", f"C{number}/USDT"): number for number in range(12)}


class Past:
    """A connector's history that fails as told, and counts who was under way at once."""

    def __init__(self, **fails: list[Exception]) -> None:
        self.fails = fails
        self.asked: list[str] = []
        self.most = self.now = 0

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        del row, sink, since_us
        self.asked.append(market.base)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if self.fails.get(market.base):
            raise self.fails[market.base].pop(0)


async def warmed(past: Past, warming: Warming, **more: object) -> asyncio.Task[None]:
    task = asyncio.create_task(warming.run(past, MARKETS, history_us=1, **more))  # type: ignore[arg-type] - history is all it needs
    await settle(60)
    return task


async def test_markets_are_warmed_in_order_and_four_at_once() -> None:
    past, clock = Past(), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock)
    task = await warmed(past, warming)
    assert task.done()
    assert past.asked == [f"C{number}" for number in range(12)]
    assert (past.most, warming.warmed, warming.missing) == (4, 12, {})


async def test_a_past_that_cannot_be_had_is_asked_for_again_after_all_others() -> None:
    past, clock = Past(C0=[Disconnected("busy"), Disconnected("busy")]), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock)
    task = await warmed(past, warming)
    assert warming.missing == {"x:C0/USDT": "busy"}
    assert past.asked.count("C0") == 1
    await clock.advance(31)
    assert past.asked.count("C0") == 2
    await clock.advance(61)
    assert (task.done(), past.asked.count("C0"), warming.missing) == (True, 3, {})


async def test_it_gives_up_after_four_tries_and_says_so() -> None:
    past, clock = Past(C3=[Disconnected("gone")] * 9), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock)
    task = await warmed(past, warming)
    await clock.advance(400)
    assert (task.done(), past.asked.count("C3"), warming.missing) == (True, 4, {"x:C3/USDT": "gone"})


async def test_a_connectors_mistake_is_told_and_not_repeated() -> None:
    past, clock = Past(C3=[KeyError("candles")]), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock)
    task = await warmed(past, warming)
    assert (task.done(), past.asked.count("C3")) == (True, 1)
    assert warming.missing == {"x:C3/USDT": "KeyError: 'candles'"}


async def test_who_knows_the_past_or_was_let_go_is_not_asked_for() -> None:
    past, clock = Past(), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock, has_past=lambda row: row < 5)
    await warmed(past, warming, is_wanted=lambda market: market.base != "C7")
    assert past.asked == ["C5", "C6", "C8", "C9", "C10", "C11"]
    assert warming.missing == {}


class Glancing(Past):
    """A connector that knows the last minutes apart."""

    def __init__(self, **fails: list[Exception]) -> None:
        super().__init__(**fails)
        self.glanced: list[str] = []
        self.may_go = asyncio.Event()

    async def glance(self, market: Market, row: int, sink: Sink) -> None:
        del row, sink
        self.glanced.append(market.base)
        if market.base == "C2":
            raise Disconnected("busy")

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        await self.may_go.wait()
        await super().history(market, row, sink, since_us=since_us)


async def test_all_get_their_last_minutes_before_any_gets_the_rest_and_streams_wait_for_no_more() -> None:
    past, clock = Glancing(), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock)
    task = await warmed(past, warming)
    assert len(past.glanced) == 12
    assert (warming.glanced.is_set(), task.done(), past.asked) == (True, False, [])
    past.may_go.set()
    await settle(60)
    assert (task.done(), warming.missing) == (True, {})


async def test_a_market_that_knows_its_past_is_not_warmed_by_the_next_connector() -> None:
    past, clock = Past(C0=[Disconnected("busy")] * 4), MovedClock()
    warming = Warming("x", sink=Rows(), clock=clock)
    await warmed(past, warming)
    task = asyncio.create_task(warming.run(past, MARKETS, history_us=1))  # type: ignore[arg-type] - history is all it needs
    await settle(60)
    assert past.asked == [*(f"C{number}" for number in range(12)), "C0"]
    task.cancel()
