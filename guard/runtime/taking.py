"""Take the ledger at a start: as it is, or rebuilt from backups and journals where it is damaged, gone or too old."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from guard.client.clock import MACHINE
from guard.client.snapshot import SnapshotUnusable, read_snapshot
from guard.errors import StateError
from guard.model import Decision
from guard.runtime.adoption import adopted
from guard.store import LedgerStore
from guard.store.damage import Damaged
from guard.store.journal import end_of_journals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from guard.client.payload import Snapshot
    from guard.model import Transition
    from guard.model.ports import Clock, LedgerState
    from guard.runtime.state import StateFolder

__all__ = ["REBUILT", "Taken", "take_ledger"]

REBUILT = "rebuilt"


class Taken(NamedTuple):
    """The ledger, open, what it remembers, and what happened to it: `rebuilt` until people were told, `adopted` blocks."""

    store: LedgerStore
    state: LedgerState
    rebuilt: Mapping[str, Any] | None
    adopted: int
    told_seq: int


async def take_ledger(state: StateFolder, clock: Clock) -> Taken:
    """Open the ledger of `state`, whose lock is held.

    A ledger that is damaged, gone, or older than what bots were told or the journals tell is rebuilt, and the old file is kept
    aside. Blocks that bots see and it lacks are committed to it. Raises StateError, with nothing changed, where it cannot be
    rebuilt or knows less than bots and there is nothing to rebuild it from.
    """
    told = _told(state)
    store = LedgerStore(state.ledger, clock=clock, before_migration=lambda path, _: _keep_before_migration(state, path))
    try:
        found = await _opened(store, state, told, clock)
        rebuilt = await store.note(REBUILT)
        taken = () if told is None else await _adopted(store, told, found, _moment_us(told, clock))
        if taken:
            await store.commit([Decision(clock.now_us(), transitions=taken)], epoch=found.epoch)
            found = await store.load()
    except BaseException:
        await store.close()
        raise
    return Taken(store, found, rebuilt, len(taken), 0 if told is None else told.seq)


async def _opened(store: LedgerStore, state: StateFolder, told: Snapshot | None, clock: Clock) -> LedgerState:
    after_epoch = 0 if told is None else told.epoch
    try:
        _make_sure_it_is_there(state, told)
        found = await store.open(after_epoch=after_epoch)
        why = await _older(store, state, told, found)
    except Damaged as error:
        why = str(error)
    if not why:
        return found
    await store.close()
    await _rebuild(state, why, clock)
    return await store.open(after_epoch=after_epoch)


def _make_sure_it_is_there(state: StateFolder, told: Snapshot | None) -> None:
    """Raise Damaged where a ledger was here and is gone: an empty one would free all that was held."""
    folder, path = state.backups(), state.ledger
    was_there = bool(folder.backups() or folder.journals() or (told is not None and told.seq > 0))
    if was_there and not (path.exists() or path.is_symlink()):
        raise Damaged(f"the ledger {path} is gone")


async def _older(store: LedgerStore, state: StateFolder, told: Snapshot | None, found: LedgerState) -> str:
    """Return why the ledger that is there is not the newest, empty where it is."""
    if await store.note(REBUILT) is not None:
        # It was rebuilt or restored, and nobody has published since: there is no more than this.
        return ""
    if told is not None and told.seq > found.seq:
        return f"the ledger {state.ledger} ends at entry {found.seq}, but bots were told of entry {told.seq}"
    end, _ = await asyncio.to_thread(end_of_journals, state.backups().journals())
    if end > found.seq:
        return f"the ledger {state.ledger} ends at entry {found.seq}, but its journal tells of entry {end}"
    return ""


async def _rebuild(state: StateFolder, why: str, clock: Clock) -> None:
    from guard.store.rebuild import rebuild  # noqa: PLC0415 - a whole ledger needs none of it, and bots wait

    now_us = clock.now_us()
    try:
        await asyncio.to_thread(rebuild, state.ledger, state.backups(), why=why, now_us=now_us)
    except (OSError, sqlite3.Error) as error:
        raise StateError(f"{why}; it cannot be rebuilt now: {error}") from error


def _told(state: StateFolder) -> Snapshot | None:
    try:
        return read_snapshot(str(state.snapshot))
    except (SnapshotUnusable, OSError):
        return None


async def _adopted(store: LedgerStore, told: Snapshot, found: LedgerState, now_us: int) -> tuple[Transition, ...]:
    known = await store.quarantines([block.id for block in told.blocks])
    return adopted(told, known, found.quarantines, seq=found.seq, now_us=now_us)


def _moment_us(told: Snapshot, clock: Clock) -> int:
    """Return now by the wall clock that the snapshot's ends are written in: it may have been set since."""
    if not told.boot_id or told.boot_id != MACHINE.boot_id:
        return clock.now_us()
    return told.wall_us + max(0, clock.monotonic_us() - told.boot_ns // 1000)


def _keep_before_migration(state: StateFolder, path: Path) -> None:
    state.backups().make(path)
