"""When a trouble is told: not at its first second, not again and again, and its end only once it holds."""

from __future__ import annotations

from enum import Enum

__all__ = ["News", "Trouble"]

# A trouble that ends by itself within two minutes wakes nobody.
_TOLD_AFTER_US = 120_000_000
# A feed that streams for a few seconds between two failures has not recovered.
_OVER_AFTER_US = 30_000_000


class News(Enum):
    """What is to be told now."""

    BEGUN = "begun"
    OVER = "over"


class Trouble:
    """One trouble that comes and goes.

    Notes
    -----
    It is told once it has lasted 2 minutes, breaks of less than 30 s included, and its end after 30 s without it. The first 30 s
    without it after a start count as an end too: guard may have told of it before it was started anew.

    Examples
    --------
    >>> trouble = Trouble()
    >>> [trouble.look(at_us * 1_000_000, is_bad=is_bad) for is_bad, at_us in ((True, 0), (False, 60), (True, 80))]
    [None, None, None]
    >>> trouble.look(120_000_000, is_bad=True)
    <News.BEGUN: 'begun'>
    >>> [trouble.look(at_us * 1_000_000, is_bad=False) for at_us in (130, 160, 161)]
    [None, <News.OVER: 'over'>, None]
    """

    def __init__(self) -> None:
        self._since_us: int | None = None
        self._well_since_us: int | None = None
        self._is_told = True
        self._is_first = True

    def look(self, now_us: int, *, is_bad: bool, at_once: bool = False) -> News | None:
        """Take how things are at `now_us`, of a clock that never jumps; `at_once` tells of a trouble that waiting cannot mend."""
        if is_bad:
            self._well_since_us = None
            if self._since_us is None:
                self._since_us = now_us
                self._is_told = False
            if not self._is_told and (at_once or now_us - self._since_us >= _TOLD_AFTER_US):
                self._is_told, self._is_first = True, False
                return News.BEGUN
            return None
        if self._well_since_us is None:
            self._well_since_us = now_us
        if now_us - self._well_since_us < _OVER_AFTER_US or (self._since_us is None and not self._is_first):
            return None
        was_told, self._since_us = self._is_told or self._is_first, None
        self._is_first = False
        return News.OVER if was_told else None
