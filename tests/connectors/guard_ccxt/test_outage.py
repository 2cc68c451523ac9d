"""An exchange that is closed: it says so, or nothing comes of it at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ccxt_support import START_US, Rows, StillClock

from guard.errors import Disconnected
from guard.model import Channel, Kind, Status
from guard_ccxt.alive.outage import Outage, Quiet, says_closed
from guard_ccxt.counters import Counters
from guard_ccxt.stream.gate import Gate
from guard_ccxt.stream.subscription import Phase, Subscription

if TYPE_CHECKING:
    from collections.abc import Callable

S = 1_000_000


class Scene:
    """Streams of trades of an exchange that answers as `answer` says."""

    def __init__(self, streams: int = 2) -> None:
        self.clock = StillClock()
        self.rows = Rows()
        self.notes: list[str] = []
        self.counters = Counters(self.notes.append)
        self.answer: Any = {"status": "ok"}
        self.asked = 0
        self.streams = [self.stream(f"C{at}/USDT", at) for at in range(streams)]
        self.outage = Outage(ask=self.ask, subscriptions=lambda: self.streams, clock=self.clock, counters=self.counters)

    def stream(self, symbol: str, row: int) -> Subscription:
        made = Subscription(symbol, row, Channel.TRADES, gate=Gate(), sink=self.rows, counters=self.counters, clock=self.clock)
        made.begin()
        made.confirm(at_us=START_US, received_us=START_US)
        return made

    async def ask(self) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def wait(self, seconds: int, *, each: Callable[[], None] = lambda: None) -> None:
        for _ in range(seconds):
            await self.clock.sleep(1)
            each()
            await self.outage.look()

    def trade(self, at: int = 0) -> None:
        now_us = self.clock.now_us()
        number = now_us // 1000
        self.streams[at].on_trades([{"id": str(number), "price": 1.0, "amount": 1.0, "timestamp": number, "side": "buy"}], now_us)

    def told(self, row: int = 0) -> list[str]:
        return [name for name, _ in self.rows.statuses(row)]


async def test_exchange_that_says_so_is_closed_once_and_opened_once_whatever_its_streams_do() -> None:
    scene = Scene()
    await scene.wait(599, each=scene.trade)
    assert scene.asked == 0
    scene.answer = {"status": "maintenance"}
    await scene.wait(60, each=scene.trade)
    scene.streams[1].lose(Status.LOST)
    await scene.wait(10, each=scene.trade)
    scene.streams[1].begin()
    scene.streams[1].confirm(at_us=scene.clock.now_us(), received_us=scene.clock.now_us())
    scene.answer = Disconnected("closed")
    await scene.wait(120, each=scene.trade)
    assert [scene.told(0), scene.told(1)] == [["LIVE", "MAINTENANCE"]] * 2
    scene.answer = {"status": "ok"}
    await scene.wait(60, each=scene.trade)
    assert [scene.told(0), scene.told(1)] == [["LIVE", "MAINTENANCE", "LIVE"]] * 2
    assert [row.market for row in scene.rows.of(Kind.GAP)] == [0, 1]
    assert len(scene.notes) == 2
    assert not scene.counters.closed


async def test_exchange_whose_connections_are_all_gone_is_asked_at_once_and_closed_after_a_minute() -> None:
    scene = Scene()
    await scene.wait(120, each=scene.trade)
    for one in scene.streams:
        one.lose(Status.LOST)
    await scene.wait(16)
    assert scene.asked == 1
    assert scene.told() == ["LIVE", "LOST"]
    await scene.wait(50)
    assert scene.told() == ["LIVE", "LOST", "MAINTENANCE"]
    assert scene.counters.closed == "silent"
    for one in scene.streams:
        one.begin()
    await scene.wait(1, each=scene.trade)
    assert scene.told() == ["LIVE", "LOST", "MAINTENANCE", "LIVE"]
    assert scene.told(1)[-1] == "LOST"  # its own word is awaited


async def test_few_thin_coins_that_are_silent_for_hours_are_no_outage() -> None:
    scene = Scene(streams=9)
    await scene.wait(7200)
    assert scene.told() == ["LIVE"]


async def test_many_streams_that_fall_silent_at_once_are_an_outage_though_connections_pong() -> None:
    scene = Scene(streams=12)
    await scene.wait(120, each=scene.trade)
    await scene.wait(59)
    assert scene.told() == ["LIVE"]
    await scene.wait(3)
    assert scene.told() == ["LIVE", "MAINTENANCE"]
    await scene.wait(1, each=scene.trade)
    assert all(scene.told(row)[-1] == "LIVE" for row in range(12))


async def test_market_that_is_followed_during_an_outage_is_closed_too() -> None:
    scene = Scene()
    scene.answer = {"status": "maintenance"}
    await scene.wait(601, each=scene.trade)
    scene.streams.append(scene.stream("NEW/USDT", 2))
    await scene.wait(1, each=scene.trade)
    assert scene.told(2) == ["LIVE", "MAINTENANCE"]


def test_stream_that_was_given_up_meanwhile_is_not_opened() -> None:
    from guard_ccxt.stream.standing import close, reopen

    scene = Scene()
    close(scene.streams[0])
    scene.streams[0].park()
    reopen(scene.streams[0], scene.clock.now_us())
    assert scene.streams[0].phase is Phase.PARKED
    assert scene.told() == ["LIVE", "MAINTENANCE", "LOST"]


@pytest.mark.parametrize("answer", [None, {}, {"status": 3}, [], "maintenance"])
def test_answer_that_says_nothing_is_no_answer(answer: object) -> None:
    assert says_closed(answer) is None


def test_pause_that_was_usual_is_no_silence() -> None:
    quiet = Quiet()
    for at in range(0, 3600, 45):
        assert quiet.look(at, live=20, streams=20, steady_us=at * S) is None
        assert quiet.look(at, live=20, streams=20, steady_us=(at + 44) * S) != "silent"
    assert quiet.look(3555, live=20, streams=20, steady_us=(3555 + 120) * S) != "silent"
    assert quiet.look(3555, live=20, streams=20, steady_us=(3555 + 140) * S) == "silent"
