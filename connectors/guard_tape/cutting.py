"""A piece of a tape as a recording of its own, and the sum of what is on a tape."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard.model import Control, Flag, Kind
from guard_tape.columns import Rows, cut, length, taken
from guard_tape.standing import Standing
from guard_tape.writer import RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from guard.model import Batch, MarketFacts
    from guard_tape.tape import Tape

__all__ = ["ContentDigest", "cut_tape"]

_ROWS: Final = 1 << 16
_PACKED: Final = np.dtype(list(zip(Rows._fields, ["i1", "<i4", "<i8", "<i8", "<f8", "<f8", "i1", "<i8", "i1"], strict=True)))


class ContentDigest:
    """Sums up markets and rows in order, whatever files they stand in and however those are cut."""

    def __init__(self) -> None:
        self._sum = sha256()

    def take(self, opened: Sequence[MarketFacts], batch: Batch) -> None:
        """Take a batch of a tape, and the markets that it opens."""
        for facts in opened:
            self._sum.update(str(facts.market).encode() + b"\n")
        packed = np.empty(len(batch), _PACKED)
        for name in Rows._fields:
            packed[name] = getattr(batch, name)
        self._sum.update(packed.data)

    @property
    def text(self) -> str:
        """The sum, ``sha256:...``."""
        return f"sha256:{self._sum.hexdigest()}"


def cut_tape(
    tape: Tape,
    path: Path,
    *,
    from_us: int | None = None,
    to_us: int | None = None,
    chooses: Callable[[MarketFacts], bool] | None = None,
) -> dict[str, Any]:
    """Write what arrived from `from_us` to before `to_us` of the chosen markets as one recording, and return what was written.

    It begins with what stood then: the states of streams, and each known book as a snapshot. No message of a book is torn. Raises
    ConfigurationError where the tape is none, or `path` cannot be written.
    """
    piece = _Piece(from_us, to_us, chooses)
    with RecordingWriter(path) as writer:
        for opened, batch in tape.batches(_ROWS):
            for facts in opened:
                piece.open(facts, writer)
            for rows in piece.take(Rows(*(np.asarray(getattr(batch, name)) for name in Rows._fields))):
                writer.append(rows)
            if piece.is_over:
                break
        keeps_course = tape.course is not None and piece.is_from_start
        if keeps_course:
            writer.course(tape.course or {})
    return {
        "file": str(path),
        "rows": writer.rows,
        "standing": piece.standing_rows,
        "markets": piece.markets,
        "bytes": path.stat().st_size,
        "as_recorded": keeps_course,
        "repeated": tape.repeated,
        "rejected": dict(tape.rejected),
        "rejected_examples": tape.examples,
    }


class _Piece:
    def __init__(self, from_us: int | None, to_us: int | None, chooses: Callable[[MarketFacts], bool] | None) -> None:
        self.is_over = False
        self.is_from_start = from_us is None and chooses is None
        self.markets = 0
        self.standing_rows = 0
        self._from_us, self._to_us = from_us, to_us
        self._chooses = chooses
        self._numbers = np.empty(0, np.int32)
        self._standing = Standing()
        self._has_begun = from_us is None

    def open(self, facts: MarketFacts, writer: RecordingWriter) -> None:
        is_chosen = self._chooses is None or self._chooses(facts)
        self._numbers = np.append(self._numbers, np.int32(writer.market(facts) if is_chosen else -1))
        self.markets += is_chosen

    def take(self, rows: Rows) -> list[Rows]:
        """Return the rows that belong to the piece, with its own numbers of markets."""
        rows = self._chosen(rows)
        made = []
        if not self._has_begun and self._from_us is not None:
            start = self._place(rows, self._from_us)
            self._standing.take(cut(rows, 0, start))
            if start == length(rows):
                return []
            self._has_begun = True
            stood = self._standing.rows(range(self.markets))
            self.standing_rows = length(stood)
            made.append(stood)
            rows = cut(rows, start, length(rows))
        if self._to_us is not None:
            stop = self._place(rows, self._to_us)
            self.is_over = stop < length(rows)
            rows = cut(rows, 0, stop)
        self._standing.take(rows)
        return [each for each in (*made, rows) if length(each)]

    def _chosen(self, rows: Rows) -> Rows:
        if self.is_from_start:
            return rows
        numbers = self._numbers[rows.market]
        is_ours = (rows.kind == int(Kind.CONTROL)) & (rows.side == int(Control.DEMOTE_DETECTOR)) & (self.markets > 0)
        numbers = np.where(is_ours, 0, numbers).astype(np.int32)
        (places,) = np.nonzero((numbers >= 0) & (is_ours | (rows.kind != int(Kind.CONTROL))))
        return taken(rows._replace(market=numbers), places)

    def _place(self, rows: Rows, at_us: int) -> int:
        """Return the first row that arrived at `at_us` or later, behind the message that goes on there."""
        (late,) = np.nonzero(rows.received_us >= at_us)
        place = int(late[0]) if len(late) else length(rows)
        while place < length(rows) and self._is_within(rows, place):
            place += 1
        return place

    def _is_within(self, rows: Rows, place: int) -> bool:
        if place == 0:
            return self._standing.is_within_message and bool(rows.kind[0] == int(Kind.LEVEL))
        return bool(rows.kind[place - 1] == int(Kind.LEVEL) and not rows.flags[place - 1] & Flag.LAST)
