"""The machine's clock for the programs of the bench, which stand alone as an exchange and a bot do."""

from __future__ import annotations

import asyncio
import time

__all__ = ["MachineClock", "processor_s"]

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class MachineClock:
    """As `guard.model.ports.Clock`."""

    def __init__(self) -> None:
        self._offset_us = time.time_ns() // 1000 - self.monotonic_us()

    def now_us(self) -> int:
        """Return wall time, microseconds since 1970."""
        return self.monotonic_us() + self._offset_us

    def monotonic_us(self) -> int:
        """Return microseconds of the boot clock."""
        return time.clock_gettime_ns(_BOOT) // 1000

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def block(self, seconds: float) -> None:
        """Hold the whole process up, its loop included."""
        time.sleep(seconds)


def processor_s() -> float:
    """Return the seconds of processor that this process has used."""
    return time.process_time()
