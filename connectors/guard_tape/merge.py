"""Several files of rows as one, by time of arrival, then by the order of the files."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np

from guard_tape.columns import Rows, cut, joined, length, taken

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guard_tape.columns import Integers

__all__ = ["merged"]


class _Head:
    """One file: the rows that were read of it and not given yet, with the latest time up to each."""

    def __init__(self, tables: Iterable[Rows]) -> None:
        self._tables = iter(tables)
        self._newest_us = 0
        self.rows: Rows | None = None
        self.keys: Integers = np.empty(0, np.int64)
        self.fill()

    def fill(self) -> None:
        """Read the next table, if there is one."""
        self.rows = next((table for table in self._tables if length(table)), None)
        if self.rows is not None:
            self.keys = np.maximum(np.maximum.accumulate(self.rows.received_us), self._newest_us)
            self._newest_us = int(self.keys[-1])

    def close(self) -> None:
        """Let go of the file, however much of it was read."""
        if isinstance(self._tables, Generator):
            self._tables.close()

    def rest(self) -> Iterator[Rows]:
        """Yield all that was not given yet."""
        if self.rows is not None:
            yield self.rows
        yield from self._tables

    def give(self, until_us: int, *, side: str) -> tuple[Rows, Integers] | None:
        """Return the rows up to a time, with it where `side` is ``right``, and read on where none are left."""
        assert self.rows is not None
        rows, keys = self.rows, self.keys
        stop = (
            len(keys) if keys[-1] < until_us else int(np.searchsorted(keys, until_us, side="right" if side == "right" else "left"))
        )
        if stop == len(keys):
            self.fill()
        else:
            self.rows, self.keys = cut(rows, stop, len(keys)), keys[stop:]
        return (cut(rows, 0, stop), keys[:stop]) if stop else None


def merged(files: Iterable[Iterable[Rows]]) -> Iterator[Rows]:
    """Yield the rows of all files in order, as `heapq.merge` would by `received_us`; each file gives tables of bounded size.

    A row that is older than one before it in its file follows that one at once, so the order is that of the latest time up to
    each row.
    """
    heads = [head for head in map(_Head, files) if head.rows is not None]
    try:
        while len(heads) > 1:
            # Until the file whose table ends first is read on, rows after its end may not be given. Of equals the first file
            # decides: what it goes on with precedes the rows of later files at that time.
            last = min(range(len(heads)), key=lambda number: int(heads[number].keys[-1]))
            until_us = int(heads[last].keys[-1])
            given = [head.give(until_us, side="right" if number <= last else "left") for number, head in enumerate(heads)]
            pieces = [piece for piece in given if piece is not None]
            rows = joined([rows for rows, _ in pieces])
            if len(pieces) > 1:
                order = np.argsort(np.concatenate([keys for _, keys in pieces]), kind="stable")
                rows = taken(rows, order)
            yield rows
            heads = [head for head in heads if head.rows is not None]
        for head in heads:
            yield from head.rest()
    finally:  # the error of one file holds this frame, and with it the others
        for head in heads:
            head.close()
