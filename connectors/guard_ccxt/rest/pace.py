"""One piece of background work at a time, so that what is live never waits for more than one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model.ports import Clock

__all__ = ["Pace"]

_REST_MAX_S = 0.25


class Pace:
    """Runs pieces of work of about a millisecond for all who ask, one after the other.

    Parameters
    ----------
    clock
        Injected.

    Notes
    -----
    After each piece the event loop turns, and rests for as long again as the piece and that turn took, at most 0.25 s: such work
    takes half of a loop that has nothing else to do, and less of a busy one, however many markets are read at once.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Lock()

    async def run(self, piece: Callable[[], None]) -> None:
        """Run `piece` when its turn comes; returns when others had theirs."""
        async with self._turn:
            began_us = self._clock.monotonic_us()
            piece()
            await asyncio.sleep(0)
            await self._clock.sleep(min((self._clock.monotonic_us() - began_us) / 1e6, _REST_MAX_S))
