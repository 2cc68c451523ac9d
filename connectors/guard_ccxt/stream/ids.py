"""Ids of trades that count up by one show what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["IdRun"]

_RUN: Final = 20
_SURE: Final = 100
_RUN_MAX: Final = 100_000
_LATE: Final = 512


class IdRun:
    """Follows the ids of one market's trades.

    Notes
    -----
    Where 20 ids in a row were each one more than the last, or `is_sequenced` says that they always are (as it does after a hundred
    in a row), one that is skipped is a hole. Elsewhere ids are no numbers, or counted over all markets, and say nothing.

    One hole makes an exchange of which nothing is known earn its 20 again, but for a hole in which trades were found, and for one
    across a loss that is known (`is_torn`, until the next id; `was_torn` is what it was before that). A trade that comes
    late, after one of the next 512, changes nothing. Ids that begin anew at a lower number are no hole. A hole in which nothing was
    doubles what it takes to be believed again, up to 100,000 in a row.

    Examples
    --------
    >>> ids = IdRun()
    >>> ids.is_sequenced = True
    >>> [ids.skips(key) for key in (7, 8, 11, 12, 1, 2)]
    [False, False, True, False, False, False]
    """

    __slots__ = ("_has_followed", "_needed", "is_sequenced", "is_torn", "last", "run", "was_torn")

    def __init__(self) -> None:
        self.last = 0
        self.is_sequenced = False
        self.run = 0
        self.is_torn = self.was_torn = False
        self._needed = _RUN
        self._has_followed = False

    def skips(self, key: int) -> bool:
        """Take the `event_key` of the next trade, and return whether it shows that trades before it are missing."""
        if self.last - _LATE <= key < self.last:
            self._has_followed = False
            return False
        last, self.last = self.last, key
        self.was_torn, self.is_torn = self.is_torn, False
        self._has_followed = key == last + 1
        if self._has_followed:
            self.run += 1
            return False
        # A hundred in a row are taken for a rule until a hole proves to be none.
        self.is_sequenced |= self.run >= max(_SURE, self._needed)
        is_hole = key > last > 0 and (self.is_sequenced or self.run >= self._needed)
        if key < last or not self.was_torn:
            self.run = 0
        return is_hole

    def reach(self, keys: Iterable[int]) -> None:
        """Note that nothing is missing up to the last of `keys`, which came another way."""
        self.last = max(self.last, *keys, 0)
        self.is_torn = False

    def trust(self) -> None:
        """Note that a hole was one: its trades were found."""
        self.run = max(self.run, self._needed)

    @property
    def tells(self) -> bool:
        """Whether the next id will tell if a trade is missing before it."""
        return self.last > 0 and (self.is_sequenced or self.run >= self._needed)

    @property
    def follows(self) -> bool:
        """Whether the last id that was taken proves that no trade is missing before it."""
        return self._has_followed and self.tells

    def fill(self, key: int) -> None:
        """Take the `event_key` of a trade that came another way."""
        if key > self.last and self.tells:
            self.last = key

    def distrust(self) -> None:
        """Note that a hole was none: its trades were never made."""
        self.is_sequenced, self.run = False, 0
        self._needed = min(2 * self._needed, _RUN_MAX)
