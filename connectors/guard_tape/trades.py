"""A trade file as rows of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from guard.model import MarketFacts
from guard_tape.blocks import Blocks
from guard_tape.columns import length, rows_of
from guard_tape.seams import Seams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard_tape.columns import Numbers, Rows, Trades
    from guard_tape.markets import Markets
    from guard_tape.rows import TradeFile

__all__ = ["TradeTables"]


class TradeTables:
    """The tables of a trade file without its seams; `market` numbers `markets`, where its symbols are entered."""

    def __init__(self, file: TradeFile, markets: Markets) -> None:
        self._file = file
        self._markets = markets
        self._blocks = Blocks(file)
        self._numbers: Numbers = np.empty(0, np.int32)

    def __iter__(self) -> Iterator[Rows]:
        """Yield tables of bounded size. Raises ConfigurationError where the file is no tape."""
        seams, before = Seams(), self._file.repeated
        for trades in self._blocks:
            yield self._rows(seams.take(trades))
            self._file.repeated = before + seams.repeated
        if (last := seams.finish()) is not None:
            self._file.repeated = before + seams.repeated
            yield self._rows(last)

    def _rows(self, trades: Trades) -> Rows:
        symbols = self._blocks.symbols.names
        if len(self._numbers) < len(symbols):
            markets = map(self._blocks.market, range(len(symbols)))
            facts = (MarketFacts(market, streams=frozenset({"trades"})) for market in markets)
            self._numbers = np.array([self._markets.enter(one, is_silent=True) for one in facts], np.int32)
        rows = rows_of(trades)
        return rows._replace(market=self._numbers[trades.market]) if length(trades) else rows
