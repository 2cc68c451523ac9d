"""Ids of trades that count up by one show what is missing."""

from __future__ import annotations

from typing import Final

__all__ = ["IdRun"]

_RUN: Final = 20
_RUN_MAX: Final = 100_000


class IdRun:
    """Follows the ids of one market's trades.

    Notes
    -----
    Where 20 ids in a row were each one more than the last, or `is_sequenced` says that they always are, one that is skipped is a
    hole. Elsewhere ids are no numbers, or counted over all markets, and say nothing. One hole makes an exchange of which nothing is
    known earn its 20 again. Ids that begin anew at a lower number are no hole. A hole in which nothing was doubles what it
    takes to be believed again, up to 100,000 in a row.

    Examples
    --------
    >>> ids = IdRun()
    >>> ids.is_sequenced = True
    >>> [ids.skips(key) for key in (7, 8, 11, 12, 1, 2)]
    [False, False, True, False, False, False]
    """

    __slots__ = ("_needed", "is_sequenced", "last", "run")

    def __init__(self) -> None:
        self.last = 0
        self.is_sequenced = False
        self.run = 0
        self._needed = _RUN

    def skips(self, key: int) -> bool:
        """Take the `event_key` of the next trade, and return whether it shows that trades before it are missing."""
        last, self.last = self.last, key
        if key == last + 1:
            self.run += 1
            return False
        is_hole = key > last > 0 and (self.is_sequenced or self.run >= self._needed)
        self.run = 0
        return is_hole

    @property
    def tells(self) -> bool:
        """Whether the next id will tell if a trade is missing before it."""
        return self.last > 0 and (self.is_sequenced or self.run >= self._needed)

    @property
    def follows(self) -> bool:
        """Whether the last id that was taken proves that no trade is missing before it."""
        return self.run > 0 and self.tells

    def fill(self, key: int) -> None:
        """Take the `event_key` of a trade that came another way."""
        if key > self.last and self.tells:
            self.last = key

    def distrust(self) -> None:
        """Note that a hole was none: its trades were never made."""
        self.is_sequenced = False
        self._needed = min(2 * self._needed, _RUN_MAX)
