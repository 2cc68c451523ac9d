"""A loop that hangs ends guard, with what it did in a file; a process that stood still goes on; a blocked console stops nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from runtime.feeds import Script
from runtime.test_live import bench, until

from guard.runtime.clock import SystemClock
from guard.runtime.watchdog import Watchdog, write_dump

if TYPE_CHECKING:
    from pathlib import Path


class FastClock:
    """A clock that runs twenty times as fast as the machine's, and may be set ahead."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead_us = 0

    def now_us(self) -> int:
        return self.monotonic_us()

    def monotonic_us(self) -> int:
        # Each look of the watchdog, half a second apart, sees a second and a half.
        return self._clock.monotonic_us() * 3 + self.ahead_us


def test_a_loop_that_does_not_turn_ends_the_process_with_a_dump(tmp_path: Path) -> None:
    left = threading.Event()
    codes: list[int] = []

    def leave(code: int) -> None:
        codes.append(code)
        left.set()

    dog = Watchdog(tmp_path, FastClock(), describe=lambda: ["entry 7"], leave=leave, stuck_us=4_000_000)  # type: ignore[arg-type]
    dog.start()
    assert left.wait(10)
    assert codes == [70]
    (dump,) = tmp_path.glob("dump-*.txt")
    text = dump.read_text()
    assert "the loop has not turned for" in text
    assert "entry 7" in text
    assert "thread MainThread" in text
    assert dump.stat().st_mode & 0o777 == 0o600


def test_a_loop_that_turns_and_a_process_that_stood_still_are_left_alone(tmp_path: Path) -> None:
    codes: list[int] = []
    clock = FastClock()
    dog = Watchdog(tmp_path, clock, describe=list, leave=codes.append, stuck_us=4_000_000)  # type: ignore[arg-type]
    dog.start()
    waiting = threading.Event()
    for _ in range(6):
        dog.turned()
        # As long as a night of a suspended machine.
        clock.ahead_us += 30_000_000_000
        waiting.wait(0.4)
    dog.stop()
    assert not codes


def test_dumps_are_bounded_and_a_description_that_fails_is_no_end(tmp_path: Path) -> None:
    def broken() -> list[str]:
        raise RuntimeError("half of it is gone")

    for number in range(9):
        assert write_dump(tmp_path, number, "why", broken) is not None
    assert len(list(tmp_path.glob("dump-*.txt"))) == 5
    assert "half of it is gone" in (tmp_path / "dump-8.txt").read_text()
    assert write_dump(tmp_path / "gone", 1, "why", broken) is None


async def test_a_task_that_dies_leaves_a_dump(tmp_path: Path) -> None:
    async with bench(tmp_path) as at_work:
        at_work.feed(Script(stream=KeyError("a mistake")))
        told: list[str] = []
        at_work.live.dump = told.append

        async def die() -> None:
            raise RuntimeError("a task of guard")

        task = asyncio.create_task(die(), name="reload")
        with pytest.raises(RuntimeError, match="a task of guard"):
            await at_work.live.run(asyncio.Event(), also=[task], before_close=at_work.before_close)
        assert told == ["reload: a task of guard"]
        await until(lambda: True)
