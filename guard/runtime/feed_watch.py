"""Tells people of an exchange that does not deliver, once, and of its return; looks after markets that come out of maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.model import DataState, Level, TargetKind
from guard.model.moments import utc
from guard.runtime.trouble import News, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model.ports import Clock
    from guard.pipeline import Pipeline
    from guard.runtime.feed import Feed

__all__ = ["FeedWatch"]

_SILENT: Final = frozenset({DataState.STALE, DataState.MAINTENANCE})


class FeedWatch:
    """Looks at the feeds now and then.

    Parameters
    ----------
    pipeline, clock
        Of the running guard.
    announce
        Tells people: a key, a title, a text and a level.
    show_book
        Asks the exchange for the whole book of a market.

    Notes
    -----
    An exchange that does not deliver is told after two minutes, an announced window of all of it at once, each with one message
    when it begins and one when data flows again. What goes wrong during a window is part of it.
    """

    def __init__(
        self, pipeline: Pipeline, clock: Clock, announce: Callable[[str, str, str, Level], None], show_book: Callable[[int], None]
    ) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._announce = announce
        self._show_book = show_book
        self._troubles: dict[str, Trouble] = {}
        self._announced: set[int] = set()

    def look(self, feeds: Sequence[Feed]) -> None:
        """Tell what began and what is over."""
        for feed in feeds:
            name = feed.plan.name
            window = self._window(name)
            silence = self._silence(feed)
            # Silence of all may be our own network: what is wrong with the connections says more then.
            is_ours = (feed.connector.health().details or {}).get("closed") == "silent"
            is_closed = silence is not None and DataState.MAINTENANCE in silence and not is_ours
            problem = window or (silence if is_closed else feed.trouble or silence)
            trouble = self._troubles.setdefault(name, Trouble())
            at_once = feed.is_misconfigured or window is not None
            news = trouble.look(self._clock.monotonic_us(), is_bad=problem is not None, at_once=at_once)
            if news is not None:
                self.tell(name, problem if news is News.BEGUN else None)
        self._show_books()

    def tell(self, exchange: str, problem: str | None) -> None:
        """Tell people that a feed failed, or is back."""
        if problem is None:
            self._announce(f"feed:{exchange}", f"{exchange} is back", f"The streams of {exchange} deliver again.", Level.NORMAL)
            return
        body = (
            f"{problem}. Bots get 'unknown' for its markets and, by default, open nothing there; exits always pass.\nguard status"
        )
        title = f"{exchange} is in maintenance" if "maintenance" in problem else f"{exchange} does not deliver"
        self._announce(f"feed:{exchange}", title, body, Level.DANGER)

    def _window(self, exchange: str) -> str | None:
        """Return the announced maintenance of a whole exchange that holds now."""
        now_us = self._pipeline.now_us
        for window in self._pipeline.windows.all():
            is_whole = window.target.kind is TargetKind.EXCHANGE and window.target.name == exchange
            if is_whole and window.from_us <= now_us < window.until_us:
                return f"maintenance until {utc(window.until_us)}, announced by {window.actor}: {window.reason}"
        return None

    def _silence(self, feed: Feed) -> str | None:
        """Return how many markets of a feed have no data now, where that is more than half."""
        now_us = self._clock.now_us()
        watched = self._pipeline.engine.watched
        states = [watched[row].health.state(now_us, is_covered=True, is_degraded=False) for row in feed.rows.values()]
        silent = [state for state in states if state in _SILENT]
        if 2 * len(silent) <= len(states):
            return None
        worst = max(set(silent), key=silent.count)
        return f"{len(silent)} of {len(states)} markets have no data ({worst})"

    def _show_books(self) -> None:
        """Ask for the book of markets that came out of an announced window: what they were before is not known to hold."""
        watched = self._pipeline.engine.watched
        announced = {row for row, each in enumerate(watched) if each.health.announced_until_us is not None}
        for row in self._announced - announced:
            self._show_book(row)
        self._announced = announced
