"""Reading a recording."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from guard.errors import ConfigurationError, Problem
from guard.model import Control, Kind
from guard_tape.arrow import COURSE_KEY, MARKETS_KEY, ROWS_MAX, SEGMENT_KEY, VERSION, VERSION_KEY, course_of, parquet, schema
from guard_tape.columns import Rows, cut
from guard_tape.facts import markets_of
from guard_tape.notes import Notes
from guard_tape.rows import EARLIEST_MS, LATEST_MS
from guard_tape.standing import gap_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from guard.model import MarketFacts
    from guard_tape.columns import Numbers
    from guard_tape.markets import Markets

__all__ = ["Recorded", "Recording", "RecordingTables", "look"]


class Recorded(Protocol):
    """Rows with their markets, from wherever they are kept; see `Recording`."""

    @property
    def markets(self) -> list[MarketFacts]:
        """The facts of each market."""
        ...

    @property
    def course(self) -> dict[str, Any] | None:
        """What the run was beside its events."""
        ...

    def tables(self, *, with_standing: bool = True) -> Iterator[Rows]:
        """Yield the rows."""
        ...


class Recording:
    """A Parquet file that `guard_tape.RecordingWriter` wrote.

    Attributes
    ----------
    markets
        The facts of each market, in the order of the numbers in the column `market`.
    rows, row_groups
        How many of them there are.
    course
        What a live run was beside its events, as `guard.runtime.record` wrote it; None where the file came of other files.
    notes
        What a segment of a longer recording tells of itself; None where it is none.

    Raises
    ------
    ConfigurationError
        Where pyarrow is not installed, and where the file is damaged, no recording, or of another version of the format. Rows of a
        segment that are damaged are left out: they become a gap of all its markets, and `damage`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._damaged: dict[int, int] = {}
        self._parquet = parquet(path)
        with self._readable(), self._opened() as file:
            metadata = file.metadata.metadata or {}
            self._check(file, metadata)
            self.rows: int = file.metadata.num_rows
            self.row_groups: int = file.metadata.num_row_groups
            self.markets: list[MarketFacts] = markets_of(metadata[MARKETS_KEY])
            packed = metadata.get(COURSE_KEY)
            self.course: dict[str, Any] | None = None if packed is None else course_of(packed)
            segment = metadata.get(SEGMENT_KEY)
            self.notes = None if segment is None else Notes.of(json.loads(segment))

    def tables(self, *, with_standing: bool = True) -> Iterator[Rows]:
        """Yield the rows in order, in tables of bounded size over the memory of pyarrow, read-only.

        `with_standing`: also those that tell what stood when a segment began.
        """
        left_out = 0 if with_standing or self.notes is None else self.notes.standing
        with self._readable(), self._opened() as file:
            place, last_us, is_broken = 0, 0, False
            for number in range(self.row_groups):
                for rows in self._group(file, number):
                    table = rows
                    look(table, place, len(self.markets), self._problem)
                    if is_broken:
                        first_us = int(table.received_us[0])
                        yield gap_rows(range(len(self.markets)), last_us=last_us or first_us, received_us=max(last_us, first_us))
                        is_broken = False
                    place += len(table.kind)
                    last_us = int(np.max(table.received_us, initial=last_us))
                    if left_out:
                        table, left_out = cut(table, left_out, len(table.kind)), max(0, left_out - len(table.kind))
                    yield table
                if number in self._damaged:
                    place += self._damaged[number]
                    left_out, is_broken = max(0, left_out - self._damaged[number]), True

    def _group(self, file: Any, number: int) -> list[Rows]:  # noqa: ANN401 - an untyped library
        """Return the rows of a row group; none where a segment is damaged there, whose other rows stand."""
        try:
            groups = list(file.iter_batches(batch_size=ROWS_MAX, row_groups=[number], use_threads=False))
            return [Rows(*(column.to_numpy(zero_copy_only=True) for column in group.columns)) for group in groups]
        except (OSError, ValueError):
            if self.notes is None:
                raise
            self._damaged[number] = file.metadata.row_group(number).num_rows
            return []

    @property
    def damage(self) -> list[dict[str, Any]]:
        """What was found damaged in a segment as far as it was read; each became a gap of all its markets."""
        return [{"rows": rows} for _, rows in sorted(self._damaged.items())]

    def _opened(self) -> Any:  # noqa: ANN401 - an untyped library
        return self._parquet.ParquetFile(self.path, page_checksum_verification=True, pre_buffer=False)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        # Errors of pyarrow are ValueError or OSError too.
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._problem(f"the recording cannot be read: {str(error) or repr(error)}") from error

    def _problem(self, text: str, *, hint: str = "") -> ConfigurationError:
        return ConfigurationError(Problem(str(self.path), 1, 1, "T004", "unreadable-recording", "error", text, hint=hint))

    def _check(self, file: Any, metadata: dict[bytes, bytes]) -> None:  # noqa: ANN401 - an untyped library
        version = metadata.get(VERSION_KEY)
        if version is None or MARKETS_KEY not in metadata:
            raise self._problem("a Parquet file, but no recording of guard", hint="guard tape convert makes one of trade files")
        if version != str(VERSION).encode():
            raise self._problem(
                f"a recording of version {version.decode(errors='replace')[:20]}; this guard reads version {VERSION}"
            )
        if not file.schema_arrow.equals(schema(), check_metadata=False):
            found = ", ".join(f"{field.name} {field.type}" for field in file.schema_arrow)
            raise self._problem(f"other columns than a recording has: {found:.200}")


def look(table: Rows, place: int, markets: int, problem: Callable[[str], ConfigurationError]) -> None:
    """Raise `problem` for rows that no writer can have meant."""
    bounds: dict[str, tuple[NDArray[Any], int, int]] = {
        "kind": (table.kind, min(Kind), max(Kind)),
        "market": (table.market, 0, markets - 1),
        "at_us": (table.at_us, EARLIEST_MS * 1000, LATEST_MS * 1000),
        "received_us": (table.received_us, EARLIEST_MS * 1000, LATEST_MS * 1000),
        "side": (table.side, -1, max(Control)),
    }
    for name, (column, least, most) in bounds.items():
        if len(column) and not (least <= column.min() and column.max() <= most):
            raise problem(f"{name} outside of {least} to {most} in the rows from {place} on")
    for name, numbers in (("price", table.price), ("amount", table.amount)):
        if not np.isfinite(numbers).all():
            raise problem(f"{name} that is no number in the rows from {place} on")
    if (table.at_us > table.received_us).any():
        raise problem(f"an event that arrived before it happened in the rows from {place} on")


class RecordingTables:
    """The tables of a recording; `market` numbers `markets`, where its own are entered."""

    def __init__(self, recording: Recorded, markets: Markets) -> None:
        self._recording = recording
        self._numbers: Numbers = np.array([markets.enter(facts, is_silent=False) for facts in recording.markets], np.int32)

    def __iter__(self) -> Iterator[Rows]:
        """Yield tables of bounded size. Raises ConfigurationError where the file is damaged."""
        is_same = bool((self._numbers == np.arange(len(self._numbers))).all())
        for table in self._recording.tables():
            yield table if is_same else table._replace(market=self._numbers[table.market])
