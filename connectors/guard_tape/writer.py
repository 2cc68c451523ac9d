"""Writing a recording."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from guard.errors import ConfigurationError, Problem
from guard_tape.arrow import COURSE_KEY, ENCODING, MARKETS_KEY, ROWS_MAX, SEGMENT_KEY, packed_course, parquet, schema
from guard_tape.columns import Rows, length
from guard_tape.facts import markets_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from guard.model import Batch, MarketFacts

__all__ = ["RecordingWriter"]


class RecordingWriter:
    """Writes batches to one Parquet file, which appears under its name when it is whole.

    Parameters
    ----------
    path
        The file; one that is there already is replaced. Until `close` all goes to ``.NAME.part`` beside it.

    Notes
    -----
    Memory is bounded by one row group of 65,536 rows. As a context manager it closes at the end and abandons what an exception
    interrupts. What is not closed is lost, whole: Parquet has its table of contents at the end. Raises ConfigurationError where
    pyarrow is not installed or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._parquet = parquet(path)
        self._markets: list[MarketFacts] = []
        self._schema = schema()
        self._columns = Rows(*(np.empty(ROWS_MAX, field.type.to_pandas_dtype()) for field in self._schema))
        self._filled = 0
        self._course: Mapping[str, Any] | None = None
        self._segment: Mapping[str, Any] | None = None
        self.rows = 0
        with _writable(self._path):
            self._file: Any = self._part.open("wb")
            self._writer: Any = self._parquet.ParquetWriter(self._file, self._schema, **ENCODING)

    def market(self, facts: MarketFacts) -> int:
        """Enter a market and return its number, which the column `market` of later batches means: 0, 1, ..."""
        self._markets.append(facts)
        return len(self._markets) - 1

    def course(self, course: Mapping[str, Any]) -> None:
        """Say, before `close`, what a live run was beside its events, as JSON can hold it."""
        self._course = course

    def segment(self, segment: Mapping[str, Any]) -> None:
        """Say, before `close`, of which run this is a segment, and what is missing there, as JSON can hold it."""
        self._segment = segment

    def append(self, batch: Batch | Rows) -> None:
        """Take the rows of a batch or table, which may be reused afterwards."""
        taken, rows = 0, length(batch) if isinstance(batch, Rows) else len(batch)
        while taken < rows:
            count = min(rows - taken, ROWS_MAX - self._filled)
            for name, column in self._columns._asdict().items():
                column[self._filled : self._filled + count] = getattr(batch, name)[taken : taken + count]
            taken += count
            self._filled += count
            if self._filled == ROWS_MAX:
                self._flush()
        self.rows += rows

    def close(self) -> None:
        """Finish the file, put it on the disk, and give it its name."""
        with _writable(self._path):
            self._flush()
            self._writer.add_key_value_metadata({MARKETS_KEY: markets_json(self._markets).encode()})
            if self._course is not None:
                self._writer.add_key_value_metadata({COURSE_KEY: packed_course(self._course)})
            if self._segment is not None:
                self._writer.add_key_value_metadata({SEGMENT_KEY: json.dumps(self._segment).encode()})
            self._writer.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def abandon(self) -> None:
        """Remove what was written."""
        with suppress(OSError):
            self._writer.close()
        self._writer.is_open = False  # otherwise it tries again when it is collected
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            try:
                self.close()
            except ConfigurationError:
                self.abandon()
                raise
        else:
            self.abandon()

    def _flush(self) -> None:
        if not self._filled:
            return
        import pyarrow as pa  # noqa: PLC0415 - an extra

        arrays = [pa.array(column[: self._filled]) for column in self._columns]
        with _writable(self._path):
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=ROWS_MAX)
        self._filled = 0


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    """Make a ConfigurationError that names the file of what goes wrong in writing it."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            Problem(str(path), 1, 1, "T005", "unwritable-recording", "error", f"the recording cannot be written: {error}")
        ) from error
