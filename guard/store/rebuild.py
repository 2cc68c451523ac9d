"""Make a ledger anew from its newest good backup and what the journals tell beyond it; the old file is kept aside."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.errors import GuardError, StateError
from guard.model.alert import DeliveryState
from guard.model.moments import stamp as utc_stamp
from guard.quarantine import quarantine_from_json
from guard.store.backup import copy_ledger
from guard.store.chain import GENESIS, AuditRow
from guard.store.codec import canonical
from guard.store.file import LOG_SUFFIXES, sync_folder
from guard.store.held import held_sum
from guard.store.journal import Journal, Told, begin_line, read_journals
from guard.store.layouts import make, migrate
from guard.store.rows import row_of
from guard.store.verify import has_row, look_at, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from guard.store.backup import BackupFolder

__all__ = ["REBUILT", "Rebuilt", "rebuild"]

REBUILT: Final = "rebuilt"
"""The note that a rebuilt ledger carries until people were told."""
_ASIDE_MAX = 5
_COPIED_MAX = 4 << 30


class Rebuilt(NamedTuple):
    """What a rebuild came to.

    `base` is the backup it began with (empty: nothing), at row `base_seq`; `seq` is the last row now. `aside` are the names of the
    old file and its logs. `passed_over` tells which sources were no good, `unreadable` how many lines of journals.
    """

    base: str
    base_seq: int
    seq: int
    epoch: int
    deliveries: int
    aside: tuple[str, ...]
    passed_over: tuple[str, ...]
    unreadable: int


class _Base(NamedTuple):
    # A good ledger to begin with; no file is an empty one.
    file: Path | None
    seq: int
    head: str
    epoch: int


def rebuild(
    path: Path,
    folder: BackupFolder,
    *,
    why: str,
    now_us: int,
    base: Path | None = None,
    exports: Sequence[Path] = (),
    is_only: bool = False,
    is_empty: bool = False,
) -> Rebuilt:
    """Put a rebuilt ledger at `path` and move what is there aside, under a name with the time. Blocks; nobody may hold it open.

    It begins with `base`, else with the newest good one of the backups and the present file, else with nothing where journals tell
    the whole trail. `exports` are read after the journals; `is_only` reads neither, `is_empty` begins with nothing. Whatever ends
    it leaves the old file or the new one, or none and all sources, which the next start takes up.

    Raises StateError where the sources do not suffice, with the commands that help; nothing is changed then.
    """
    stamp = re.sub(r"[-:]|\.\d+", "", utc_stamp(now_us))
    journals = () if is_only or is_empty else (*folder.journals(), *exports)
    told = read_journals(journals)
    passed_over: list[str] = []
    if is_empty:
        start = _Base(None, 0, GENESIS, told.epoch)
    else:
        if not is_only:
            told = _with_salvaged(told, path, folder.path)
        chosen = _chosen(path, folder, told, base, passed_over, now_us=now_us)
        if chosen is None:
            raise StateError(_no_sources(folder, why, passed_over))
        start = chosen
    rows = list(told.after(start.seq, start.head))
    fresh = path.with_name(path.name + ".rebuilt")
    _begin(fresh, start.file)
    epoch = max(start.epoch, told.epoch)
    found = Rebuilt(
        "" if start.file is None else start.file.name,
        start.seq,
        rows[-1].seq if rows else start.seq,
        epoch,
        len(told.deliveries),
        tuple(f"{name.name}.damaged-{stamp}" for name in _with_logs(path) if name.exists() or name.is_symlink()),
        tuple(passed_over),
        told.unreadable,
    )
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        migrate(connection)
        _apply(connection, rows, told, found, why=why, now_us=now_us)
    standing = verify_ledger(fresh, now_us=now_us)
    _sync(fresh)
    _move_aside(path, stamp)
    fresh.replace(path)
    sync_folder(path.parent)
    _give_up_the_rest(folder, path, standing.seq, standing.head, epoch)
    return found


def _begin(fresh: Path, origin: Path | None) -> None:
    """Make the new file: a copy, or an empty ledger."""
    _remove(fresh)
    if origin is None:
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        make(fresh)
    else:
        copy_ledger(origin, fresh)


def _chosen(
    path: Path, folder: BackupFolder, told: Told, base: Path | None, passed_over: list[str], *, now_us: int
) -> _Base | None:
    """Return what leads farthest: the present ledger if it is whole, the newest good backup, or nothing and the whole trail."""
    if base is not None:
        return _good(base, now_us)
    found: list[_Base] = []
    for file in (path, *(each.path for each in folder.backups())):
        try:
            found.append(_good(file, now_us))
        except GuardError as error:
            passed_over.append(f"{file.name}: {error}")
            continue
        if file != path:
            break
    if told.is_whole:
        found.append(_Base(None, 0, GENESIS, told.epoch))
    ends = [sum(1 for _ in told.after(each.seq, each.head)) + each.seq for each in found]
    return found[ends.index(max(ends))] if found else None


def _good(file: Path, now_us: int) -> _Base:
    standing = verify_ledger(file, now_us=now_us)
    return _Base(file, standing.seq, standing.head, standing.epoch)


def _with_salvaged(told: Told, path: Path, folder: Path) -> Told:
    """Add the rows that a damaged ledger can still tell; their hashes prove them. It is read from a copy."""
    rows: dict[int, AuditRow] = {}
    copy = folder / ".salvage.sqlite"
    try:
        if not path.is_file() or path.is_symlink() or path.stat().st_size > _COPIED_MAX:
            return told
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for origin, target in zip(_with_logs(path)[:2], _with_logs(copy)[:2], strict=True):
            if origin.is_file():
                shutil.copyfile(origin, target)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            for found in connection.execute("SELECT seq, target, document, hash FROM audit ORDER BY seq"):
                if all(isinstance(each, kind) for each, kind in zip(found, (int, str, str, str), strict=True)):
                    rows[found[0]] = AuditRow(*found)
    except (sqlite3.Error, OSError, UnicodeError):
        # Whatever could be read counts.
        pass
    finally:
        _remove(copy)
    return told._replace(rows={**rows, **told.rows})


def _apply(connection: sqlite3.Connection, rows: Sequence[AuditRow], told: Told, found: Rebuilt, *, why: str, now_us: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO audit VALUES (?, ?, ?, ?)", rows)
    documents = [json.loads(row.document) for row in rows]
    last = {each["quarantine"]["id"]: each["quarantine"] for each in documents if each["type"] == "quarantine"}
    held = [row_of(quarantine_from_json(each)) for each in last.values()]
    connection.executemany("INSERT OR REPLACE INTO quarantines VALUES (?, ?, ?, ?)", held)
    table = connection.execute("SELECT id, state, forgotten_us, document FROM quarantines").fetchall()
    connection.execute("UPDATE meta SET epoch = ?, held = ?", (found.epoch, held_sum(table)))
    if rows:
        connection.execute("UPDATE meta SET seq = ?, head = ?", (rows[-1].seq, rows[-1].hash))
    connection.executemany(
        "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET state = excluded.state, "
        "due_us = excluded.due_us, settled_us = excluded.settled_us, document = excluded.document WHERE state = 'pending'",
        _outbox(told, now_us),
    )
    note = canonical({**found._asdict(), "why": why, "at_us": now_us})
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (REBUILT, note))
    connection.execute("COMMIT")


def _outbox(told: Told, now_us: int) -> Iterable[tuple[Any, ...]]:
    for each in told.deliveries.values():
        settled_us = None if each["state"] == DeliveryState.PENDING else now_us
        yield each["id"], each["channel"], each["state"], each["created_us"], each["due_us"], settled_us, canonical(each)


def _give_up_the_rest(folder: BackupFolder, path: Path, seq: int, head: str, epoch: int) -> None:
    """Tell later rebuilds that what goes beyond this ledger, or another way, belongs to a past that was given up."""
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for backup in folder.backups():
            try:
                standing = look_at(backup.path)
            except GuardError:
                continue
            if not has_row(connection, standing.seq, standing.head):
                backup.path.replace(backup.path.with_name(f"given-up-{backup.number:06d}.sqlite"))
    for old in sorted(folder.path.glob("given-up-*.sqlite"))[:-_ASIDE_MAX]:
        old.unlink()
    journals = folder.journals()
    journal = Journal(journals[-1] if journals else folder.new_journal())
    try:
        journal.append([begin_line(seq, head, epoch)])
    finally:
        journal.close()


def _with_logs(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + suffix) for suffix in LOG_SUFFIXES)]


def _remove(path: Path) -> None:
    for each in (*_with_logs(path), path.with_name(path.name + "-journal")):
        each.unlink(missing_ok=True)


def _move_aside(path: Path, stamp: str) -> None:
    for each in _with_logs(path):
        if each.exists() or each.is_symlink():
            each.rename(each.with_name(f"{each.name}.damaged-{stamp}"))
    stamps = sorted({file.name.partition(".damaged-")[2] for file in path.parent.glob(f"{path.name}*.damaged-*")})
    for old in stamps[:-_ASIDE_MAX]:
        for file in path.parent.glob(f"{path.name}*.damaged-{old}"):
            if file.is_file():
                file.unlink()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _no_sources(folder: BackupFolder, why: str, passed_over: Sequence[str]) -> str:
    looked = "; ".join(passed_over[1:]) or f"no backup and no whole journal is in {folder.path}"
    return (
        f"{why}. Nothing was changed, and bots keep the blocks they see. It cannot be rebuilt: {looked}. "
        "Mend it by `guard ledger restore FILE` with a backup of yours, or begin empty, with nothing but the blocks that bots see, "
        "by `guard ledger restore --empty`"
    )
