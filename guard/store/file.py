"""The ledger's file: made whole or not at all, and looked over before it is trusted."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Final

from guard.errors import StateError
from guard.store.damage import Damaged
from guard.store.held import held_sum
from guard.store.layouts import APPLICATION_ID, LAYOUT, make, migrate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["LOG_SUFFIXES", "check_held", "prepare", "sync_folder"]

LOG_SUFFIXES: Final = ("-wal", "-shm")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def prepare(path: Path, *, busy_timeout_s: float, before_migration: Callable[[Path, int], None] | None = None) -> None:
    """Make a new ledger at `path`, or check the one that is there, and bring it to the newest layout. Blocks.

    `before_migration` is given the file and its layout before it is migrated, to keep a backup; what it raises stops the start.
    Raises Damaged for a file that is damaged, StateError for one of another program, another user or a newer guard. The file is
    then left exactly as it is: were it moved aside here, the next start would find none and begin empty, and every market that
    was held would be free without anyone having decided so.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists() and not path.is_symlink():
            _create(path)
        _own(path)
        _check(path, busy_timeout_s, before_migration)
    except sqlite3.OperationalError as error:
        raise StateError(f"the ledger {path} cannot be opened: {error}; is another guard running, or the disk full?") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise StateError(f"the ledger {path} cannot be opened: {error}") from error


def sync_folder(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _create(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise Damaged(f"the ledger {path} is gone but {log.name} is there")
    # A half-made ledger never gets the name: a crash here leaves only the .new file, which the next start replaces.
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    make(new)
    new.replace(path)
    sync_folder(path.parent)


def _own(path: Path) -> None:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is no file (a folder or a link); move it away, or name another state folder (GUARD_STATE)")
    if status.st_uid != os.geteuid():
        raise StateError(
            f"the ledger {path} belongs to user {status.st_uid}, guard runs as {os.geteuid()}; run guard as its owner, "
            f"or give it to this user: chown {os.geteuid()} {path}*"
        )
    for file in _files(path):
        if file.stat().st_mode & _OTHERS_WRITE:
            raise StateError(
                f"others may write {file} (mode {stat.S_IMODE(file.stat().st_mode):04o}): nobody can tell what they changed. "
                f"See who did it, check it with `guard ledger verify`, then: chmod 600 {path}*"
            )


def _files(path: Path) -> list[Path]:
    files = (path, *(path.with_name(path.name + suffix) for suffix in LOG_SUFFIXES))
    return [file for file in files if file.exists()]


def _check(path: Path, busy_timeout_s: float, before_migration: Callable[[Path, int], None] | None) -> None:
    if path.stat().st_size == 0:
        raise _damaged(path, "it is empty")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=busy_timeout_s)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        layout = _recognised(connection, path)
        for file in _files(path):
            file.chmod(0o600)
        findings = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
        if findings != ["ok"]:
            raise _damaged(path, "; ".join(line for text in findings for line in text.splitlines()))
        try:
            if layout < LAYOUT:
                if before_migration is not None:
                    before_migration(path, layout)
                migrate(connection)
            check_held(connection)
        except sqlite3.OperationalError as error:
            if "no such" in str(error) or "malformed" in str(error):
                raise _damaged(path, str(error)) from error
            raise
        except ValueError as error:
            raise _damaged(path, str(error)) from error


def _recognised(connection: sqlite3.Connection, path: Path) -> int:
    """Return the layout of a ledger of guard; raises StateError for anything else."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StateError(f"{path} is not a ledger of guard; name another state folder (GUARD_STATE)")
    if layout > LAYOUT:
        raise StateError(
            f"the ledger {path} was written by a newer guard (layout {layout}); this one reads up to {LAYOUT}: upgrade"
        )
    return int(layout)


def check_held(connection: sqlite3.Connection) -> None:
    """Hold the table of quarantines against its sum, and the end of the trail against `meta`. Raises ValueError."""
    for table in ("outbox", "notes"):
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1")  # noqa: S608 no foreign text
    row = connection.execute("SELECT seq, head, held FROM meta").fetchone()
    if row is None:
        raise ValueError("its table meta is empty")
    seq, head, held = row
    rows = connection.execute("SELECT id, state, forgotten_us, document FROM quarantines")
    if held_sum(rows) != held:
        raise ValueError("the table of quarantines is not the one that was written")
    last = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    if last is None and seq == 0:
        return
    if last != (seq, head):
        raise ValueError(f"the audit trail ends at row {last and last[0]}, {seq} were written")


def _damaged(path: Path, finding: str) -> Damaged:
    return Damaged(f"the ledger {path} is damaged: {finding}")
