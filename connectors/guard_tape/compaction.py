"""From a live segment to a recording in Parquet, a third of its size, verified before the segment goes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from guard.errors import ConfigurationError, Problem
from guard_tape.columns import length
from guard_tape.recording import Recording
from guard_tape.segment import Segment
from guard_tape.writer import RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from guard_tape.columns import Rows

__all__ = ["compact"]


def compact(live: Path, out: Path) -> int:
    """Write the segment `live` as `out`, read that again, remove `live`, and return the bytes of `out`.

    Raises ConfigurationError where the segment is none, or `out` cannot be written or is not what was written; `live` stays then.
    """
    segment = Segment(live)
    written = _Sum()
    with RecordingWriter(out) as writer:
        for facts in segment.markets:
            writer.market(facts)
        for rows in written.over(segment.tables()):
            writer.append(rows)
        if segment.course is not None:
            writer.course(segment.course)
        writer.segment(segment.notes.record())
    found = _Sum()
    for _ in found.over(Recording(out).tables()):
        pass
    if found != written:
        out.unlink(missing_ok=True)
        text = f"{found.rows} rows were read of {written.rows} that were written; the segment {live.name} stays"
        raise ConfigurationError(Problem(str(out), 1, 1, "T005", "unwritable-recording", "error", text))
    size = out.stat().st_size
    live.unlink()
    return size


class _Sum:
    """The sum of rows, however they are cut into tables."""

    def __init__(self) -> None:
        self.rows = 0
        self._sums = [0] * 9

    def over(self, tables: Iterable[Rows]) -> Iterator[Rows]:
        for rows in tables:
            for number, column in enumerate(rows):
                self._sums[number] = zlib.crc32(np.ascontiguousarray(column).data, self._sums[number])
            self.rows += length(rows)
            yield rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sum) and (self.rows, self._sums) == (other.rows, other._sums)

    __hash__ = None  # type: ignore[assignment]  # it grows
