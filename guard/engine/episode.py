"""The level of one rule on one market, from the moment it leaves normal until it is clear."""

from __future__ import annotations

from typing import Any

from guard.engine.stopwatch import Stopwatch
from guard.model import Level

__all__ = ["UNKNOWN_AFTER_US", "Episode"]

# A required factor that turns unknown freezes level and timers; after 30 s the rule is said to be unknown.
UNKNOWN_AFTER_US = 30_000_000
_RISING = (Level.CRITICAL, Level.DANGER, Level.WARNING)


def _stopwatches() -> tuple[dict[Level, Stopwatch], Stopwatch]:
    return {level: Stopwatch() for level in _RISING}, Stopwatch()


_UNTOLD = _stopwatches()


class Episode:
    """Hysteresis of one rule on one market.

    Parameters
    ----------
    for_us
        How long a level must be reached before it is entered, microseconds, >= 0.
    clear_for_us
        How long the clear condition must hold before the level returns to normal, microseconds, >= 0.

    Notes
    -----
    The level only rises during an episode. While the candidate level is unknown, level and timers stand still.

    Examples
    --------
    >>> episode = Episode(for_us=2, clear_for_us=5)
    >>> [episode.update(t, Level.DANGER, clears=False) for t in (0, 1, 2)]
    [False, False, True]
    >>> episode.level, episode.started_us
    (<Level.DANGER: 2>, 2)
    """

    __slots__ = ("_is_idle", "_watches", "clear_for_us", "for_us", "is_open", "level", "started_us", "unknown_since_us")

    def __init__(self, *, for_us: int, clear_for_us: int) -> None:
        self.for_us = for_us
        self.clear_for_us = clear_for_us
        self.level = Level.NORMAL
        self.started_us = 0
        self.unknown_since_us: int | None = None
        # There while a level is reached: most episodes seldom need them, and many are made when rules are swapped.
        self._watches: tuple[dict[Level, Stopwatch], Stopwatch] | None = None
        self._is_idle = False
        # Whether time alone may change something: an episode runs, or a level is being entered.
        self.is_open = False

    def update(self, at_us: int, candidate: Level | None, *, clears: bool | None) -> bool:
        """Take what the rule says at `at_us`: the level its score reaches now (None unknown), and whether it is clear.

        Returns whether the level changed.
        """
        if candidate is not None:
            self.unknown_since_us = None
        elif self.unknown_since_us is None:
            self.unknown_since_us = at_us
        before = self.level
        if self._watches is None and not candidate:
            # Level.NORMAL, or unknown while nothing is reached: no stopwatch has anything to tell.
            self._is_idle = candidate is not None
            return False
        self._rise(at_us, candidate)
        if self.level is not Level.NORMAL:
            self._clear(at_us, clears=clears if candidate is not None else None)
        self._is_idle = candidate is Level.NORMAL and self.level is Level.NORMAL
        if self._is_idle:
            self._watches, self.is_open = None, False
        else:
            self._open()
        return self.level is not before

    def _started(self) -> tuple[dict[Level, Stopwatch], Stopwatch]:
        """Return the stopwatches of the levels that may be entered, and the one of the way back."""
        if self._watches is None:
            self._watches = _stopwatches()
        return self._watches

    def _rise(self, at_us: int, candidate: Level | None) -> None:
        rising, clearing = self._started()
        for level, watch in rising.items():
            watch.update(at_us, truth=None if candidate is None else candidate >= level)
        reached = next((level for level, watch in rising.items() if watch.has_held(self.for_us)), Level.NORMAL)
        if reached > self.level:
            if self.level is Level.NORMAL:
                self.started_us = at_us
            self.level = reached
            clearing.reset()

    def _clear(self, at_us: int, *, clears: bool | None) -> None:
        rising, clearing = self._started()
        clearing.update(at_us, truth=clears)
        if clearing.has_held(self.clear_for_us):
            self.level = Level.NORMAL
            clearing.reset()
            for watch in rising.values():
                watch.reset()

    def is_unknown(self, at_us: int) -> bool:
        """Whether the rule has been unable to tell for long enough to say so."""
        return self.unknown_since_us is not None and at_us - self.unknown_since_us >= UNKNOWN_AFTER_US

    @property
    def is_idle(self) -> bool:
        """Whether a rule that does not fire has nothing to change here."""
        return self._is_idle

    @property
    def is_free(self) -> bool:
        """Whether turning unknown, and known and at no level again, changes nothing but `unknown_since_us`."""
        if self.level is not Level.NORMAL:
            return False
        return self._watches is None or not any(watch.elapsed_us or watch.truth for watch in self._watches[0].values())

    def turn(self, unknown_since_us: int | None) -> None:
        """Take over since when a free episode is unknown; None: it is known, and at no level."""
        self.unknown_since_us = unknown_since_us
        self._watches, self._is_idle = None, unknown_since_us is None

    def _open(self) -> None:
        is_rising = self._watches is not None and any(watch.truth is True for watch in self._watches[0].values())
        self.is_open = is_rising or self.level is not Level.NORMAL

    @property
    def due_us(self) -> int | None:
        """When the level changes if nothing else does; None where nothing is pending."""
        rising, clearing = self._started()
        entries = [watch.due_us(self.for_us) for level, watch in rising.items() if level > self.level]
        if self.level is not Level.NORMAL:
            entries.append(clearing.due_us(self.clear_for_us))
        return min((due for due in entries if due is not None), default=None)

    def held_us(self, at_us: int) -> dict[Level, int]:
        """Return for how long each level has been reached at `at_us`."""
        return {level: watch.held_us(at_us) for level, watch in (self._watches or _UNTOLD)[0].items()}

    def clear_us(self, at_us: int) -> int:
        """Return for how long the clear condition has held at `at_us`."""
        return (self._watches or _UNTOLD)[1].held_us(at_us)

    def save(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        rising, clearing = self._watches or _UNTOLD
        return {
            "level": int(self.level),
            "started_us": self.started_us,
            "unknown_since_us": self.unknown_since_us,
            "rising": [watch.save() for watch in rising.values()],
            "clearing": clearing.save(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `save` returned."""
        self.level = Level(state["level"])
        self.started_us = state["started_us"]
        self.unknown_since_us = state["unknown_since_us"]
        saved = (*state["rising"], state["clearing"])
        self._watches, self._is_idle = None, False
        if self.level is not Level.NORMAL or any(elapsed_us or truth for elapsed_us, _, truth in saved):
            rising, clearing = self._started()
            for watch, each in zip((*rising.values(), clearing), saved, strict=True):
                watch.restore(each)
        self._open()
