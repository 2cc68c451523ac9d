"""The curve of the day of one market: every minute kept between the values that the minutes' median allows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from features.oracle.answers import Answer

if TYPE_CHECKING:
    from fractions import Fraction

__all__ = ["Hours"]

HOUR_MINUTES = 60
MINUTES_MIN = 30
SILENT_HOURS_MAX = 168
DAY_FADE = math.exp(-1 / 28)
DAYS_HALF = 17
ANY = Answer(-100, 100, is_sure=False)


class Minutes(NamedTuple):
    """`count` minutes of an hour, each of a value between two others; those that are not sure may be missing."""

    low: float
    high: float
    count: int
    is_sure: bool


class Day(NamedTuple):
    """One hour of one day: the sum of its minutes' values, between two numbers, and how many there were."""

    low: float
    high: float
    count: int
    has_doubts: bool


class Hours:
    """What a market did at each hour of each day."""

    def __init__(self) -> None:
        self.days: dict[int, list[Day]] = {}
        self.is_open_to_doubt = False
        self._hour = 0
        self._open: list[Minutes] = []

    def minute(self, number: int, turnover: Fraction, median: Answer | None) -> None:
        """Take a minute that is over."""
        if median is None:
            return
        low, high = (math.log1p(turnover / middle) if middle else 100.0 for middle in (median.high, median.low))
        self._add(number // HOUR_MINUTES, Minutes(low, high, 1, median.is_sure))

    def silence(self, begin: int, end: int, median: Answer | None) -> None:
        """Take the minutes from `begin` to before `end`, all empty."""
        if median is None or begin >= end:
            return
        least = (end - 1) // HOUR_MINUTES - SILENT_HOURS_MAX
        for hour in range(max(begin // HOUR_MINUTES, least), (end - 1) // HOUR_MINUTES + 1):
            count = min(end, (hour + 1) * HOUR_MINUTES) - max(begin, hour * HOUR_MINUTES)
            self._add(hour, Minutes(0.0, 0.0, count, median.is_sure))

    def pass_to(self, minute: int) -> None:
        """Let time come to a minute: the hours before it are over."""
        if minute // HOUR_MINUTES != self._hour:
            self._end(minute // HOUR_MINUTES)

    def _add(self, hour: int, minutes: Minutes) -> None:
        if hour != self._hour:
            self._end(hour)
        self._open.append(minutes)

    def _end(self, upcoming: int) -> None:
        """End the open hour; where it may or may not have half of its minutes, nothing is sure from now on."""
        least = sum(each.count for each in self._open if each.is_sure)
        count = sum(each.count for each in self._open)
        if count >= MINUTES_MIN:
            self.is_open_to_doubt |= least < MINUTES_MIN
            low, high = (sum(each[part] * each.count for each in self._open) for part in (0, 1))
            self.days.setdefault(self._hour % 24, []).append(Day(low, high, count, least < count))
        self._hour, self._open = upcoming, []

    def _mean(self, hour: int) -> tuple[float, float]:
        """Return between which values the mean of an hour of the day lies."""
        days = self.days[hour]
        if any(day.has_doubts for day in days):
            return 0.0, max(day.high / day.count for day in days) * 2
        fades = [DAY_FADE ** (len(days) - 1 - number) for number in range(len(days))]
        minutes = sum(day.count * fade for day, fade in zip(days, fades, strict=True))
        low, high = (sum(day[part] * fade for day, fade in zip(days, fades, strict=True)) / minutes for part in (0, 1))
        return low, high

    def shift(self, hour: int) -> Answer:
        """Return how much an hour of the day differs, while the exchange's curve is not known."""
        if self.is_open_to_doubt:
            return ANY
        if hour not in self.days:
            return Answer(0, 0)
        days = sum(DAY_FADE**number for number in range(len(self.days[hour])))
        means = [self._mean(each) for each in self.days]
        low, high = self._mean(hour)
        share = days / (days + DAYS_HALF)
        level_low, level_high = (math.fsum(mean[part] for mean in means) / len(means) for part in (0, 1))
        return Answer(share * (low - level_high) - 1e-9, share * (high - level_low) + 1e-9)
