"""Takes frames in the callback in which the socket gave them, where aiohttp lets it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType

from guard_ccxt.connections.beat import Beat, Socket

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BURST", "Direct", "direct"]

BURST = 256
_DATA = (WSMsgType.TEXT, WSMsgType.BINARY)


class Direct:
    """Stands in for a task that waits for frames: a waiting task costs a turn of the loop and a step for each arrival.

    Parameters
    ----------
    client
        ccxt's, connected.
    handle
        Takes a message; `is_fresh` for the first one of an arrival. Called for text and binary frames.
    after
        Called when all of an arrival have been handled; returns when that was, monotonic microseconds.
    beat
        Reads this socket along with others while frames are dense.

    Notes
    -----
    Frames are taken here only while the task is in `rest`, at most 256 at once; what is left, and all that is no data (pings,
    closes, errors, the end), ends the rest and is the task's. So there is one order and one reader at any time.
    """

    def __init__(self, client: Any, handle: Callable[..., None], after: Callable[[], int], beat: Beat | None = None) -> None:
        self._client = client
        self._handle = handle
        self._after = after
        self._receive = client.connection.receive
        protocol = client.connection._conn.protocol  # noqa: SLF001  # the way of ccxt's own `Client.buffer`
        self._queue = protocol._payload  # noqa: SLF001  # likewise
        self._waiting = self._queue._buffer  # noqa: SLF001  # likewise
        self._beat = beat or Beat()
        self._socket = Socket(protocol)
        self._resting: asyncio.Future[None] | None = None
        self._is_busy = False
        self._stock_data, self._stock_lost = protocol.data_received, protocol.connection_lost
        self._stock_close = client.connection.close
        protocol.data_received, protocol.connection_lost = self._data, self._lost
        client.connection.close = self._close

    async def rest(self) -> None:
        """Wait until there is something that the task must see to: no data, too much of it, or the end."""
        if self._waiting or self._is_over():
            return
        self._resting = asyncio.get_running_loop().create_future()
        try:
            await self._resting
        finally:
            self._resting = None
            self._beat.leave(self._socket)

    def _is_over(self) -> bool:
        return self._client.error is not None or self._client.closed() or self._queue.is_eof()

    def _wake(self, error: Exception | None = None) -> None:
        resting = self._resting
        if resting is None or resting.done():
            return
        if error is None:
            resting.set_result(None)
        else:
            resting.set_exception(error)

    def _data(self, data: bytes) -> None:
        self._stock_data(data)
        resting = self._resting
        # aiohttp calls this again from within, where it takes up what it had put aside.
        if resting is None or resting.done() or self._is_busy:
            return
        self._is_busy = True
        try:
            self._drain()
        except Exception as error:  # noqa: BLE001  # the task fails with it, as if it had happened there
            self._wake(error)
        finally:
            self._is_busy = False
        if self._waiting or self._is_over():
            self._wake()

    def _drain(self) -> None:
        waiting, receive, client, handle = self._waiting, self._receive, self._client, self._handle
        is_fresh, left = True, BURST
        while waiting and left and waiting[0][0].type in _DATA and client.error is None and not client.closed():
            reading = receive()
            try:
                reading.send(None)
            except StopIteration as end:
                handle(end.value, is_fresh=is_fresh)
            else:  # it never waits while a frame is there
                reading.close()
                raise RuntimeError("aiohttp waits for a frame that is there")
            is_fresh = False
            left -= 1
        if not is_fresh:
            self._beat.heard(self._socket, BURST - left, self._after())

    def _lost(self, error: Exception | None) -> None:
        self._beat.leave(self._socket)
        self._stock_lost(error)
        self._wake()

    async def _close(self, *arguments: Any, **named: Any) -> Any:
        self._beat.leave(self._socket)
        self._wake()
        return await self._stock_close(*arguments, **named)


def direct(client: Any, handle: Callable[..., None], after: Callable[[], int], beat: Beat | None = None) -> Direct | None:
    """Return one for a connected client; None where this aiohttp has another inside: its frames are awaited then."""
    try:
        return Direct(client, handle, after, beat)
    except AttributeError:
        return None
