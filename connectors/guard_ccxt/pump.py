"""The receive loop in place of ccxt's, which one bad frame ends in silence. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import WSMsgType
from ccxt import NetworkError

if TYPE_CHECKING:
    from guard.model.ports import Clock
    from guard_ccxt.counters import Counters

__all__ = ["Connection", "pump"]

_BURST = 256
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_log = structlog.get_logger("guard_ccxt")


class Connection:
    """One socket: when it was heard, and how long it used to be quiet. Times are monotonic microseconds but `heard_at_us`."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self.url = str(client.url)
        self.heard_us = clock.monotonic_us()
        self.heard_at_us: int | None = None
        self.data_us = self.heard_us
        self.frames = 0
        self.longest_quiet_us = 0
        self.received_us = 0
        self.is_open = False
        self.bad_in_a_row = 0
        self.has_bad = False
        self.pinged_us = 0
        self.tasks: set[asyncio.Task[Any]] = set()

    def arrived(self, *, is_data: bool) -> None:
        """Note a frame of any kind."""
        now_us = self.clock.monotonic_us()
        self.heard_us = now_us
        self.received_us = self.heard_at_us = self.clock.now_us()
        if is_data:
            quiet_us = now_us - self.data_us
            self.data_us = now_us
            if self.frames and quiet_us > self.longest_quiet_us:
                self.longest_quiet_us = quiet_us
            self.frames += 1

    @property
    def state(self) -> str:
        """``live``, ``connecting`` or ``lost``."""
        if self.client.error is not None:
            return "lost"
        if not self.is_open:
            return "connecting"
        return "lost" if self.client.closed() else "live"


async def pump(connection: Connection, counters: Counters, *, bad_frames_max: int) -> None:
    """Hand each frame to ccxt until the connection ends.

    A frame that makes ccxt raise is counted, logged once for each connection and skipped; `bad_frames_max` of them in a row end
    the connection. An end without a close frame is told to ccxt as code 1006, so that its futures fail.
    """
    client = connection.client
    connection.is_open = True
    left = _BURST
    try:
        while not client.closed():
            message = await client.connection.receive()
            if client.error is not None:  # given up: its streams run elsewhere by now, and must not continue from here
                return
            if message.type in _ENDS:
                _end(client, message)
                return
            is_data = message.type in (WSMsgType.TEXT, WSMsgType.BINARY)
            connection.arrived(is_data=is_data)
            try:
                client.handle_message(message)
                if is_data:
                    connection.bad_in_a_row = 0
            except Exception as error:  # noqa: BLE001  # an exchange's frame may make ccxt raise anything
                _bad_frame(connection, counters, error, bad_frames_max)
            finally:
                connection.received_us = 0
            left -= 1
            if not left:  # receive() does not suspend while frames wait; others must get their turn
                left = _BURST
                await asyncio.sleep(0)
        _end(client, None)
    except Exception as error:  # noqa: BLE001  # whatever breaks the socket must fail the waiting futures
        client.on_error(NetworkError(f"receiving from {connection.url}: {error!r}"))


def _end(client: Any, message: Any) -> None:
    if client.error is not None:
        return
    if message is not None and message.type is WSMsgType.ERROR:
        client.on_error(NetworkError(f"receiving from {client.url}: {message.data!r}"))
        return
    is_code = message is not None and message.type is WSMsgType.CLOSE
    client.on_close(message.data if is_code else 1006)


def _bad_frame(connection: Connection, counters: Counters, error: Exception, bad_frames_max: int) -> None:
    counters.bad_frames += 1
    connection.bad_in_a_row += 1
    if not connection.has_bad:
        connection.has_bad = True
        _log.warning(
            "bad frame skipped; further ones on this connection are only counted", url=connection.url, error=repr(error)[:300]
        )
    if connection.bad_in_a_row >= bad_frames_max:
        connection.bad_in_a_row = 0
        connection.client.on_error(NetworkError(f"{bad_frames_max} bad frames in a row from {connection.url}"))
