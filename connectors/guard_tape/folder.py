"""The folder of a recorder: names of its segments, its lock, what is compacted, and what is let go."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.errors import StateError
from guard_tape.compaction import compact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LIVE", "WHOLE", "File", "Folder", "Keep", "parts_of"]

LIVE, WHOLE = ".arrows", ".parquet"
_NAME: Final = re.compile(r"^(\d{8}T\d{6}\.\d{6}Z)-(\d{6})(\.arrows|\.parquet)$")
_TRIES_MAX: Final = 1_000


class Keep(NamedTuple):
    """How long segments are kept, microseconds, and how many bytes of them; None sets no limit."""

    us: int | None = None
    bytes: int | None = None


def parts_of(folder: Path) -> list[tuple[str, int, Path]]:
    """Return the segments of a folder, by run and number; of one that is there twice the compacted form."""
    found: dict[tuple[str, int], Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.match(path.name)
        if match is not None:
            # Sorted by name, ".parquet" follows ".arrows".
            found[match[1], int(match[2])] = path
    return [(run, number, path) for (run, number), path in sorted(found.items())]


class File:
    """One recording that ends as one file: ``X.arrows`` while it is written, then ``X.parquet``.

    Raises StateError where an earlier run left the former.
    """

    rotates = False

    def __init__(self, path: Path) -> None:
        self.path = path.parent
        self._whole = path
        self.live = path.with_suffix(LIVE)
        if self.live.exists():
            raise StateError(
                f"{self.live} holds what a run recorded that was killed, or one that records now: `guard tape convert {self.live} "
                f"--out OTHER.parquet` keeps it; then remove it"
            )

    def begin(self, now_us: int) -> str:
        """Return the name of the run."""
        return _stamp(now_us)

    def segment(self, run: str, number: int) -> Path:
        """Return the path of a segment while it is written."""
        del run, number
        return self.live

    def finish(self, live: Path) -> int:
        """Compact a segment that is written no more and return the bytes it takes then."""
        return compact(live, self._whole)

    def tidy(self, *, now_us: int, live: Path | None) -> int:
        """Do nothing: it is one file."""
        del now_us, live
        return 0

    def left_over(self) -> Iterator[Path]:
        """Yield nothing: it is one file."""
        return iter(())

    def close(self) -> None:
        """Hold nothing."""


class Folder:
    """Many segments, ``RUN-NUMBER.arrows`` while they are written, then ``RUN-NUMBER.parquet``; the oldest are let go.

    Raises StateError where another process records there, or it cannot be used.
    """

    rotates = True

    def __init__(self, path: Path, keep: Keep) -> None:
        self.path = path
        self._keep = keep
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"the folder {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateError(f"another process records in {path}; give each a folder of its own") from error

    def begin(self, now_us: int) -> str:
        """Return the name of the run: when it began, or a microsecond or more later where that name is taken."""
        taken = {run for run, _, _ in parts_of(self.path)}
        return next(name for name in (_stamp(now_us + number) for number in range(_TRIES_MAX)) if name not in taken)

    def segment(self, run: str, number: int) -> Path:
        """Return the path of a segment while it is written."""
        return self.path / f"{run}-{number:06d}{LIVE}"

    def finish(self, live: Path) -> int:
        """Compact a segment that is written no more and return the bytes it takes then."""
        return compact(live, live.with_suffix(WHOLE))

    def left_over(self) -> Iterator[Path]:
        """Yield what killed runs have left."""
        yield from (path for _, _, path in parts_of(self.path) if path.suffix == LIVE)
        for path in self.path.glob(f"*{LIVE}"):
            if _NAME.match(path.name) and path.with_suffix(WHOLE).exists():
                # It was compacted, and verified, before its run was killed.
                path.unlink(missing_ok=True)
        for path in self.path.glob(f".*{WHOLE}.part"):
            path.unlink(missing_ok=True)

    def tidy(self, *, now_us: int, live: Path | None) -> int:
        """Let go of the oldest segments beyond what is kept, never of `live`, and return how many went."""
        found = []
        for _, _, path in parts_of(self.path):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime_ns // 1000, path.name, status.st_size, path))
        total, gone = sum(size for _, _, size, _ in found), 0
        for written_us, _, size, path in sorted(found):
            is_old = self._keep.us is not None and now_us - written_us > self._keep.us
            is_much = self._keep.bytes is not None and total > self._keep.bytes
            if path != live and (is_old or is_much):
                path.unlink(missing_ok=True)
                total -= size
                gone += 1
        return gone

    def close(self) -> None:
        """Give the lock back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _stamp(now_us: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us)
    return at.strftime("%Y%m%dT%H%M%S.%fZ")
