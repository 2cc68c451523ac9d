"""The clocks of a bot's machine; beside `guard.runtime.clock` the only place that reads them."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MACHINE", "Clocks", "pause", "rest"]

_BOOT_ID_FILE = "/proc/sys/kernel/random/boot_id"


class Clocks(NamedTuple):
    """What a reader of the snapshot needs to know of time.

    `boot_ns` returns nanoseconds of a clock that never jumps and counts suspended time; `wall_us` microseconds since 1970;
    `boot_id` names this run of the machine (32 hex digits, empty where the system tells none): boot clocks of two runs cannot be
    compared.
    """

    boot_ns: Callable[[], int]
    wall_us: Callable[[], int]
    boot_id: str


def pause(seconds: float) -> None:
    """Wait, for a command that refreshes what it shows."""
    time.sleep(seconds)


async def rest(seconds: float) -> None:
    """Wait without holding up the event loop."""
    from asyncio import sleep  # noqa: PLC0415 - a bot without an event loop need not load it

    await sleep(seconds)


def _wall_us() -> int:
    return time.time_ns() // 1000


def _boot_id() -> str:
    try:
        with open(_BOOT_ID_FILE, encoding="ascii") as file:
            return file.read(64).strip().replace("-", "")
    except (OSError, UnicodeDecodeError):
        return ""


MACHINE = Clocks(partial(time.clock_gettime_ns, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)), _wall_us, _boot_id())
