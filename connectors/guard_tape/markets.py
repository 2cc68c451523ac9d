"""The markets of a tape: entered by its files, opened at their first row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from guard.model import Channel, Kind, Status
from guard_tape.columns import Rows, cut, joined, length

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from guard.model import Market, MarketFacts
    from guard_tape.columns import Numbers

__all__ = ["Markets"]

_CHANNELS = (("trades", Channel.TRADES), ("book", Channel.BOOK))


class Markets:
    """Numbers markets in the order of their first rows.

    Files enter what they may contain under provisional numbers. `is_silent` says that a file does not tell when a market's streams
    went live, as a file of trades; the tape does it then.
    """

    def __init__(self) -> None:
        self._facts: list[MarketFacts] = []
        self._is_silent: list[bool] = []
        self._entered: dict[tuple[MarketFacts, bool], int] = {}
        self._opened: dict[Market, int] = {}
        self._final: Numbers = np.empty(0, np.int32)

    def enter(self, facts: MarketFacts, *, is_silent: bool) -> int:
        """Return the provisional number of a market as one file knows it."""
        number = self._entered.setdefault((facts, is_silent), len(self._facts))
        if number == len(self._facts):
            self._facts.append(facts)
            self._is_silent.append(is_silent)
        return number

    def opening(self, table: Rows) -> Iterator[tuple[tuple[MarketFacts, ...], Rows]]:
        """Cut a table at the first row of each new market; yields the market that a piece opens and the piece, finally numbered."""
        self._final = np.append(self._final, np.full(len(self._facts) - len(self._final), -1, np.int32))
        numbers, cuts = self._final[table.market], []
        if numbers.min(initial=0) < 0:
            cuts = self._cuts(table, np.flatnonzero(numbers < 0))
            numbers = self._final[table.market]
        table = table._replace(market=numbers)
        places = [*(at for at, _ in cuts), length(table)]
        if places[0] > 0:
            yield (), cut(table, 0, places[0])
        for (at, number), end in zip(cuts, places[1:], strict=True):
            rows = cut(table, at, end)
            facts = self._facts[number]
            live = [_live(rows, channel) for name, channel in _CHANNELS if name in facts.streams] if self._is_silent[number] else []
            yield (facts,), joined([*live, rows])

    def _cuts(self, table: Rows, new: NDArray[Any]) -> list[tuple[int, int]]:
        """Give the markets of new rows their final numbers; returns the first rows of those to open, with provisional numbers."""
        numbers, firsts = np.unique(table.market[new], return_index=True)
        cuts = []
        for at, number in sorted(zip(new[firsts].tolist(), numbers.tolist(), strict=True)):
            market = self._facts[number].market
            if market not in self._opened:
                self._opened[market] = len(self._opened)
                cuts.append((at, number))
            self._final[number] = self._opened[market]
        return cuts


def _live(rows: Rows, channel: Channel) -> Rows:
    """Return the row that says that a stream of the first row's market is live."""
    first = cut(rows, 0, 1)
    return first._replace(
        kind=np.full(1, int(Kind.STATUS), np.int8),
        price=np.zeros(1),
        amount=np.zeros(1),
        side=np.full(1, int(channel), np.int8),
        key=np.full(1, int(Status.LIVE), np.int64),
        flags=np.zeros(1, np.int8),
    )
