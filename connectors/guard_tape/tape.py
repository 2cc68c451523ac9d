"""Several trade files as one tape."""

from __future__ import annotations

import heapq
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from guard_tape.rows import TapeTrade, TradeFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Tape", "TapeTrade"]


class Tape:
    """Trades of several files, merged by time, then by the order in which the files are given.

    Parameters
    ----------
    paths
        CSV files, plain or .gz; see `TradeFile`.
    exchange
        Name under which the markets appear, ``binance``.

    Examples
    --------
    >>> Tape([], exchange="binance").repeated
    0
    """

    def __init__(self, paths: Sequence[str | Path], *, exchange: str) -> None:
        self.files = [TradeFile(Path(path), exchange) for path in paths]

    def __iter__(self) -> Iterator[TapeTrade]:
        """Yield the trades in order of time. Raises ConfigurationError for a file that is no tape."""
        return heapq.merge(*self.files, key=lambda trade: trade.at_us)

    @property
    def repeated(self) -> int:
        """Rows dropped because a download page repeated them."""
        return sum(file.repeated for file in self.files)

    @property
    def rejected(self) -> Counter[str]:
        """Rows refused, by reason."""
        total: Counter[str] = Counter()
        for file in self.files:
            total += file.rejected
        return total

    @property
    def examples(self) -> list[str]:
        """``file:line: reason`` of the first rows refused in each file."""
        return [example for file in self.files for example in file.examples]
