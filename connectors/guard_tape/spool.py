"""The thread's side of a recorder: rows and notes into segments, holes where the disk takes nothing."""

from __future__ import annotations

import errno
import os
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from guard_tape.columns import length
from guard_tape.frames import END, FrameWriter
from guard_tape.notes import Notes
from guard_tape.standing import Standing, gap_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from guard_tape.columns import Rows

__all__ = ["Limits", "Place", "Spool"]

_RETRY_US: Final = 5_000_000


class Limits(NamedTuple):
    """When a segment ends, and how many bytes of the disk are left free for others."""

    segment_us: int = 3_600_000_000
    segment_bytes: int = 64_000_000
    free_bytes: int = 200_000_000


class Place(Protocol):
    """Where segments lie: `guard_tape.folder.Folder` or `File`."""

    path: Path
    rotates: bool

    def begin(self, now_us: int) -> str:
        """Return the name of a run."""
        ...

    def segment(self, run: str, number: int) -> Path:
        """Return the path of a segment while it is written."""
        ...

    def finish(self, live: Path) -> int:
        """Compact a segment."""
        ...

    def left_over(self) -> Iterator[Path]:
        """Yield what killed runs have left."""
        ...

    def tidy(self, *, now_us: int, live: Path | None) -> int:
        """Let go of what is kept no longer."""
        ...

    def close(self) -> None:
        """Let go of the place."""
        ...


