"""How long to wait before the next attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.model.ports import Random

__all__ = ["Backoff"]


class Backoff:
    """Full jitter: a random part of a ceiling that doubles with each attempt.

    Parameters
    ----------
    random
        Source of chance.
    first_s
        Ceiling of the first delay, and least delay of all later ones' ceilings. Seconds, > 0.
    most_s
        Largest ceiling. Seconds, >= `first_s`.
    settled_s
        Seconds of data after which the attempts are forgotten. A connection that dies sooner is still failing.

    Notes
    -----
    Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, random: Random, *, first_s: float = 0.5, most_s: float = 60.0, settled_s: float = 60.0) -> None:
        self.attempts = 0
        self._random = random
        self._first_s = first_s
        self._most_s = most_s
        self._settled_s = settled_s

    def next_s(self, *, delivered_s: float = 0.0) -> float:
        """Return seconds to wait, given how long data flowed before this failure."""
        if delivered_s >= self._settled_s:
            self.attempts = 0
        ceiling = min(self._most_s, self._first_s * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        return self._random.random() * ceiling
