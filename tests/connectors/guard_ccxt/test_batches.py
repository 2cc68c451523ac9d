"""Requests to subscribe that become one, and what ccxt hears of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ccxt_support import until

from guard_ccxt.connections.batches import Batches
from guard_ccxt.connections.limits import Window
from guard_ccxt.connections.pace import Pace


class Line:
    """What is sent, and at which turns."""

    def __init__(self, *, most: int = 100, windows: tuple[Window, ...] = ()) -> None:
        self.sent: list[dict[str, Any]] = []
        self.error: Exception | None = None
        clock = _Clock()
        self.batches = Batches(self._send, Pace(windows, clock).turn, clock.sleep, most)

    async def _send(self, message: Any) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append(message)

    def ask(self, number: int, channel: str = "/market/match") -> asyncio.Task[None]:
        return asyncio.create_task(self.batches.put(asked(number, channel)))


class _Clock:
    def now_us(self) -> int:
        return self.monotonic_us()

    def monotonic_us(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e6)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


def asked(number: int, channel: str = "/market/match") -> dict[str, Any]:
    return {"id": str(number), "type": "subscribe", "topic": f"{channel}:C{number}-USDT", "response": True}


async def test_eighty_markets_on_two_channels_are_two_requests_and_each_call_hears_its_own_answer() -> None:
    line = Line()
    await asyncio.gather(*(line.ask(n) for n in range(80)), *(line.ask(n, "/market/level2") for n in range(80, 160)))
    trades, books = line.sent
    assert trades["topic"] == "/market/match:" + ",".join(f"C{n}-USDT" for n in range(80))
    assert len(books["topic"].split(",")) == 80
    heard = list(line.batches.answers({"id": "80", "type": "ack"}))
    assert heard == [{"id": str(n), "type": "ack"} for n in range(80, 160)]
    # an answer is for one request, and what else comes is none of its business
    assert list(line.batches.answers({"id": "80", "type": "ack"})) == [{"id": "80", "type": "ack"}]
    assert list(line.batches.answers("pong")) == ["pong"]


async def test_what_one_topic_does_not_hold_goes_into_another_request() -> None:
    line = Line(most=3)
    await asyncio.gather(*(line.ask(n) for n in range(7)))
    assert [message["topic"].count("USDT") for message in line.sent] == [3, 3, 1]


async def test_a_batch_that_is_refused_is_asked_for_one_by_one() -> None:
    line = Line()
    await asyncio.gather(*(line.ask(n) for n in range(3)))
    assert list(line.batches.answers({"id": "0", "type": "error", "code": 404, "data": "topic is not found"})) == []
    await until(lambda: len(line.sent) == 4)
    assert line.sent[1:] == [asked(n) for n in range(3)]
    refused = {"id": "1", "type": "error", "code": 404}
    assert list(line.batches.answers(refused)) == [refused]


async def test_a_connection_that_ends_fails_all_who_wait() -> None:
    line = Line()
    line.error = ConnectionResetError("gone")
    ends = await asyncio.gather(*(line.ask(n) for n in range(3)), return_exceptions=True)
    assert [type(end) for end in ends] == [ConnectionResetError] * 3


async def test_nobody_waits_for_a_connection_that_was_given_up() -> None:
    line = Line(windows=(Window(1, 1000.0),))
    await line.ask(0)
    waiting = [line.ask(n) for n in (1, 2)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    line.batches.close()
    ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 2.0)
    assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
    assert len(line.sent) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"id": "1", "type": "ping"},
        {"id": "1", "type": "unsubscribe", "topic": "/market/match:A-USDT", "response": True},
        {"id": "1", "type": "subscribe", "topic": "/market/match:A-USDT,B-USDT", "response": True},
        {"id": "1", "type": "subscribe", "topic": "/market/match:A-USDT"},
        {"id": "1", "type": "subscribe", "topic": "/account/balance", "response": True},
        "text",
        None,
    ],
)
async def test_other_requests_go_alone(message: Any) -> None:
    assert not Line().batches.takes(message)
