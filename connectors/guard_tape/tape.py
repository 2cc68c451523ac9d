"""Several recordings as one tape."""

from __future__ import annotations

import heapq
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from guard.model import Batch
from guard_tape.columns import cut, length
from guard_tape.markets import Markets
from guard_tape.merge import merged
from guard_tape.rows import TapeTrade, TradeFile
from guard_tape.trades import TradeTables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.model import MarketFacts

__all__ = ["Tape", "TapeTrade"]


class Tape:
    """Events of several files, merged by time of arrival, then by the order in which the files are given.

    Parameters
    ----------
    paths
        CSV files, plain or .gz, see `TradeFile`.
    exchange
        Name under which the markets of CSV files appear, ``binance``.

    Examples
    --------
    >>> Tape([], exchange="binance").repeated
    0
    """

    def __init__(self, paths: Sequence[str | Path], *, exchange: str) -> None:
        self.files = [TradeFile(Path(path), exchange) for path in paths]

    def __iter__(self) -> Iterator[TapeTrade]:
        """Yield the trades in order of time, row by row. Raises ConfigurationError for a file that is no tape."""
        return heapq.merge(*self.files, key=lambda trade: trade.at_us)

    def batches(self, rows_max: int) -> Iterator[tuple[tuple[MarketFacts, ...], Batch]]:
        """Yield all events in order, in batches of at most `rows_max` rows, over columns of numpy.

        Before each batch stand the markets that its first row opens; markets are numbered in that order, from 0. The first row of
        a market of trade files says that its trades are live. Raises ConfigurationError for a file that is no tape.
        """
        markets = Markets()
        for table in merged([TradeTables(file, markets) for file in self.files]):
            for opened, rows in markets.opening(table):
                facts = opened
                for start in range(0, length(rows), rows_max):
                    yield facts, Batch.over(**cut(rows, start, start + rows_max)._asdict())
                    facts = ()

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
