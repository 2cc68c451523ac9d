"""A thread that writes: a blocked console or a full pipe never stops the loop."""

from __future__ import annotations

import errno
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Printer"]

_WAITING_MAX = 10_000


class Printer:
    """Runs what is to be written in a thread of its own, in order.

    Notes
    -----
    At most ten thousand writes wait; beyond that the newest is dropped. A write that fails is dropped too, and the next one is
    tried: a disk may have room again, and the next line may be one that the terminal can show. Only a pipe or a file that is closed
    for good ends the writing. `dropped` counts all of them, `problem` is the last failure.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.problem: str | None = None
        self.is_closed_outside = False
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def put(self, write: Callable[[], None]) -> None:
        """Queue a write; never blocks."""
        try:
            if self.is_closed_outside:
                self.dropped += 1
            else:
                self._waiting.put_nowait(write)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while (write := self._waiting.get()) is not None:
            try:
                write()
            except SystemExit:
                # What rich makes of a closed pipe.
                self._end("the pipe is closed")
                return
            except Exception as error:  # noqa: BLE001 - the supervisor of a worker: it counts, shows and goes on
                text = f"{type(error).__name__}: {error}"
                if _is_gone(error):
                    self._end(text)
                    return
                self.dropped += 1
                self.problem = text

    def _end(self, problem: str) -> None:
        """Drop what waits, and whatever comes."""
        self.problem, self.is_closed_outside = problem, True
        self.dropped += 1
        with suppress(queue.Empty):
            while self._waiting.get_nowait() is not None:
                self.dropped += 1

    def close(self, timeout_s: float = 2.0) -> bool:
        """Write what waits, for at most `timeout_s`; returns whether the thread has ended, False where a write still hangs."""
        try:
            self._waiting.put(None, timeout=timeout_s if self._thread.is_alive() else 0.001)
        except queue.Full:
            return not self._thread.is_alive()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def _is_gone(error: Exception) -> bool:
    """Whether nobody will ever read what is written: the other end of a pipe or a terminal went away."""
    if isinstance(error, ValueError):
        return "closed file" in str(error)
    return isinstance(error, OSError) and error.errno in {errno.EPIPE, errno.EBADF, errno.EIO, errno.ECONNRESET}
