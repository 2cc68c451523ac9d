"""Reads busy sockets together, a few milliseconds apart, where each frame would wake the event loop alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PERIOD_S", "Beat", "Socket"]

PERIOD_S = 0.010  # asyncio's timers are up to a millisecond late
_WINDOW_US = 20_000
# The mean distance of frames, on all sockets together, from which on reading together begins, and beyond which it ends.
_BEGIN_US, _END_US = 2_000, 3_000
# So many beats without data, a tenth of a second, and a socket is left to the event loop again.
_QUIET_MAX = 25


class Socket:
    """The reading side of one websocket, which the event loop watches until `hold`.

    Parameters
    ----------
    protocol
        aiohttp's, connected. AttributeError where it has another inside.

    Notes
    -----
    Of a transport with TLS the one below is held: TLS alone would go on to read. asyncio's own transports are read without the
    event loop; those of other loops can only be let go for their next arrival.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        transport = protocol.transport
        self._tls = getattr(transport, "_ssl_protocol", None)
        self._transport = transport if self._tls is None else self._tls._transport  # noqa: SLF001  # there is no other way
        self._read: Callable[[], None] | None = getattr(self._transport, "_read_ready", None)
        self._is_full()

    def hold(self) -> None:
        """Take the socket from the event loop."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def release(self) -> None:
        """Give it back, unless aiohttp or TLS want no more at the moment: they will do it."""
        is_over = self._transport.is_closing()
        if not is_over and not self._is_full() and not getattr(self._tls, "_ssl_reading_paused", False):
            self._transport.resume_reading()

    def read(self) -> bool:
        """Take what has arrived, or see that the peer is gone; False where only the event loop can."""
        if self._read is None:
            return False
        if not self._is_full():
            self._read()
        return True

    def _is_full(self) -> bool:
        return bool(self._protocol._reading_paused or self._protocol._buffer_paused)  # noqa: SLF001  # aiohttp's own brake


class Beat:
    """The sockets of a shard that are read together while frames are dense.

    Notes
    -----
    A frame that wakes the event loop alone costs more than what is in it: the loop's turn, a system call or two, and memory that
    the caches have lost meanwhile. From 500 frames a second on, over all sockets of the shard and 20 ms, a socket that brings
    something is taken from the event loop and read every `PERIOD_S` along with the others, until there are fewer than 333 a second
    or it brings nothing for 25 times. So a frame waits for that long at most, and where frames are rare, or a burst comes alone,
    none does. Pings, closes and the end are seen with the frames; the kernel's buffer holds what has not been read.
    """

    def __init__(self) -> None:
        self._quiet: dict[Socket, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_dense = False
        self._frames = 0
        self._since_us = 0

    def heard(self, socket: Socket, frames: int, now_us: int) -> None:
        """Note so many frames at `now_us` (monotonic), and hold their socket while frames are dense."""
        self._frames += frames
        past_us = now_us - self._since_us
        if past_us >= _WINDOW_US:
            self._is_dense = self._frames * (_END_US if self._is_dense else _BEGIN_US) >= past_us
            self._frames, self._since_us = 0, now_us
        if not self._is_dense:
            return
        if socket not in self._quiet:
            socket.hold()
            if self._timer is None:
                self._arm()
        self._quiet[socket] = 0

    def leave(self, socket: Socket) -> None:
        """Give a socket back to the event loop."""
        if self._quiet.pop(socket, None) is not None:
            socket.release()

    def _arm(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # a system call each time, up to Python 3.11
        self._timer = self._loop.call_later(PERIOD_S, self._read)

    def _read(self) -> None:
        self._timer = None
        if not self._quiet:
            return
        self._arm()
        for socket in list(self._quiet):
            quiet = self._quiet.get(socket)
            if quiet is None:  # what another one brought has ended it
                continue
            if not self._is_dense or quiet >= _QUIET_MAX:
                self.leave(socket)
                continue
            self._quiet[socket] = quiet + 1
            if not socket.read():
                self.leave(socket)  # its next arrival brings it back
