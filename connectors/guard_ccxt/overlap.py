"""Holds two deliveries of the same trades against each other, while one connection takes over from another."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard_ccxt.gate import TradeRow

__all__ = ["Overlap"]

_ROWS_MAX = 20_000
_Content = tuple[int, float, float, int]


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
    Trades are told by id, price, amount and side; without ids by the last three, as often as they came: both connections carry the
    same trades in the same order, so of two equal ones each is matched once. Two equal trades without ids that differ in time alone
    may change places, which changes nothing.

    Up to the `switch` the old connection delivers and what the fresh one brings is only noted. Then the trades that the fresh one
    alone has brought are delivered, and those that the old one alone has brought since the fresh one began are dropped when they
    come: it is behind.

    Examples
    --------
    >>> from guard_ccxt.gate import TradeRow
    >>> one, two, three = (TradeRow(10 * number, 1.0, 5.0, 1, number, 0) for number in (1, 2, 3))
    >>> overlap = Overlap(frozenset(), since_us=None)
    >>> overlap.delivered(one, 10), overlap.fresh(two, 20), overlap.fresh(three, 30), overlap.delivered(two, 31)
    (None, None, None, None)
    >>> [row.key for row, _ in overlap.switch(since_us=5)], overlap.is_late(one), overlap.is_late(one)
    ([3], True, False)
    """

    def __init__(self, known: frozenset[int], *, since_us: int | None) -> None:
        self._known = known
        self._since_us = since_us
        self._behind: Counter[_Content] = Counter()
        self._behind_us: deque[tuple[_Content, int]] = deque()
        self._ahead: deque[_Content] = deque()
        self._rows: dict[_Content, deque[tuple[TradeRow, int]]] = {}
        self._is_switched = False

    @property
    def is_full(self) -> bool:
        """Whether the fresh connection is so far ahead that it must take over now."""
        return len(self._ahead) >= _ROWS_MAX

    def delivered(self, row: TradeRow, received_us: int) -> None:
        """Note a trade that was delivered."""
        if self._is_switched:
            return
        content = _content(row)
        waiting = self._rows.get(content)
        if waiting is None:
            self._behind[content] += 1
            self._behind_us.append((content, received_us))
            if len(self._behind_us) > _ROWS_MAX:
                self._settles(self._behind_us.popleft()[0])
            return
        waiting.popleft()
        if not waiting:
            del self._rows[content]
        while self._ahead and self._ahead[0] not in self._rows:
            self._ahead.popleft()

    def fresh(self, row: TradeRow, received_us: int) -> None:
        """Note a trade that the fresh connection brought."""
        content = _content(row)
        if self._settles(content) or row.key in self._known:
            return
        if self._since_us is not None and (row.at_us < self._since_us or (not row.key and row.at_us == self._since_us)):
            return
        self._rows.setdefault(content, deque()).append((row, received_us))
        self._ahead.append(content)

    def is_late(self, row: TradeRow) -> bool:
        """Whether the old connection had delivered `row`, which the fresh one brings after the switch."""
        return self._is_switched and self._settles(_content(row))

    def switch(self, *, since_us: int) -> list[tuple[TradeRow, int]]:
        """Return the trades that the fresh connection alone has brought, in their order; it delivers from now on.

        `since_us` is when it began: what the old one delivered before will not come again.
        """
        self._is_switched = True
        rows = []
        for content in self._ahead:
            waiting = self._rows.get(content)
            if waiting:
                rows.append(waiting.popleft())
        expected: Counter[_Content] = Counter()
        for content, received_us in reversed(self._behind_us):  # of equal ones the oldest were matched first
            if received_us >= since_us and expected[content] < self._behind[content]:
                expected[content] += 1
        self._behind = expected
        self._behind_us.clear()
        self._ahead.clear()
        self._rows.clear()
        return rows

    def _settles(self, content: _Content) -> bool:
        count = self._behind.get(content, 0)
        if count > 1:
            self._behind[content] = count - 1
        elif count:
            del self._behind[content]
        return count > 0


def _content(row: TradeRow) -> _Content:
    return row.key, row.price, row.amount, row.side
