"""A block that bots were shown, the ledger does not have, and a wall clock that was set before the next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from guard.client.clock import MACHINE
from guard.model import AddQuarantine, Image, Mode, Target, TargetKind
from guard.quarantine import IsolationManager
from guard.runtime.clock_memory import ClockMemory
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.state import StateFolder
from guard.runtime.taking import take_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from guard.model.ports import LedgerState

HOUR_US = 3_600_000_000
START_US = 1_700_000_000_000_000


class SetClock:
    """Wall and boot clock that the test sets apart."""

    def __init__(self, wall_us: int, boot_us: int) -> None:
        self.wall_us, self.boot_us = wall_us, boot_us

    def now_us(self) -> int:
        return self.wall_us

    def monotonic_us(self) -> int:
        return self.boot_us

    async def sleep(self, seconds: float) -> None:
        self.wall_us += int(seconds * 1e6)
        self.boot_us += int(seconds * 1e6)


async def started(folder: Path, clock: SetClock, *, shows: bool = False) -> LedgerState:
    """Be one run of guard; `shows` publishes a block of an hour that the ledger does not get."""
    with StateFolder(folder) as state:
        taken = await take_ledger(state, clock)
        ledger = await ClockMemory(state.clock, clock).straighten(taken.store, taken.state)
        if shows:
            command = AddQuarantine(Target(TargetKind.BASE, "X"), HOUR_US, "news", "ann")
            blocks = tuple(each.quarantine for each in IsolationManager().operate(command, clock.now_us()))
            publisher = SnapshotPublisher(state.snapshot_folder, clock)
            image = Image(Mode.ENFORCE, clock.now_us(), {}, blocks, {"*": {}})
            publisher.publish(image, epoch=ledger.epoch, seq=ledger.seq, durable=False)
        await taken.store.close()
    return ledger


@pytest.mark.skipif(not MACHINE.boot_id, reason="this machine does not name its runs")
@pytest.mark.parametrize("jump_us", [24 * HOUR_US, -24 * HOUR_US, 0])
async def test_it_keeps_the_time_that_is_left(tmp_path: Path, jump_us: int) -> None:
    await started(tmp_path / "state", SetClock(START_US, HOUR_US), shows=True)
    later = SetClock(START_US + HOUR_US // 6 + jump_us, HOUR_US + HOUR_US // 6)
    (held,) = (await started(tmp_path / "state", later)).quarantines
    assert held.until_us - later.now_us() == HOUR_US - HOUR_US // 6
    manager = IsolationManager()
    manager.restore((held,), later.now_us())
    assert [each.at_us for each in manager.advance(later.now_us() + 2 * HOUR_US)] == [held.until_us]


@pytest.mark.skipif(not MACHINE.boot_id, reason="this machine does not name its runs")
async def test_it_has_ended_where_the_boot_clock_says_so(tmp_path: Path) -> None:
    await started(tmp_path / "state", SetClock(START_US, HOUR_US), shows=True)
    later = SetClock(START_US - 24 * HOUR_US, 3 * HOUR_US)
    assert (await started(tmp_path / "state", later)).quarantines == ()
