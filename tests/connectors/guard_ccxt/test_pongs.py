"""An exchange pings, and its socket goes before the answer."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiohttp import ClientConnectionResetError, WSMessage, WSMsgType
from ccxt_support import MovedClock

from guard_ccxt.connections.pump import Connection, pump
from guard_ccxt.counters import Counters


class Socket:
    """An open socket that gets a ping and then a close; its answers go out, or fail as on one that closes."""

    def __init__(self, failure: Exception | None) -> None:
        self.failure = failure
        self.ponged: list[bytes] = []
        self.messages = [WSMessage(WSMsgType.PING, b"7", None), WSMessage(WSMsgType.CLOSE, 1001, None)]

    async def receive(self) -> WSMessage:
        await asyncio.sleep(0)
        return self.messages.pop(0)

    async def pong(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        self.ponged.append(data)


class Client:
    """As much of ccxt's client as a pump needs."""

    url, error, buffer = "ws://127.0.0.1/", None, ()

    def __init__(self, failure: Exception | None) -> None:
        self.connection = Socket(failure)
        self.ended: list[Any] = []
        self.handled: list[Any] = []
        self.on_close, self.on_error, self.handle_message = self.ended.append, self.ended.append, self.handled.append

    def closed(self) -> bool:
        return bool(self.ended)


@pytest.mark.parametrize("failure", [None, ClientConnectionResetError("Cannot write to closing transport"), RuntimeError("closed")])
async def test_a_ping_is_answered_and_an_answer_that_fails_is_no_error_that_nobody_sees(failure: Exception | None) -> None:
    unobserved: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: unobserved.append(about))
    client = Client(failure)
    connection = Connection(client, MovedClock())
    await pump(connection, Counters(lambda _: None), bad_frames_max=3)
    while connection.tasks:  # noqa: ASYNC110 - they end by themselves
        await asyncio.sleep(0)
    gc.collect()
    assert client.ended == [1001]
    assert client.connection.ponged == ([] if failure else [b"7"])
    assert (client.handled, unobserved) == ([], [])
