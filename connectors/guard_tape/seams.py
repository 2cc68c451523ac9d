"""The seams of downloaded pages, dropped from columns, with exactly the result of the row reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard_tape.columns import Trades, cut, joined, length, taken
from guard_tape.rows import SEAM_ROWS_MAX, repetition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from guard_tape.columns import Integers

    Truths = NDArray[np.bool_]

__all__ = ["Seams"]

# With fewer late rows than these, looking each up costs less than the hashes of all rows.
_LATE_FEW: Final = 8
_MIX: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93, 0xFF51AFD7ED558CCD)


class Seams:
    """Drops what `guard_tape.rows.TradeFile` drops; `repeated` counts it.

    Give it the tables of one file in order, then `finish`.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self._newest_us = 0
        # Rows kept before (a page may begin with them), those of the stamp that may go on, and what a page is expected to repeat.
        self._seen: Trades | None = None
        self._open: Trades | None = None
        self._expected: Trades | None = None

    def take(self, trades: Trades) -> Trades:
        """Return the rows that stay, up to the last stamp, which may go on in the next table."""
        parts = [part for part in (self._seen, self._open, trades) if part is not None]
        begun = 0 if self._seen is None else length(self._seen)
        work = _Work(joined(parts), begun, first=sum(map(length, parts[:-1])))
        expected = self._run(work, self._late(work))
        work.settle()
        kept = np.concatenate(work.kept)
        self._expected = expected
        self._newest_us = max(self._newest_us, int(trades.at_us.max(initial=0)))
        self._seen = taken(work.table, kept[-SEAM_ROWS_MAX:])
        self._open = taken(work.table, work.open)
        self.repeated += work.repeated
        return taken(work.table, kept[begun:])

    def finish(self) -> Trades | None:
        """Return the rows of the last stamp."""
        if self._open is None:
            return None
        kept, repeated = _without_repetition(self._open, np.arange(length(self._open)))
        self.repeated += repeated
        last, self._open = self._open, None
        return taken(last, kept)

    def _late(self, work: _Work) -> Integers:
        """Return the rows that step back in time, without those that cannot repeat a row before them."""
        at_us = work.table.at_us[work.first :]
        newest = np.maximum.accumulate(np.append(self._newest_us, at_us))[:-1]
        late = np.flatnonzero(at_us < newest) + work.first
        if len(late) <= _LATE_FEW:
            return late
        hashes = _hashes(work.table)
        known, firsts = np.unique(hashes, return_index=True)
        return late[firsts[np.searchsorted(known, hashes[late])] < late]

    def _run(self, work: _Work, late: Integers) -> Trades | None:
        """Go from step back to step back; returns what the next table is expected to begin with."""
        at, stop = work.first, length(work.table)
        expected = self._expected
        while at < stop:
            if expected is None:
                place = int(np.searchsorted(late, at))
                step = int(late[place]) if place < len(late) else stop
                work.keep(at, step)
                at = step
                if at == stop:
                    return None
                expected = work.tail_from(at)
            if expected is not None:
                count = work.matching(at, expected)
                work.repeated += count
                at += count
                expected = cut(expected, count, length(expected)) if count < length(expected) else None
                if expected is None or at == stop:
                    continue
            # What breaks off a repetition is new, and so is a late row that repeats nothing.
            work.keep(at, at + 1)
            at += 1
            expected = None
        return expected


class _Work:
    """One table while its seams are looked at.

    The first `begun` rows were kept before, those up to `first` are the stamp that was open. `kept` holds rows that stay, `open`
    those of the last stamp.
    """

    def __init__(self, table: Trades, begun: int, *, first: int) -> None:
        self.table = table
        self.first = first
        self.kept: list[NDArray[Any]] = [np.arange(begun)]
        self.open: NDArray[Any] = np.arange(begun, first)
        self.repeated = 0
        self._fresh: list[NDArray[Any]] = []

    def keep(self, start: int, stop: int) -> None:
        """Keep rows, unless their stamp turns out to be repeated."""
        if start < stop:
            self._fresh.append(np.arange(start, stop))

    def settle(self) -> None:
        """Decide about all stamps that are complete."""
        if not self._fresh:
            return
        rows = np.concatenate((self.open, *self._fresh))
        self._fresh = []
        at_us = self.table.at_us[rows]
        (other,) = np.nonzero(at_us != at_us[-1])
        complete = int(other[-1]) + 1 if len(other) else 0
        kept, repeated = _without_repetition(self.table, rows[:complete])
        self.repeated += repeated
        self.kept.append(kept)
        self.open = rows[complete:]

    def tail_from(self, row: int) -> Trades | None:
        """Return the rows kept lately, complete stamps only, from the first that equals `row` on."""
        self.settle()
        recent = np.concatenate(_last(self.kept))[-SEAM_ROWS_MAX:]
        (found,) = np.nonzero(_equal(self.table, recent, np.full(len(recent), row)))
        return taken(self.table, recent[found[0] :]) if len(found) else None

    def matching(self, at: int, expected: Trades) -> int:
        """Return how many rows from `at` on are as expected."""
        count = min(length(expected), length(self.table) - at)
        pairs = zip(cut(self.table, at, at + count), cut(expected, 0, count), strict=True)
        (different,) = np.nonzero(np.logical_or.reduce([ours != theirs for ours, theirs in pairs]))
        return int(different[0]) if len(different) else count


def _last(kept: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """Return the last pieces, enough of them to look back."""
    count, pieces = 0, len(kept)
    while pieces and count < SEAM_ROWS_MAX:
        pieces -= 1
        count += len(kept[pieces])
    return kept[pieces:]


def _equal(table: Trades, rows: NDArray[Any], others: NDArray[Any]) -> Truths:
    is_equal: Truths = np.logical_and.reduce([column[rows] == column[others] for column in table])
    return is_equal


def _hashes(table: Trades) -> NDArray[np.uint64]:
    hashes = np.zeros(length(table), np.uint64)
    columns: tuple[NDArray[Any], ...] = table
    for column, mix in zip(columns, _MIX, strict=True):
        words = column.view(np.uint64) if column.itemsize == np.uint64().itemsize else column.astype(np.int64).view(np.uint64)
        hashes = (hashes ^ (hashes >> np.uint64(31)) ^ words) * np.uint64(mix)
    return hashes


def _without_repetition(table: Trades, rows: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the rows of complete stamps without those that stand there twice, and how many those are."""
    if not len(rows):
        return rows, 0
    begins = np.flatnonzero(np.diff(table.at_us[rows], prepend=-1))
    counts = np.diff(begins, append=len(rows))
    # Where a stamp begins with a repetition, a row equals its first one, in its first half; see `repetition`.
    begin, count = np.repeat(begins, counts), np.repeat(counts, counts)
    offset = np.arange(len(rows)) - begin
    (places,) = np.nonzero((offset >= 1) & (2 * offset <= count) & ((offset > 1) | (count == 2)))  # noqa: PLR2004 - a pair
    hits = begin[places[_equal(table, rows[places], rows[begin[places]])]]
    stays = np.ones(len(rows), np.bool_)
    for start in np.unique(hits).tolist():
        stamp = rows[start : start + count[start]]
        columns = (column[stamp].tolist() for column in table)
        repeated = repetition(list(zip(*columns, strict=True)))
        stays[start + repeated : start + 2 * repeated] = False
    return rows[stays], int(len(rows) - stays.sum())
