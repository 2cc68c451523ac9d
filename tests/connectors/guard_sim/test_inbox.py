from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from guard_sim.server.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Clock:
    at_us = 1_000_000

    def __call__(self) -> int:
        return self.at_us


class Box:
    def __init__(self, inbox: Inbox, clock: Clock, session: aiohttp.ClientSession, server: TestServer) -> None:
        self.inbox, self.clock, self._session, self.port = inbox, clock, session, server.port

    async def post(self, path: str, document: Any) -> int:
        async with self._session.post(f"http://127.0.0.1:{self.port}{path}", json=document) as response:
            return response.status

    async def get(self, path: str) -> str:
        async with self._session.get(f"http://127.0.0.1:{self.port}{path}") as response:
            return await response.text()

    async def listed(self) -> Any:
        async with self._session.get(f"http://127.0.0.1:{self.port}/messages") as response:
            return await response.json()


@asynccontextmanager
async def _opened() -> AsyncIterator[Box]:
    clock = Clock()
    inbox = Inbox(clock)
    server = TestServer(inbox.app())
    await server.start_server()
    async with aiohttp.ClientSession() as session:
        yield Box(inbox, clock, session, server)
    await server.close()


@pytest.fixture
async def box() -> AsyncIterator[Box]:
    async with _opened() as box:
        yield box


async def test_a_message_is_shown_as_text_whatever_is_in_it(box: Box) -> None:
    attack = "<script>alert(1)</script>"
    document = {
        "title": attack,
        "message": attack,
        "type": '"><img src=x>',
        "attachments": [{"filename": attack, "base64": "QUJD"}],
    }
    assert await box.post(f"/{attack}", document) == 200
    page = await box.get("/")
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    listed = await box.listed()
    assert listed["messages"][0]["title"] == attack
    assert listed["messages"][0]["attachments"] == [{"name": attack, "size": 3}]


async def test_the_last_200_messages_are_kept_and_all_are_counted(box: Box) -> None:
    for number in range(210):
        await box.post("/", {"title": str(number)})
    listed = await box.listed()
    assert (listed["received"], len(listed["messages"]), listed["messages"][0]["title"]) == (210, 200, "10")


async def test_it_fails_for_a_while_when_told_to(box: Box) -> None:
    assert await box.post("/control/fail", {"status": 503, "for_s": 2}) == 200
    assert await box.post("/", {"title": "lost"}) == 503
    box.clock.at_us += 2_000_000
    assert await box.post("/", {"title": "kept"}) == 200
    listed = await box.listed()
    assert (listed["received"], listed["refused"]) == (1, 1)


@pytest.mark.parametrize(
    "order", [None, {}, {"status": 200, "for_s": 1}, {"status": 503, "for_s": -1}, {"status": "x", "for_s": 1}]
)
async def test_an_order_to_fail_that_makes_no_sense_is_refused(box: Box, order: Any) -> None:
    assert await box.post("/control/fail", order) == 400
    assert await box.post("/", {"title": "kept"}) == 200


async def test_a_body_that_is_no_object_is_refused(box: Box) -> None:
    assert await box.post("/", ["a", "list"]) == 400
    assert box.inbox.messages == type(box.inbox.messages)(maxlen=200)


async def test_apprise_itself_delivers_to_it(box: Box) -> None:
    apprise = pytest.importorskip("apprise")
    sender = apprise.Apprise()
    sender.add(f"json://127.0.0.1:{box.port}/alerts")
    assert await sender.async_notify(title="MOON/USDT quarantined", body="pump_dump 0.84", notify_type="warning")
    (message,) = (await box.listed())["messages"]
    assert (message["title"], message["message"], message["type"]) == ("MOON/USDT quarantined", "pump_dump 0.84", "warning")
