"""The one place of guard that reads the machine's clock and makes chance."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.model.ports import Random

__all__ = ["SystemClock", "secret_bytes", "seeded_random"]

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_read_ns = time.clock_gettime_ns


class SystemClock:
    """The machine's clocks, as `guard.model.ports.Clock`.

    Notes
    -----
    Wall time is read once and carried on by the boot clock, so that it never jumps while guard runs: a corrected (or forged) wall
    clock ends no quarantine early and stretches none. `jump_us` tells how far the machine's wall clock has gone elsewhere since;
    a restart takes the new time.

    Examples
    --------
    >>> clock = SystemClock()
    >>> clock.now_us() <= clock.now_us(), abs(clock.jump_us()) < 1_000_000
    (True, True)
    """

    def __init__(self) -> None:
        self._offset_us = time.time_ns() // 1000 - self.monotonic_us()

    def now_us(self) -> int:
        """Return wall time, microseconds since 1970; never jumps."""
        return self.monotonic_us() + self._offset_us

    def monotonic_us(self) -> int:
        """Return microseconds of the boot clock: never jumps, counts suspended time, starts anew with the machine."""
        return _read_ns(_BOOT) // 1000

    def jump_us(self) -> int:
        """Return how far the machine's wall clock is ahead of `now_us`; beyond a second somebody has set it."""
        return time.time_ns() // 1000 - self.now_us()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def seeded_random(seed: int | None = None) -> Random:
    """Return a source of chance; the same `seed` gives the same numbers, None seeds it from the system.

    Examples
    --------
    >>> seeded_random(7).random() == seeded_random(7).random()
    True
    """
    return random.Random(int.from_bytes(os.urandom(16)) if seed is None else seed)  # noqa: S311 - jitter, not secrecy


def secret_bytes(count: int) -> bytes:
    """Return chance that nobody can foretell, from the system."""
    return os.urandom(count)
