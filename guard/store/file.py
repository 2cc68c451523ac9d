"""The ledger's file: made whole or not at all, and looked over before it is trusted."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from guard.errors import StateError
from guard.store.chain import GENESIS

__all__ = ["LAYOUT", "prepare"]

LAYOUT = 1
# "gard" in ASCII: tells a ledger from any other SQLite file.
_APPLICATION_ID = 0x67617264
_SCHEMA = Path(__file__).with_name("schema.sql")


def prepare(path: Path, *, busy_timeout_s: float) -> None:
    """Make a new ledger at `path`, or check the one that is there. Blocks; call it in a thread.

    Raises StateError for a file that is damaged, of another program, or written by a newer guard. A damaged ledger is left
    exactly as it is: were it moved aside here, the next start would find none and begin empty, and every market that was held
    would be free without anyone having decided so. A person moves it.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        path.chmod(0o600)
        _check(path, busy_timeout_s)
    except sqlite3.OperationalError as error:
        raise StateError(f"the ledger {path} cannot be opened: {error}; is another guard running, or the disk full?") from error
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise StateError(f"the ledger {path} cannot be opened: {error}") from error


def _create(path: Path) -> None:
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise StateError(
            f"the ledger {path} is gone but {log.name} is there; restore the file, "
            "or move the log and the folder snapshot away to start empty"
        )
    # A half-made ledger never gets the name: a crash here leaves only the .new file, which the next start replaces.
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA.read_text(encoding="utf-8"))
        connection.execute("INSERT INTO meta (id, epoch, seq, head) VALUES (1, 0, 0, ?)", (GENESIS,))
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(path: Path, busy_timeout_s: float) -> None:
    if path.stat().st_size == 0:
        raise _damaged(path, "it is empty")
    with closing(sqlite3.connect(path, isolation_level=None, timeout=busy_timeout_s)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        if application != _APPLICATION_ID:
            raise StateError(f"{path} is not a ledger of guard; name another state folder (GUARD_STATE)")
        if layout > LAYOUT:
            raise StateError(
                f"the ledger {path} was written by a newer guard (layout {layout}); this one reads up to {LAYOUT}: upgrade"
            )
        findings = [text for (text,) in connection.execute("PRAGMA quick_check(5)")]
    if findings != ["ok"]:
        raise _damaged(path, "; ".join(line for text in findings for line in text.splitlines()))


def _damaged(path: Path, finding: str) -> StateError:
    names = f"{path.name}, {path.name}-wal, {path.name}-shm and the folder snapshot"
    return StateError(
        f"the ledger {path} is damaged: {finding}. Nothing was changed. Restore it from a backup, or move {names} to a safe place: "
        "the next start is then empty, with no quarantine, no escalation and no waiting message"
    )
