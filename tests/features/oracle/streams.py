"""When a stream was unbroken, and what a window covers: exact, from the GAP and STATUS rows."""

from __future__ import annotations

from bisect import bisect_left
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.oracle.answers import Number

__all__ = ["FULL_US", "SECOND", "Log", "Stream", "left_edge", "width_of"]

LADDER_S = (0.05, 0.25, 0.5, 1.5, 3, 15, 45, 90, 180, 540, 1_080, 2_160, 4_320)
SECOND = 1_000_000
FULL_US = 300 * SECOND


def width_of(window_us: int) -> int:
    """Return the length of a window's bins: the longest of the ladder of which it takes 20, or 40 where they do not fill it."""
    steps = [round(step * SECOND) for step in LADDER_S]
    return max(step for step in steps if step * (40 if window_us % step else 20) <= window_us or step == steps[0])


def left_edge(at_us: int, window_us: int) -> int:
    """Return where a window begins: the bin that holds its left end counts whole."""
    width = width_of(window_us)
    return (at_us - window_us) // width * width


class Log:
    """Amounts with the market time at which each was booked, in that order."""

    def __init__(self) -> None:
        self.times: list[int] = []
        self.amounts: list[Number] = []

    def add(self, at_us: int, amount: Number) -> None:
        self.times.append(at_us)
        self.amounts.append(amount)

    def since(self, at_us: int) -> list[Number]:
        return self.amounts[bisect_left(self.times, at_us) :]

    def between(self, from_us: int, to_us: int) -> list[Number]:
        return self.amounts[bisect_left(self.times, from_us) : bisect_left(self.times, to_us)]

    def before(self, at_us: int) -> Number | None:
        """Return the last amount booked before a time."""
        place = bisect_left(self.times, at_us)
        return self.amounts[place - 1] if place else None


class Stream:
    """One stream of one market: since when it is unbroken (None = it is not), when it began, what was lost."""

    def __init__(self) -> None:
        self.since: int | None = None
        self.began: int | None = None
        self.lost_at: int | None = None
        self.losses: list[tuple[int, int]] = []

    def begin(self, at_us: int) -> None:
        if self.since is not None:
            return
        self.since = at_us
        if self.began is None:
            self.began = at_us
        elif self.lost_at is not None:
            self.losses.append((self.lost_at, at_us))
        self.lost_at = None

    def end(self, at_us: int) -> bool:
        if self.since is None:
            return False
        self.since, self.lost_at = None, at_us
        return True

    def tear(self, at_us: int) -> bool:
        """Go on at once after a hole that ends now."""
        if self.since is None:
            return False
        self.since = at_us
        return True

    def gap(self, at_us: int, last_good: int) -> None:
        """Note what was lost in a hole that ends now, or, of a stream that is lost, since when it was."""
        if self.began is None:
            return
        good = max(last_good if last_good > 0 else at_us, self.began)
        if self.since is not None:
            self.losses.append((min(at_us, good), at_us))
        elif self.lost_at is not None:
            self.lost_at = min(self.lost_at, good)

    def keeps_hole(self, at_us: int, window_us: int) -> bool:
        """Whether the bin at the left edge of a short window began before a hole ended: a price there is none to compare with."""
        if self.since is None or window_us > FULL_US:
            return False
        return self.since != self.began and left_edge(at_us, window_us) < self.since

    def is_covered(self, at_us: int, window_us: int, watched_us: int) -> bool:
        """Whether a window may be read: all of it, above 5 min 90 %. A loss counts whole while its end is inside."""
        if self.since is None or self.began is None:
            return False
        if window_us <= FULL_US:
            return at_us - max(self.since, watched_us) >= window_us
        edge = left_edge(at_us, window_us)
        lost = sum(end - start for start, end in self.losses if end >= edge)
        lasted = min(at_us - max(self.began, watched_us), window_us)
        return Fraction(lasted - lost, window_us) >= Fraction(9, 10)

    def covered_us(self, at_us: int, window_us: int, watched_us: int) -> int:
        """Return how much of a window was covered, exactly."""
        if self.since is None or self.began is None:
            return 0
        start = max(at_us - window_us, self.began, watched_us)
        gone = sum(max(0, end - max(begin, start)) for begin, end in self.losses)
        return max(0, at_us - start - gone)
