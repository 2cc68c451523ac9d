"""Trades without ids, told apart where a stream was interrupted."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard_ccxt.stream.gate import TradeRow

__all__ = ["Mark", "Seam"]

_TAIL_MAX: Final = 512

Mark = tuple[int, float, float, int]


class Seam:
    """The last 512 trades of a market whose exchange gives them no ids.

    Notes
    -----
    Two fills of one moment, price and amount are two fills: within a stream nothing is dropped. At a seam (a new subscription, an
    answer of REST) each trade that was delivered before takes away one that is like it, until one comes that is younger than all
    of them. Moments are the exchange's own, so that a better estimate of its clock changes nothing.

    Examples
    --------
    >>> from guard_ccxt.stream.gate import TradeRow
    >>> first, second = TradeRow(10, 1.0, 2.0, 1, 0, 0), TradeRow(20, 1.0, 2.0, 1, 0, 0)
    >>> seam = Seam()
    >>> for row in (first, first, second):
    ...     seam.put(row, 0)
    >>> seam.begin()
    >>> [seam.repeats(row, 0) for row in (first, first, first, second, second)]
    [True, True, False, True, False]
    """

    __slots__ = ("_left", "_tail")

    def __init__(self) -> None:
        self._tail: deque[Mark] = deque(maxlen=_TAIL_MAX)
        self._left: Counter[Mark] | None = None

    def put(self, row: TradeRow, offset_us: int) -> None:
        """Remember a trade that was delivered."""
        self._tail.append(_mark(row, offset_us))

    def begin(self) -> None:
        """Expect what was delivered to be sent again."""
        self._left = Counter(self._tail) if self._tail else None

    def repeats(self, row: TradeRow, offset_us: int) -> bool:
        """Return whether a trade is one that was delivered before the seam."""
        if self._left is None:
            return False
        mark = _mark(row, offset_us)
        if self._left[mark] > 0:
            self._left[mark] -= 1
            return True
        if mark[0] > self._tail[-1][0]:
            self._left = None
        return False

    def missed(self, answer: Iterable[TradeRow], offset_us: int) -> tuple[list[TradeRow], bool]:
        """Return what of an answer was not delivered and is not older than what was, and whether it reaches back to that."""
        left, tail = Counter(self._tail), self._tail
        missing, reaches = [], False
        for row in sorted(answer, key=lambda row: row.at_us):
            mark = _mark(row, offset_us)
            if left[mark] > 0:
                left[mark] -= 1
                reaches = True
            elif not tail or mark[0] >= tail[-1][0]:
                missing.append(row)
            else:
                reaches = True
        return missing, reaches


def _mark(row: TradeRow, offset_us: int) -> Mark:
    return row.at_us - offset_us, row.price, row.amount, row.side
