"""Which rows of a book came as one message, where a file does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard.model import Flag
from guard_tape.columns import Rows, cut, joined, length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Messages"]

_HELD_MAX: Final = 1 << 18


class Messages:
    """Marks the last row of each message; rows of one market with the same times, next to each other, are one message."""

    def __init__(self) -> None:
        self._held: Rows | None = None

    def take(self, rows: Rows) -> Iterator[Rows]:
        """Yield the messages that ended; the last one may go on in the next table."""
        if not length(rows):
            return
        whole = rows if self._held is None else joined([self._held, rows])
        ends = _ends(whole)
        (places,) = np.nonzero(ends)
        stop = int(places[-1]) + 1 if len(places) else 0
        if length(whole) - stop > _HELD_MAX:
            # Longer than any book: let it go as one message that is not over.
            stop = length(whole)
        self._held = cut(whole, stop, length(whole)) if stop < length(whole) else None
        if stop:
            yield _marked(cut(whole, 0, stop), ends[:stop])

    def finish(self) -> Iterator[Rows]:
        """Yield the last message."""
        if self._held is not None:
            ends = np.zeros(length(self._held), np.bool_)
            ends[-1] = True
            yield _marked(self._held, ends)


def _ends(rows: Rows) -> NDArray[np.bool_]:
    """Return after which rows another message begins; of the last row that is not known."""
    ends = np.zeros(length(rows), np.bool_)
    columns: tuple[NDArray[Any], ...] = (rows.market, rows.at_us, rows.received_us, rows.flags)
    ends[:-1] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return ends


def _marked(rows: Rows, ends: NDArray[np.bool_]) -> Rows:
    return rows._replace(flags=rows.flags | np.where(ends, np.int8(Flag.LAST), np.int8(0)))
