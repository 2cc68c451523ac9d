"""The receive loop in place of ccxt's, which one bad frame ends in silence. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import WSMsgType
from ccxt import NetworkError

from guard_ccxt.connections.direct import BURST, direct
from guard_ccxt.stream.sequence import PassedOver

if TYPE_CHECKING:
    from guard.model.ports import Clock
    from guard_ccxt.connections.batches import Batches
    from guard_ccxt.connections.beat import Beat
    from guard_ccxt.counters import Counters
    from guard_ccxt.fast import Decoder

__all__ = ["Connection", "pump"]

# So many frames that no decoder could read, out of five times as many, mean that the exchange sends something else now.
_UNREAD_MAX, _UNREAD_SHARE = 200, 5
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_TEXT, _BINARY, _PING, _PONG = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG
_log = structlog.get_logger("guard_ccxt")


class Connection:
    """One socket: when it was heard, and how long it used to be quiet. Times are monotonic microseconds but `heard_at_us`."""

    def __init__(self, client: Any, clock: Clock, *, name: str = "") -> None:
        self.client = client
        self.name = name
        self.clock = clock
        self.url = str(client.url)
        self.heard_us = clock.monotonic_us()
        self.heard_at_us: int | None = None
        self.data_us = self.heard_us
        self.frames = 0
        self.decoder: Decoder | None = None
        self.fallbacks = 0
        self.deferred = 0
        self.batches: Batches | None = None
        self.beat: Beat | None = None
        self._unread_mark = (0, 0)
        self.longest_quiet_us = 0
        self.received_us = 0
        self.is_open = False
        self.bad_in_a_row = 0
        self.has_bad = False
        self.pinged_us = 0
        self.echo = b""
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

    def fell_back(self) -> bool:
        """Note that stock ccxt gets the frame that just arrived; return whether too many were not read lately."""
        self.fallbacks += 1
        frames_mark, unread_mark = self._unread_mark
        unread = self.fallbacks - self.deferred
        if unread - unread_mark < _UNREAD_MAX:
            return False
        self._unread_mark = (self.frames, unread)
        return self.frames - frames_mark <= _UNREAD_MAX * _UNREAD_SHARE

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
    waiting = client.buffer

    def handle(message: Any, *, is_fresh: bool) -> None:
        _handle(connection, counters, message, is_fresh=is_fresh, bad_frames_max=bad_frames_max)

    def after() -> int:
        connection.received_us = 0
        return connection.heard_us

    at_once = direct(client, handle, after, connection.beat)
    left, is_fresh = BURST, True
    try:
        while not is_fresh or not client.closed():
            if is_fresh and at_once is not None:
                await at_once.rest()
            message = await client.connection.receive()
            if client.error is not None:  # given up: its streams run elsewhere by now, and must not continue from here
                return
            if message.type in _ENDS:
                _end(client, message)
                return
            handle(message, is_fresh=is_fresh)
            left -= 1
            # receive() does not suspend while frames wait: they arrived together, and the clock is read once for all of them.
            is_fresh = not waiting or not left
            if is_fresh:
                connection.received_us = 0
                if not left:  # others must get their turn
                    await asyncio.sleep(0)
                left = BURST
        _end(client, None)
    except Exception as error:  # noqa: BLE001  # whatever breaks the socket must fail the waiting futures
        client.on_error(NetworkError(f"receiving from {connection.url}: {error!r}"))


def _handle(connection: Connection, counters: Counters, message: Any, *, is_fresh: bool, bad_frames_max: int) -> None:
    kind, decoder = message.type, connection.decoder
    is_data = kind is _TEXT or kind is _BINARY
    if is_fresh:
        connection.arrived(is_data=is_data)
    elif is_data:
        connection.frames += 1
        connection.data_us = connection.heard_us
    counters.frames += is_data
    if kind is _PONG:
        connection.echo = bytes(message.data or b"")
    if kind is _PING:
        task = asyncio.ensure_future(_answer(connection, message.data))
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)
        return
    try:
        if kind is not _TEXT or decoder is None or not _read(connection, decoder, counters, message.data):
            connection.client.handle_message(message)
        if is_data:
            connection.bad_in_a_row = 0
    except PassedOver:
        pass
    except Exception as error:  # noqa: BLE001  # an exchange's frame may make ccxt raise anything
        _bad_frame(connection, counters, error, bad_frames_max)


async def _answer(connection: Connection, data: Any) -> None:
    # ccxt does the same in a task that nobody awaits: on a socket that closes meanwhile its error goes unobserved.
    try:
        await connection.client.connection.pong(data)
    except (OSError, RuntimeError):
        return  # closing: the pump will say so


def _read(connection: Connection, decoder: Decoder, counters: Counters, text: str) -> bool:
    try:
        if decoder.take(connection, text):
            connection.client.last_message_at = connection.received_us // 1000
            return True
    except Exception as error:  # noqa: BLE001  # a decoder's mistake must not cost a frame
        _note_bad(connection, counters, error)
    counters.fallbacks += 1
    if connection.fell_back():
        counters.note(
            f"{connection.name}: a fifth of the last frames could not be read by the fast tier: the wire changed; ccxt reads them"
        )
    return False


def _end(client: Any, message: Any) -> None:
    if client.error is not None:
        return
    if message is not None and message.type is WSMsgType.ERROR:
        client.on_error(NetworkError(f"receiving from {client.url}: {message.data!r}"))
        return
    is_code = message is not None and message.type is WSMsgType.CLOSE
    client.on_close(message.data if is_code else 1006)


def _bad_frame(connection: Connection, counters: Counters, error: Exception, bad_frames_max: int) -> None:
    _note_bad(connection, counters, error)
    connection.bad_in_a_row += 1
    if connection.bad_in_a_row >= bad_frames_max:
        connection.bad_in_a_row = 0
        connection.client.on_error(NetworkError(f"{bad_frames_max} bad frames in a row from {connection.url}"))


def _note_bad(connection: Connection, counters: Counters, error: Exception) -> None:
    counters.bad_frames += 1
    if not connection.has_bad:
        connection.has_bad = True
        _log.warning("bad frame; further ones on this connection are only counted", url=connection.url, error=repr(error)[:300])
