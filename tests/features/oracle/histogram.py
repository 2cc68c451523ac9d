"""Baselines: every observation kept with its exact weight, and the answers that the documented bounds allow."""

from __future__ import annotations

import math
from typing import NamedTuple

from features.oracle.answers import Answer, Number

__all__ = ["Between", "Histogram", "Observation"]

# A run of equal observations is weighed by an integral: half a bin's fading off, at most .15 %. Twice that is allowed.
WEIGHT_SHARE = 0.003
STALE_SHARE = 0.0101
TAIL = 0.001
TAIL_MIN = 8.0
LOW = 0.9
BINS_MIN = 80.0
NON_EMPTY_MIN = 30.0


class Observation(NamedTuple):
    """`count` equal observations, the last of which was made at age `born`; `weight` is their sum of weights then."""

    value: float
    count: float
    weight: float
    born: float


class Histogram:
    """All that was observed; one observation ages those before it by `step` (its length over the time of decay)."""

    def __init__(self, step: float, per_octave: int) -> None:
        self.step = step
        self.width = 2 ** (1 / per_octave)
        self.kept: list[Observation] = []
        self.age = 0.0
        self._at = 0
        self._moments: list[list[tuple[float, float]]] = []

    def observe(self, value: Number, count: float = 1.0) -> None:
        if count <= 0:
            return
        self.age += count * self.step
        weight = count if count <= 1 else -math.expm1(-count * self.step) / -math.expm1(-self.step)
        self.kept.append(Observation(float(value), weight, weight, self.age))

    def moments(self) -> list[list[tuple[float, float]]]:
        """Return what was known, (value, weight) greatest first, at each moment at which the answer may last have been renewed."""
        if self._at != len(self.kept):
            self._at, self._moments = len(self.kept), self._possible()
        return self._moments

    def _possible(self) -> list[list[tuple[float, float]]]:
        total = sum(item.weight * math.exp(item.born - self.age) for item in self.kept)
        order = sorted(range(len(self.kept)), key=lambda number: -self.kept[number].value)
        weights = [item.weight * math.exp(item.born - self.age) for item in self.kept]
        found, pending = [], 0.0
        for end in range(len(self.kept), 0, -1):
            grown = math.exp(self.age - self.kept[end - 1].born)
            found.append([(self.kept[number].value, weights[number] * grown) for number in order if number < end])
            pending += self.kept[end - 1].count
            if pending >= STALE_SHARE * total:
                break
        return found

    def high(self) -> Answer | None:
        """Return the highest quantile known, up to 99.9 %: known from 80 observations, and from 8 at or above it."""
        spans = []
        for rows in self.moments():
            total = sum(weight for _, weight in rows)
            spans.append(_unless(total, BINS_MIN, *self._reached(rows, max(TAIL * total, TAIL_MIN))))
        return _joined([span and Answer(span.low, span.high * self.width, span.is_sure) for span in spans])

    def low(self) -> Answer | None:
        """Return the greatest value that 90 % reach, zeros among them; known from 80 observations."""
        return self._held(LOW, BINS_MIN, 1 / self.width, 1.0)

    def middle(self) -> Answer | None:
        """Return the greatest value that half of all reach, zeros among them; known from 30 observations."""
        half = math.sqrt(self.width)
        return self._held(0.5, NON_EMPTY_MIN, 1 / half, half)

    def _held(self, share: float, least: float, below: float, above: float) -> Answer | None:
        spans = []
        for rows in self.moments():
            total = sum(weight for _, weight in rows)
            low, high = self._reached(rows, share * total)
            spans.append(_unless(total, least, low * below, high * above))
        return _joined(spans)

    def median(self) -> Answer | None:
        """Return the median of what was not 0; known from 30 such observations."""
        return _joined([self._median(rows) for rows in self.moments()])

    def _median(self, rows: list[tuple[float, float]]) -> Answer | None:
        rows = [row for row in rows if row[0] > 0]
        seen = sum(weight for _, weight in rows)
        low, high = self._reached(rows, 0.5 * seen)
        half = math.sqrt(self.width)
        return _unless(seen, NON_EMPTY_MIN, low / half, high * half)

    def mean(self) -> Answer | None:
        """Return the mean of log(1 + value / median), zeros included."""
        return _joined([self._moment(rows, is_deviation=False) for rows in self.moments()])

    def deviation(self) -> Answer | None:
        """Return the standard deviation of log(1 + value / median), zeros included."""
        return _joined([self._moment(rows, is_deviation=True) for rows in self.moments()])

    def _moment(self, rows: list[tuple[float, float]], *, is_deviation: bool) -> Answer | None:
        middle = self._median(rows)
        if middle is None:
            return None
        median = math.sqrt(float(middle.low) * float(middle.high))
        total = math.fsum(weight for _, weight in rows)
        logs = [(math.log1p(value / median), weight) for value, weight in rows]
        mean = math.fsum(value * weight for value, weight in logs) / total
        # A value may be half a bucket off, the median as far as it is from the middle of what is allowed.
        reach = math.log(self.width) / 2 + math.log(float(middle.high) / float(middle.low)) / 2
        if not is_deviation:
            return Answer(mean - reach - 0.01, mean + reach + 0.01, middle.is_sure)
        deviation = math.sqrt(math.fsum(weight * (value - mean) ** 2 for value, weight in logs) / total)
        return Answer(max(0.0, deviation - reach - 0.01), deviation + reach + 0.01, middle.is_sure)

    def _reached(self, rows: list[tuple[float, float]], tail: float) -> tuple[float, float]:
        """Return the least and the greatest value at which the weight from above may reach `tail`; 0 where it does not."""
        low = high = 0.0
        above = 0.0
        for value, weight in rows:
            if value <= 0:
                break
            above += weight
            if not high and above >= tail * (1 - WEIGHT_SHARE):
                high = value
            if above >= tail * (1 + WEIGHT_SHARE):
                low = value
                break
        return low, high


class Between:
    """A histogram of values that are known to lie between two others: quantiles lie between those of these."""

    def __init__(self, step: float, per_octave: int) -> None:
        self.lower, self.upper = Histogram(step, per_octave), Histogram(step, per_octave)

    def observe(self, value: Answer, count: float) -> None:
        self.lower.observe(value.low, count)
        self.upper.observe(value.high, count)

    def low(self) -> Answer | None:
        """Return the greatest value that 90 % reach; known from 80 observations."""
        return _joined([self.lower.low(), self.upper.low()])

    def middle(self) -> Answer | None:
        """Return the greatest value that half reach; known from 30 observations."""
        return _joined([self.lower.middle(), self.upper.middle()])


def _unless(count: float, least: float, low: float, high: float) -> Answer | None:
    if count < least * (1 - WEIGHT_SHARE):
        return None
    return Answer(low, high, is_sure=count > least * (1 + WEIGHT_SHARE))


def _joined(spans: list[Answer | None]) -> Answer | None:
    known = [span for span in spans if span is not None]
    if not known:
        return None
    is_sure = len(known) == len(spans) and all(span.is_sure for span in known)
    return Answer(min(span.low for span in known), max(span.high for span in known), is_sure)
