"""What ``guard doctor`` says of the ledger: can it be read, is it whole, is there room, could it be rebuilt, who may touch it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.cli.durations import say_duration
from guard.cli.wording import moment, safe
from guard.client.clock import MACHINE
from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.runtime.state import StateFolder
    from guard.store.backup import Backup
    from guard.store.verify import Standing

__all__ = ["look_at_ledger"]

# A rebuild needs the ledger twice: the copy, and the journal's rows in it.
_ROOM: Final = 2
_LEAST_BYTES: Final = 100 << 20
# A backup that is late by less is made soon.
_LATE: Final = 2
_MiB: Final = 1 << 20
_RESTORE: Final = "a start of guard rebuilds it from its backups; guard ledger restore does so without a start"


class _Said(NamedTuple):
    what: str
    is_well: bool
    found: str
    mend: str = ""


def look_at_ledger(state: Path, *, is_running: bool, every_us: int) -> Iterator[tuple[str, bool, str, str]]:
    """Yield what is found: what, whether it is well, what it is, how to mend it.

    `every_us` is how often a guard that runs makes a backup. Nothing is changed, and a guard that runs goes on writing.
    """
    from guard.runtime.state import StateFolder
    from guard.store.verify import look_at

    folder = StateFolder(state)
    backups = folder.backups()
    try:
        found = backups.backups()
        if not folder.ledger.exists() and not found:
            yield _Said("ledger file", is_well=True, found="none yet; it is made by the first: guard run")
            return
        yield from _permissions(folder)
        standing = look_at(folder.ledger)
        yield from _file(folder, standing)
        yield from _room(folder, standing)
    except GuardError as error:
        yield _Said("ledger file", is_well=False, found=safe(str(error)), mend=_RESTORE)
    except OSError as error:
        text = f"{error.filename} cannot be looked at: {error.strerror}"
        yield _Said("ledger file", is_well=False, found=safe(text), mend=f"run this as the user whose folder {state} is")
        return
    yield _newest(found, is_running=is_running, every_us=every_us)
    for aside in sorted(folder.path.glob("ledger.sqlite*.damaged-*")):
        yield _Said(
            "old ledger",
            is_well=False,
            found=f"moved aside as {safe(str(aside))}",
            mend="delete it once nobody needs to look at it",
        )


def _file(folder: StateFolder, standing: Standing) -> Iterator[_Said]:
    from guard.store.layouts import LAYOUT
    from guard.store.verify import quick_check

    layout = f"layout {standing.layout}" + ("" if standing.layout == LAYOUT else f" (the next start makes it {LAYOUT})")
    held = f"{standing.active} targets held, {standing.outbox.get('pending', 0)} messages wait, trail ends at {standing.seq}"
    yield _Said("ledger file", is_well=True, found=f"{standing.bytes / _MiB:.1f} MiB, {layout}, {held}")
    problem = quick_check(folder.ledger)
    found = problem or "its pages are whole; the trail is checked by guard ledger verify"
    yield _Said("ledger check", problem is None, safe(found), "" if problem is None else _RESTORE)


def _room(folder: StateFolder, standing: Standing) -> Iterator[_Said]:
    """Yield whether there is room to go on, and for the next backup, which may be on another disk."""
    needed = max(_LEAST_BYTES, _ROOM * standing.bytes)
    places = {"ledger": folder.path}
    backups = folder.backups().path
    if backups.is_dir() and backups.stat().st_dev != folder.path.stat().st_dev:
        places["backups"] = backups
    for name, path in places.items():
        disk = os.statvfs(path)
        free = disk.f_bavail * disk.f_frsize
        yield _Said(
            f"room for the {name}" if len(places) > 1 else "room for the ledger and its backups",
            free >= needed,
            f"{free // _MiB} MiB free, {needed // _MiB} MiB are to be there",
            f"make room on the disk of {path}",
        )


def _newest(backups: list[Backup], *, is_running: bool, every_us: int) -> _Said:
    """Return whether there is a backup that a damaged ledger could be rebuilt from."""
    from guard.store.verify import quick_check

    if not backups:
        return _Said(
            "backup of the ledger", is_well=False, found="none", mend="guard ledger backup; a guard that runs makes its own"
        )
    newest, now_us = backups[0], MACHINE.wall_us()
    found = f"{len(backups)}, the newest {newest.path.name} of {moment(newest.made_us, now_us=now_us)}"
    if problem := quick_check(newest.path):
        return _Said("backup of the ledger", is_well=False, found=f"{found}: {safe(problem)}", mend="guard ledger backup")
    is_late = is_running and now_us - newest.made_us > _LATE * every_us
    late = f"; one is due every {say_duration(every_us)}" if is_late else ""
    return _Said("backup of the ledger", not is_late, found + late, "see the log for why none is made; guard ledger backup")


def _permissions(folder: StateFolder) -> Iterator[_Said]:
    """Yield whether anybody but the folder's user may read or write the ledger and its backups."""
    backups = folder.backups().path
    files = [*folder.path.glob("ledger.sqlite*"), *(backups.iterdir() if backups.is_dir() else ())]
    owner, bad = folder.path.stat().st_uid, []
    for path in sorted([*files, backups] if backups.is_dir() else files):
        status = path.stat()
        if status.st_uid != owner:
            bad.append((f"{path} belongs to user {status.st_uid}, its folder to {owner}", f"chown {owner} {path}"))
        elif status.st_mode & 0o077:
            bad.append((f"{path} has mode {status.st_mode & 0o777:o}", f"chmod {'700' if path.is_dir() else '600'} {path}"))
    more = f"; and {len(bad) - 1} more" if len(bad) > 1 else ""
    found, mend = (safe(bad[0][0]) + more, bad[0][1]) if bad else (f"{len(files)} files, for user {owner} alone", "")
    yield _Said("who may touch the ledger", not bad, found, mend)
