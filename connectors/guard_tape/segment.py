"""Reading a live segment, also one whose writer was killed, or writes on."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from guard.errors import ConfigurationError, Problem
from guard_tape.arrow import parquet
from guard_tape.columns import length
from guard_tape.frames import Damage, Torn, frames_of
from guard_tape.notes import Notes
from guard_tape.recording import look
from guard_tape.standing import gap_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.model import MarketFacts
    from guard_tape.columns import Rows

__all__ = ["Segment"]


class Segment:
    """An Arrow IPC stream that `guard_tape.Recorder` wrote, read up to where it was whole when it was opened.

    What is torn at the end is told by `notes.torn_bytes`; what is damaged before that becomes a gap of all its markets.

    Attributes
    ----------
    markets, rows, course
        As for `guard_tape.Recording`.
    notes
        What the segment tells of itself.

    Raises
    ------
    ConfigurationError
        Where pyarrow is not installed, and where the file is no segment.
    """

    def __init__(self, path: Path) -> None:
        parquet(path)
        self.path = path
        self.notes = Notes()
        self.rows = 0
        self._size = 0
        with self._readable():
            self._scan()
        if not self.notes.run:
            raise self._problem("no recording of guard, or damaged from its first bytes on")

    @property
    def markets(self) -> list[MarketFacts]:
        """The facts of each market, in the order of the numbers in the column `market`."""
        return self.notes.markets

    @property
    def damage(self) -> list[dict[str, Any]]:
        """What is damaged in it."""
        return self.notes.damage

    @property
    def course(self) -> dict[str, Any] | None:
        """What a live run was beside its events; None where it was a recording and nothing else."""
        return self.notes.course or None

    def _scan(self) -> None:
        with self.path.open("rb") as file:
            self._size = os.fstat(file.fileno()).st_size
            damage: Damage | None = None
            for found in frames_of(file, self._size):
                if isinstance(found, Torn):
                    self.notes.torn_bytes = found.bytes
                elif isinstance(found, Damage):
                    damage = found
                else:
                    if damage is not None or found.first != self.rows:
                        lost = {"offset": damage.offset, "bytes": damage.bytes} if damage else {"offset": 0, "bytes": 0}
                        self.notes.damage.append({**lost, "rows": found.first - self.rows})
                        damage = None
                    if found.note is not None:
                        self.notes.take(found.note)
                    if found.is_standing:
                        self.notes.standing += length(found.rows)
                    self.rows = found.first + length(found.rows)
        self._check_places()

    def _check_places(self) -> None:
        lost = sum(each["rows"] for each in self.notes.damage)
        if lost < 0:
            raise ValueError("its frames stand in another order than they were written")
        self.rows -= lost

    def tables(self, *, with_standing: bool = True) -> Iterator[Rows]:
        """Yield the rows in order, in tables of bounded size, read-only; `with_standing`: also what stood when it began."""
        with self._readable(), self.path.open("rb") as file:
            place, last_us, is_broken = 0, 0, False
            for found in frames_of(file, self._size):
                if isinstance(found, Torn):
                    return
                if isinstance(found, Damage):
                    is_broken = True
                    continue
                rows = found.rows
                if (is_broken or found.first != place) and length(rows):
                    first_us = int(rows.received_us[0])
                    known = range(len(self.markets))
                    yield gap_rows(known, last_us=last_us or first_us, received_us=max(last_us, first_us))
                is_broken = is_broken and not length(rows)
                place = found.first + length(rows)
                if not length(rows):
                    continue
                look(rows, found.first, len(self.markets), self._problem)
                last_us = max(last_us, int(np.max(rows.received_us)))
                if with_standing or not found.is_standing:
                    yield rows

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._problem(f"the segment cannot be read: {str(error) or repr(error)}") from error

    def _problem(self, text: str) -> ConfigurationError:
        return ConfigurationError(Problem(str(self.path), 1, 1, "T004", "unreadable-recording", "error", text))
