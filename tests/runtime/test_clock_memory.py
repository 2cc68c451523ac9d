"""A wall clock set between two runs, on the same boot of the machine and on another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from guard.errors import Unavailable
from guard.model import AddQuarantine, AllowChange, AllowEntry, Decision, Delivery, Level, Target, TargetKind
from guard.quarantine import IsolationManager
from guard.runtime.clock_memory import ClockMemory
from guard.store import LedgerStore

if TYPE_CHECKING:
    from pathlib import Path

    from guard.model.ports import LedgerState

DAY_US = 86_400_000_000
BOOT = "a" * 32
START_US = 1_700_000_000_000_000


class SetClock:
    """Wall and boot clock that the test sets apart."""

    def __init__(self, wall_us: int = START_US, boot_us: int = 1_000_000) -> None:
        self.wall_us, self.boot_us = wall_us, boot_us

    def now_us(self) -> int:
        return self.wall_us

    def monotonic_us(self) -> int:
        return self.boot_us

    async def sleep(self, seconds: float) -> None:
        self.wall_us += int(seconds * 1e6)
        self.boot_us += int(seconds * 1e6)


async def run(folder: Path, clock: SetClock, *, boot_id: str = BOOT, fill: bool = False) -> tuple[LedgerState, int]:
    """Be one run of guard: open, straighten, close."""
    store = LedgerStore(folder / "ledger.sqlite", clock)
    try:
        ledger = await store.open()
        memory = ClockMemory(folder / "clock.json", clock, boot_id=boot_id)
        ledger = await memory.straighten(store, ledger)
        if fill:
            await store.commit([filling(clock)], epoch=ledger.epoch)
            ledger = await store.load()
    finally:
        await store.close()
    return ledger, memory.moved_us


def filling(clock: SetClock) -> Decision:
    """Return a block, a message that waits, and an allow entry."""
    now_us = clock.now_us()
    command = AddQuarantine(Target(TargetKind.BASE, "X"), 3_600_000_000, "test", "ann")
    transitions = IsolationManager().operate(command, now_us)
    waiting = Delivery("d", "a", "people", "quarantine", Level.DANGER, "t", "b", now_us, now_us + 60_000_000, now_us + DAY_US)
    entry = AllowEntry(Target(TargetKind.BASE, "OURS"), until_us=now_us + DAY_US, actor="ann", since_us=now_us)
    allows = (AllowChange(now_us, entry, "added", "ann", "test"),)
    return Decision(now_us, transitions=transitions, deliveries=(waiting,), allows=allows)


def left_us(ledger: LedgerState, clock: SetClock) -> tuple[int, ...]:
    (held,), (waiting,), (allowed,) = ledger.quarantines, ledger.pending, ledger.allows
    assert allowed.until_us is not None
    ends = (held.until_us, waiting.due_us, waiting.expires_us, allowed.until_us)
    return tuple(end_us - clock.now_us() for end_us in ends)


@pytest.mark.parametrize("jump_us", [DAY_US, -DAY_US, 3_000_000, -3_000_000])
async def test_a_jump_between_two_runs_changes_no_remaining_time(tmp_path: Path, jump_us: int) -> None:
    clock = SetClock()
    before = left_us((await run(tmp_path, clock, fill=True))[0], clock)
    await clock.sleep(10)
    clock.wall_us += jump_us
    ledger, moved_us = await run(tmp_path, clock)
    assert moved_us == jump_us
    assert [was - now for was, now in zip(before, left_us(ledger, clock), strict=True)] == 4 * [10_000_000]
    again, moved_us = await run(tmp_path, clock)
    assert moved_us == 0
    assert left_us(again, clock) == left_us(ledger, clock)


async def test_drift_is_left_to_add_up_until_it_counts(tmp_path: Path) -> None:
    clock = SetClock()
    await run(tmp_path, clock, fill=True)
    moved = []
    for _ in range(4):
        clock.wall_us += 300_000
        moved.append((await run(tmp_path, clock))[1])
    assert moved == [0, 600_000, 0, 600_000]


async def test_after_a_restart_of_the_machine_nothing_is_moved(tmp_path: Path) -> None:
    clock = SetClock()
    before, _ = await run(tmp_path, clock, fill=True)
    clock.wall_us += 60_000_000
    clock.boot_us = 5
    after, moved_us = await run(tmp_path, clock, boot_id="b" * 32)
    assert moved_us == 0
    assert after.quarantines == before.quarantines


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "boot_id": "%s"}' % BOOT.encode()])
async def test_a_damaged_memory_moves_nothing(tmp_path: Path, content: bytes) -> None:
    clock = SetClock()
    await run(tmp_path, clock, fill=True)
    (tmp_path / "clock.json").write_bytes(content)
    clock.wall_us += 3_600_000
    assert (await run(tmp_path, clock))[1] == 0


@pytest.mark.parametrize("is_committed", [True, False])
async def test_a_crash_between_ledger_and_memory_moves_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    clock = SetClock()
    before = left_us((await run(tmp_path, clock, fill=True))[0], clock)
    clock.wall_us += DAY_US
    commit = LedgerStore.commit

    async def crash(store: LedgerStore, decisions: list[Decision], *, epoch: int) -> int:
        if is_committed:
            await commit(store, decisions, epoch=epoch)
        raise Unavailable("killed here")

    monkeypatch.setattr(LedgerStore, "commit", crash)
    with pytest.raises(Unavailable):
        await run(tmp_path, clock)
    monkeypatch.undo()
    ledger, _ = await run(tmp_path, clock)
    (held,) = ledger.quarantines
    assert held.until_us - clock.now_us() == before[0]
    assert json.loads((tmp_path / "clock.json").read_text())["moving"] is None or is_committed
