"""The state folder: one guard at a time, and the names of what it keeps there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from guard.client.bypass import prepare_bypass
from guard.client.layout import FILE_NAME
from guard.client.places import SNAPSHOT_FOLDER, locate
from guard.errors import StateError

if TYPE_CHECKING:
    from types import TracebackType

    from guard.store.backup import BackupFolder

__all__ = ["HEARTBEAT_FILE", "StateFolder"]

HEARTBEAT_FILE = "heartbeat"

_UMASK = 0o077
_PASSABLE = 0o710
_ATTEMPTS_MAX = 8


class StateFolder:
    """The folder ``.guard``: its names, and the lock that keeps a second guard out.

    Parameters
    ----------
    path
        The folder; None finds it as a bot does (`guard.client.places.locate`).

    Notes
    -----
    `path` is the folder, `bypass` the file that permits everything for a while, `socket` the operator's.

    Naming costs nothing; `open` (or ``with``) makes the folder with mode 0700 and takes the lock, which the system gives back
    however the process ends; a folder that is 0710 stays so. The snapshot has a folder of its own,
    0750, that other users and containers may be given.
    Everything else is made owner-only: `open` sets the process's umask to 077.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._places = places = locate(path)
        self.path = Path(places.state)
        self.bypass = Path(places.bypass)
        self.socket = Path(places.socket)
        self._lock = -1

    @property
    def lock(self) -> Path:
        """The file that a running guard holds locked; it tells the process id."""
        return self.path / "lock"

    @property
    def ledger(self) -> Path:
        """The SQLite file that holds the truth."""
        return self.path / "ledger.sqlite"

    def backups(self, *, keep: int = 24, bytes_max: int = 1 << 30) -> BackupFolder:
        """Return the folder of the ledger's backups and journals; it may be a link to another disk."""
        from guard.store.backup import BackupFolder  # noqa: PLC0415 - commands that only need names do without the ledger's imports

        return BackupFolder(self.path / "backups", keep=keep, bytes_max=bytes_max)

    @property
    def snapshot_folder(self) -> Path:
        """The folder that bots read."""
        return self.path / SNAPSHOT_FOLDER

    @property
    def snapshot(self) -> Path:
        """The file that bots read."""
        return self.snapshot_folder / FILE_NAME

    @property
    def heartbeat(self) -> Path:
        """The file that tells when guard last proved that it works; beside the snapshot, for others to read."""
        return self.snapshot_folder / HEARTBEAT_FILE

    @property
    def clock(self) -> Path:
        """How the machine's clocks stood to each other when the ledger's times were written."""
        return self.path / "clock.json"

    @property
    def checkpoint(self) -> Path:
        """What a running guard learnt, for the next start; it may be deleted at any time."""
        return self.path / "checkpoint"

    @property
    def maintenance(self) -> Path:
        """What people announced of maintenance."""
        return self.path / "maintenance.json"

    @property
    def past(self) -> Path:
        """What reports are made of besides the ledger; it may be deleted at any time."""
        return self.path / "past.sqlite"

    @property
    def last_good_rules(self) -> Path:
        """The copy of the rules that last loaded without a mistake."""
        return self.path / "last-good-rules"

    @property
    def tokens(self) -> Path:
        """The hashes of the HTTP interface's tokens."""
        return self.path / "tokens.json"

    @property
    def caches(self) -> Path:
        """The folder of what can be fetched or learnt again."""
        return self.path / "caches"

    def open(self) -> Self:
        """Make the folder and take its lock.

        Raises StateError where another guard holds it (naming its process) or the folder cannot be used.
        """
        os.umask(_UMASK)
        try:
            self._make_own()
            self._lock = self._take()
            self._make(self.snapshot_folder, 0o750)
            self._make(self.caches, 0o700)
        except OSError as error:
            self.close()
            raise StateError(f"the state folder {self.path} cannot be used: {error.strerror} ({error.filename})") from error
        except StateError:
            self.close()
            raise
        prepare_bypass(str(self.bypass))
        return self

    def close(self) -> None:
        """Give the lock back. Safe to call twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _make_own(self) -> None:
        if self._places.snapshot != str(self.snapshot):
            raise StateError(f"{self._places.snapshot} is a file; guard needs a state folder, give it one by GUARD_STATE")
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.lock.exists() or not any(self.path.iterdir()):
            # Where bots are other users of a group, whoever set guard up lets that group pass through, and through only.
            self._make(self.path, _PASSABLE if self.path.stat().st_mode & 0o777 == _PASSABLE else 0o700)
        elif self.path.stat().st_mode & 0o022:
            # Somebody's home or /tmp, named by mistake: neither safe for guard nor guard's to close.
            raise StateError(f"{self.path} holds other things and others may write there; give guard a folder of its own")

    def _make(self, folder: Path, mode: int) -> None:
        folder.mkdir(mode=mode, exist_ok=True)
        status = folder.stat()
        if status.st_uid != os.geteuid():
            raise StateError(
                f"the state folder {folder} belongs to user {status.st_uid}, guard runs as {os.geteuid()}; "
                "run guard as its owner, or give it another folder by GUARD_STATE"
            )
        if status.st_mode & 0o7777 != mode:
            folder.chmod(mode)

    def _take(self) -> int:
        for _ in range(_ATTEMPTS_MAX):
            file = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "not known yet"
                os.close(file)
                raise StateError(f"another guard (process {holder}) already runs on {self.path}; stop it first") from None
            if self._is_in_place(file):
                os.ftruncate(file, 0)
                os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                return file
            os.close(file)
        raise StateError(f"{self.lock} is being replaced again and again; look for another program that deletes it")

    def _is_in_place(self, file: int) -> bool:
        # Someone may have deleted the file between opening and locking it; the lock on a nameless file keeps nobody out.
        mine = os.fstat(file)
        try:
            there = self.lock.stat()
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)
