"""Holds two deliveries of the same trades against each other, while one connection takes over from another."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard_ccxt.stream.gate import TradeRow

__all__ = ["Overlap"]

_ROWS_MAX = 20_000
_SAME_US = 999  # stamps are whole milliseconds, and the correction of an exchange's clock moves a little meanwhile
_Content = tuple[int, float, float, int]


class _Ahead:
    __slots__ = ("is_delivered", "received_us", "row")

    def __init__(self, row: TradeRow, received_us: int) -> None:
        self.row = row
        self.received_us = received_us
        self.is_delivered = False


class Overlap:
    """Which trades only one of two connections has delivered so far.

    Parameters
    ----------
    known
        Ids that were delivered before.
    since_us
        Time of the newest trade that was delivered before; None where there was none. Exchanges resend old trades when one
        subscribes: what is older, or without an id not newer, has been delivered.

    Notes
    -----
    Trades are told by id, price, amount and side; without ids by the last three and the exchange's time to the millisecond, as
    often as they came. Without ids some may double where the exchange's clock is ahead by an amount that moves, or where it gives
    no times.

    Up to the `switch` the old connection delivers and what the fresh one brings is only noted. Then the trades that the fresh one
    alone has brought are delivered, and those that the old one alone has brought are dropped when they come: it is behind.

    Examples
    --------
    >>> from guard_ccxt.stream.gate import TradeRow
    >>> one, two, three = (TradeRow(10 * number, 1.0, 5.0, 1, number, 0) for number in (1, 2, 3))
    >>> overlap = Overlap(frozenset(), since_us=None)
    >>> overlap.delivered(one), overlap.fresh(two, 20), overlap.fresh(three, 30), overlap.delivered(two)
    (None, None, None, None)
    >>> [row.key for row, _ in overlap.switch()], overlap.is_late(one), overlap.is_late(one)
    ([3], True, False)
    """

    def __init__(self, known: frozenset[int], *, since_us: int | None) -> None:
        self._known = known
        self._since_us = since_us
        self._behind: dict[_Content, list[int]] = {}
        self._order: deque[_Content] = deque()
        self._ahead: deque[_Ahead] = deque()
        self._rows: dict[_Content, deque[_Ahead]] = {}
        self._is_switched = False

    @property
    def is_full(self) -> bool:
        """Whether the fresh connection is so far ahead that it must take over now."""
        return len(self._ahead) >= _ROWS_MAX

    def delivered(self, row: TradeRow) -> None:
        """Note a trade that was delivered."""
        if self._is_switched:
            return
        content = _content(row)
        waiting = self._rows.get(content, ())
        for at, ahead in enumerate(waiting):
            if _is_same(row, ahead.row.at_us):
                ahead.is_delivered = True
                del self._rows[content][at]
                if not waiting:
                    del self._rows[content]
                break
        else:
            self._behind.setdefault(content, []).append(row.at_us)
            self._order.append(content)
            if len(self._order) > _ROWS_MAX:
                self._drop(self._order.popleft(), 0)
            return
        while self._ahead and self._ahead[0].is_delivered:
            self._ahead.popleft()

    def fresh(self, row: TradeRow, received_us: int) -> None:
        """Note a trade that the fresh connection brought."""
        content = _content(row)
        if self._settles(row) or row.key in self._known:
            return
        if self._since_us is not None and (row.at_us < self._since_us or (not row.key and row.at_us == self._since_us)):
            return
        ahead = _Ahead(row, received_us)
        self._rows.setdefault(content, deque()).append(ahead)
        self._ahead.append(ahead)

    def is_late(self, row: TradeRow) -> bool:
        """Whether the old connection had delivered `row`, which the fresh one brings after the switch."""
        return self._is_switched and self._settles(row)

    def switch(self) -> list[tuple[TradeRow, int]]:
        """Return the trades that the fresh connection alone has brought, in their order; it delivers from now on."""
        self._is_switched = True
        rows = [(ahead.row, ahead.received_us) for ahead in self._ahead if not ahead.is_delivered]
        self._order.clear()
        self._ahead.clear()
        self._rows.clear()
        return rows

    def _settles(self, row: TradeRow) -> bool:
        content = _content(row)
        waiting = self._behind.get(content, ())
        # Sorted but for what an exchange sends out of order, which is near.
        first = 0 if row.key else bisect_left(waiting, row.at_us - _SAME_US)
        if first == len(waiting) or not _is_same(row, waiting[first]):
            return False
        self._drop(content, first)
        return True

    def _drop(self, content: _Content, at: int) -> None:
        waiting = self._behind.get(content)
        if waiting:
            del waiting[at]
            if not waiting:
                del self._behind[content]


def _is_same(row: TradeRow, at_us: int) -> bool:
    return row.key != 0 or abs(row.at_us - at_us) <= _SAME_US


def _content(row: TradeRow) -> _Content:
    return row.key, row.price, row.amount, row.side
