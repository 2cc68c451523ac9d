"""Holds what is done to a pace."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.model.ports import Clock
    from guard_ccxt.connections.limits import Window

__all__ = ["Pace"]


class Pace:
    """Lets through at most so many in any stretch of time, in the order they came.

    Parameters
    ----------
    windows
        All of them hold; none: everything passes at once.
    clock
        Injected.
    """

    def __init__(self, windows: Iterable[Window], clock: Clock) -> None:
        self._windows = [(window, deque[int](maxlen=window.most)) for window in windows]
        self._clock = clock
        self._door = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for one's turn; whoever is cancelled meanwhile takes none."""
        if not self._windows:
            return
        async with self._door:
            while (left_s := self.left_s()) > 0.0:
                await self._clock.sleep(left_s)
            now_us = self._clock.monotonic_us()
            for _, passed in self._windows:
                passed.append(now_us)

    def left_s(self) -> float:
        """Return seconds until the next may pass."""
        now_us = self._clock.monotonic_us()
        left_us = 0
        for window, passed in self._windows:
            if len(passed) == window.most:
                left_us = max(left_us, passed[0] + int(window.seconds * 1e6) - now_us)
        return left_us / 1e6
