"""A thread that writes: a blocked console or a full pipe never stops the loop."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Printer"]

_WAITING_MAX = 10_000


class Printer:
    """Runs what is to be written in a thread of its own, in order.

    Notes
    -----
    At most ten thousand writes wait; beyond that the newest is dropped and counted in `dropped`. A write that fails (a closed pipe)
    ends the writing, and every later one counts as dropped.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(_WAITING_MAX)
        self._is_broken = False
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def put(self, write: Callable[[], None]) -> None:
        """Queue a write; never blocks."""
        try:
            if self._is_broken:
                self.dropped += 1
            else:
                self._waiting.put_nowait(write)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        while (write := self._waiting.get()) is not None:
            try:
                write()
            except (OSError, ValueError):
                self._is_broken = True
                return

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, for at most `timeout_s`."""
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)
