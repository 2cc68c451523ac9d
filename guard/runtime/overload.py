"""Tells people when events come faster than guard takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Level
from guard.runtime.trouble import News, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.runtime.inlet import Inlet

__all__ = ["Overload"]


class Overload:
    """Watches the inlet: dropped trades are told at once, books that stay shut after two minutes, the end of both once it holds.

    Parameters
    ----------
    announce
        Sends a message about guard itself: key, title, body, level.
    """

    def __init__(self, inlet: Inlet, *, monotonic_us: Callable[[], int], announce: Callable[[str, str, str, Level], None]) -> None:
        self._inlet = inlet
        self._monotonic_us = monotonic_us
        self._announce = announce
        self._trouble = Trouble()
        self._trades = 0

    def look(self) -> None:
        """Look once, and tell what is to be told."""
        shedder = self._inlet.shedder
        trades = shedder.trades.total()
        is_worse, self._trades = trades > self._trades, trades
        shut = len(shedder.holes)
        news = self._trouble.look(self._monotonic_us(), is_bad=is_worse or shut > 0, at_once=is_worse)
        if news is News.BEGUN:
            body = (
                f"Events come faster than they are processed: {trades} trades and {shedder.books.total()} book changes were "
                f"dropped since the start, {shut} books are unknown now. Rules that need them cannot tell. "
                "Watch fewer markets on this machine."
            )
            self._announce("overload", "guard does not keep up", body, Level.DANGER)
        elif news is News.OVER:
            self._announce("overload", "guard keeps up again", "No events are dropped.", Level.NORMAL)
