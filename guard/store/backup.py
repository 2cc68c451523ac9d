"""Backups of the ledger: made while guard runs, whole or not at all, a bounded number of them."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from guard.errors import StateError, Unavailable
from guard.store.damage import Damaged
from guard.store.file import check_held, sync_folder
from guard.store.layouts import LAYOUT

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Backup", "BackupFolder", "copy_ledger"]

_TIMEOUT_S: Final = 5.0
_NAME = re.compile(r"(ledger|journal)-(\d{6,12})\.(sqlite|jsonl)")


class Backup(NamedTuple):
    """One backup: its file, its number in the folder, its size, when it was made."""

    path: Path
    number: int
    bytes: int
    made_us: int


class BackupFolder:
    """The folder of backups ``ledger-N.sqlite`` and of the journals ``journal-N.jsonl`` that follow them.

    Parameters
    ----------
    path
        The folder; made, for its owner only, by the first backup.
    keep
        How many backups are kept, > 0.
    bytes_max
        How many bytes they may take together; the newest stays whatever it takes.
    """

    def __init__(self, path: Path, *, keep: int = 24, bytes_max: int = 1 << 30) -> None:
        self.path = path
        self._keep = keep
        self._bytes_max = bytes_max

    def backups(self) -> list[Backup]:
        """Return the backups, newest first."""
        found = []
        for number, file in self._files("ledger"):
            status = file.stat()
            found.append(Backup(file, number, status.st_size, status.st_mtime_ns // 1000))
        return found[::-1]

    def journals(self) -> list[Path]:
        """Return the journals, oldest first."""
        return [file for _, file in self._files("journal")]

    def make(self, ledger: Path) -> Backup:
        """Back the ledger up beside whoever writes it, and drop the oldest backups. Blocks.

        Raises StateError for a ledger that is damaged (nothing is dropped then), Unavailable where there is no room.
        """
        number = self.next_number()
        target = self.path / f"ledger-{number:06d}.sqlite"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            for left in self.path.glob(".ledger-*.new*"):
                left.unlink(missing_ok=True)
            copy_ledger(ledger, target)
        except OSError as error:
            raise Unavailable(f"the backup {target} cannot be written: {error.strerror}") from error
        self.prune()
        return self.backups()[0]

    def new_journal(self) -> Path:
        """Return the name of the journal that follows the newest backup."""
        return self.path / f"journal-{self.next_number() - 1:06d}.jsonl"

    def next_number(self) -> int:
        """Return the number of the next backup."""
        return max((number for kind in ("ledger", "journal") for number, _ in self._files(kind)), default=0) + 1

    def prune(self) -> None:
        """Drop the oldest backups beyond what is kept, and the journals that only they need."""
        kept: list[Backup] = []
        taken = 0
        for each in self.backups():
            taken += each.bytes
            if kept and (len(kept) >= self._keep or taken > self._bytes_max):
                each.path.unlink(missing_ok=True)
            else:
                kept.append(each)
        if kept:
            journals = self._files("journal")
            first = max((number for number, _ in journals if number <= kept[-1].number), default=0)
            for number, file in journals:
                if number < first:
                    file.unlink(missing_ok=True)

    def _files(self, kind: str) -> list[tuple[int, Path]]:
        found = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for file in self.path.iterdir():
                match = _NAME.fullmatch(file.name)
                if match is not None and match[1] == kind:
                    found.append((int(match[2]), file))
        return sorted(found)


def copy_ledger(ledger: Path, target: Path) -> None:
    """Copy a ledger, as it stands at one moment, to the file `target`: all of it or none, on the disk, mode 0600. Blocks.

    Raises OSError, and StateError where the ledger cannot be read or its copy is damaged.
    """
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    try:
        source = f"file:{quote(str(ledger.absolute()))}?mode=ro"
        with (
            closing(sqlite3.connect(source, uri=True, isolation_level=None, timeout=_TIMEOUT_S)) as origin,
            closing(sqlite3.connect(new, isolation_level=None)) as copy,
        ):
            origin.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            findings = [text for (text,) in copy.execute("PRAGMA quick_check(5)")]
            if findings != ["ok"]:
                raise Damaged(f"the ledger {ledger} is damaged: {'; '.join(findings)}")
            if copy.execute("PRAGMA user_version").fetchone() == (LAYOUT,):
                check_held(copy)
    except (sqlite3.Error, ValueError) as error:
        new.unlink(missing_ok=True)
        if isinstance(error, sqlite3.OperationalError):
            raise Unavailable(f"the ledger {ledger} cannot be backed up: {error}") from error
        raise Damaged(f"the ledger {ledger} is damaged: {error}") from error
    except StateError:
        new.unlink(missing_ok=True)
        raise
    file = os.open(new, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    new.replace(target)
    sync_folder(target.parent)
