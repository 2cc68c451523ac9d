"""Long work of the loop cut into slices, so that a bot that asks meanwhile is answered between two of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Slices"]

_SLICE_US: Final = 1_500
_STEPS_MAX: Final = 16
# Reading a request, answering it and reading the next one on that connection each take one.
_TURNS: Final = 4


class Slices:
    """Lets others run for four turns of the loop once a slice of 1.5 ms is over, or sixteen steps.

    Parameters
    ----------
    monotonic_us
        The clock.
    """

    def __init__(self, monotonic_us: Callable[[], int]) -> None:
        self._monotonic_us = monotonic_us
        self._began_us = monotonic_us()
        self._steps = 0

    async def step(self) -> None:
        """Let others run where the slice is over; whatever they may change has to be read anew."""
        self._steps += 1
        if self._steps >= _STEPS_MAX or self._monotonic_us() - self._began_us >= _SLICE_US:
            await self.turn()

    async def turn(self) -> None:
        """Let others run, and begin a slice."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        self._steps = 0
        self._began_us = self._monotonic_us()