class Spool:
    """Writes what it is given to the segment that is live; nothing it does raises OSError.

    Parameters
    ----------
    place
        Where the segments lie.
    now_us, monotonic_us
        The clocks.
    finished
        Told of each segment that is written no more.

    Attributes
    ----------
    problem
        Why nothing is written now; None while it is.
    """

    def __init__(
        self,
        place: Place,
        limits: Limits,
        *,
        now_us: Callable[[], int],
        monotonic_us: Callable[[], int],
        finished: Callable[[Path], None],
    ) -> None:
        self.problem: str | None = None
        self.bytes = 0
        self.segments = 0
        self.lost = 0
        self.holes = 0
        self.kinds: Counter[int] = Counter()
        self.last_us = 0
        self.live: Path | None = None
        self._place = place
        self._limits = limits
        self._monotonic_us = monotonic_us
        self._finished = finished
        self._run = place.begin(now_us())
        self._notes = Notes(self._run)
        self._standing = Standing()
        self._frames = FrameWriter()
        self._fd = -1
        self._offset = 0
        self._written_rows = 0
        self._began_us = 0
        self._retry_us = 0
        # What is to be written before anything else: notes that the disk did not take, and the hole that they lie behind.
        self._unwritten: list[Mapping[str, Any]] = []
        self._hole: dict[str, Any] | None = None

    def note(self, note: Mapping[str, Any]) -> None:
        """Take a note."""
        begin = self._opened() if self.problem is None else b""
        self._notes.take(note)
        if self.problem is not None or not self._write(begin + self._frames.note(note)):
            self._unwritten.append(note)

    def rows(self, rows: Rows) -> None:
        """Take rows."""
        if not length(rows):
            return
        if self.problem is not None or not self._write(self._row_bytes(rows)):
            self._lose(rows)
        else:
            self.kinds.update({kind: count for kind, count in enumerate(np.bincount(rows.kind).tolist()) if count})
        self._standing.take(rows)
        self.last_us = self._standing.received_us

    def hole(self, reason: str, *, rows: int, since_us: int, until_us: int) -> None:
        """Mark a hole: rows that were to come now and never will."""
        self.lost += rows
        if self._hole is not None:
            self._hole["rows"] += rows
            return
        self._hole = {"reason": reason, "rows": rows, "since_us": min(since_us, self.last_us or since_us), "until_us": until_us}
        if self.problem is None:
            # Books that lost changes are unknown until they are shown as a whole.
            known = range(len(self._notes.markets))
            self._standing.take(gap_rows(known, last_us=self._hole["since_us"], received_us=max(until_us, self.last_us)))
            self._mend()

    def look(self) -> None:
        """Go on where the disk has room again, and begin another segment where this one is long or large enough."""
        now_us = self._monotonic_us()
        if self.problem is not None and now_us >= self._retry_us:
            self.problem = None
            self._mend()
        limits = self._limits
        if self.problem is not None or self._fd < 0 or not self._place.rotates:
            return
        is_due = now_us - self._began_us >= limits.segment_us or self._offset >= limits.segment_bytes
        if is_due and (not self._standing.is_within_message or self._offset >= 2 * limits.segment_bytes):
            self._end()

    def close(self) -> None:
        """End the segment that is live."""
        if self.problem is not None:
            self.problem = None
            self._mend()
        if self._fd >= 0:
            self._end()

    def _mend(self) -> None:
        """Write what was not written, and what stands after the hole."""
        if self._fd < 0:
            # A segment begins with all that notes have told, but for kept state.
            parts = [part for note in self._unwritten for part in note.get("notes", (note,))]
            kept = [part["course"]["kept"] for part in parts if "kept" in part.get("course", ())]
            self._unwritten = [{"course": {"kept": each}} for each in kept]
        begin = self._opened() if self._hole is not None or self._unwritten else b""
        made = [begin, *map(self._frames.note, self._unwritten)]
        if self._hole is not None:
            hole = self._hole
            hole["until_us"] = max(hole["until_us"], self._standing.received_us)
            known = range(len(self._notes.markets))
            gaps = gap_rows(known, last_us=hole["since_us"], received_us=hole["until_us"])
            self._notes.holes.append(hole)
            made += [self._frames.note({"hole": hole}), self._frames_of(gaps), self._frames_of(self._standing.rows(known))]
            if self._write(b"".join(made)):
                self._hole, self._unwritten = None, []
                self.holes += 1
            else:
                self._notes.holes.pop()
        elif self._unwritten and self._write(b"".join(made)):
            self._unwritten = []

    def _lose(self, rows: Rows) -> None:
        self.lost += length(rows)
        if self._hole is None:
            since_us = self.last_us or int(rows.received_us[0])
            self._hole = {"reason": self.problem or "", "rows": 0, "since_us": since_us, "until_us": 0}
        self._hole["rows"] += length(rows)
        self._hole["until_us"] = max(self._hole["until_us"], int(rows.received_us.max()))

    def _row_bytes(self, rows: Rows) -> bytes:
        return self._opened() + self._frames_of(rows)

    def _frames_of(self, rows: Rows) -> bytes:
        return self._frames.frames(rows) if length(rows) else b""

    def _opened(self) -> bytes:
        """Open a segment where none is, and return what it begins with."""
        if self._fd >= 0 or self.live is not None:
            return b""
        self.segments += 1
        self.live = self._place.segment(self._run, self.segments)
        self._frames = FrameWriter()
        self._offset = self._written_rows = 0
        self._began_us = self._monotonic_us()
        begin = self._frames.note(self._notes.opening(self._run, self.segments))
        self._notes.holes = []
        standing = self._standing.rows(range(len(self._notes.markets)))
        return begin + (self._frames.frames(standing, is_standing=True) if length(standing) else b"")

    def _write(self, data: bytes) -> bool:
        """Write whole frames; where they do not fit, none of them is there and `problem` says why."""
        assert self.live is not None
        rows_before = self._written_rows
        try:
            if self._fd < 0:
                self._fd = os.open(self.live, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._make_sure_of_room(len(data))
            view = memoryview(data)
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self._fail(error, rows_before)
            return False
        self._offset += len(data)
        self.bytes += len(data)
        self._written_rows = self._frames.rows
        return True

    def _make_sure_of_room(self, wanted: int) -> None:
        if not self._limits.free_bytes:
            return
        disk = os.fstatvfs(self._fd)
        free, left = disk.f_bavail * disk.f_frsize, self._limits.free_bytes
        if free - wanted < left:
            raise OSError(errno.ENOSPC, f"{free // 1_000_000} MB are free, and {left // 1_000_000} MB are left to others")

    def _fail(self, error: OSError, rows_before: int) -> None:
        self.problem = error.strerror or str(error)
        self._retry_us = self._monotonic_us() + _RETRY_US
        if self._fd >= 0:
            with suppress(OSError):
                os.ftruncate(self._fd, self._offset)
                os.lseek(self._fd, self._offset, os.SEEK_SET)
        if not self._offset:
            # Not even its beginning is there: begin it again.
            with suppress(OSError):
                if self._fd >= 0:
                    os.close(self._fd)
                    assert self.live is not None
                    self.live.unlink(missing_ok=True)
            self._fd, self.live = -1, None
            self.segments -= 1
        else:
            self._frames.rows = rows_before

    def _end(self) -> None:
        if not self._write(self._frames.note({"end": True}) + END):
            return
        with suppress(OSError):
            os.fsync(self._fd)
        os.close(self._fd)
        self._fd = -1
        ended, self.live = self.live, None
        assert ended is not None
        self._finished(ended)
