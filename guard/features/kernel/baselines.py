"""Baselines: what a market usually shows, as decayed histograms with logarithmic buckets."""

from __future__ import annotations

from math import exp, floor, log1p, log2, sqrt
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.blocks import copy
from guard.features.kernel.sizes import BASELINE_ANSWERS, BASELINE_BUCKETS, BASELINE_HEAD, BASELINE_SIZE

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = [
    "HIGH",
    "LOW",
    "MEAN",
    "MEDIAN",
    "MIDDLE",
    "SD",
    "close_bins",
    "end_past",
    "mark_bins",
    "observe",
    "past",
    "rebase_marks",
]

# Places in a baseline's head.
WEIGHT: Final = 0
TOTAL: Final = 1
ZEROS: Final = 2
SHIFT: Final = 3
MARK: Final = 4
PENDING: Final = 5
MEDIAN: Final = BASELINE_ANSWERS
MEAN: Final = BASELINE_ANSWERS + 1
SD: Final = BASELINE_ANSWERS + 2
HIGH: Final = BASELINE_ANSWERS + 3
SEEN: Final = BASELINE_ANSWERS + 4
PAST_BIN: Final = BASELINE_ANSWERS + 5
PAST_SUM: Final = BASELINE_ANSWERS + 6
LOW: Final = BASELINE_ANSWERS + 7
MIDDLE: Final = BASELINE_ANSWERS + 8
_QUANTILE: Final = 0.999
# What nine of ten observations reach, and what half of them do.
_LOW_SHARE: Final = 0.9
_MIDDLE_SHARE: Final = 0.5
_TAIL_MIN: Final = 8.0
_BINS_MIN: Final = 80.0
_NON_EMPTY_MIN: Final = 30.0
_WEIGHT_MAX: Final = 1e12
_AGE_MAX: Final = 20.0
_STALE_SHARE: Final = 0.01
_FOLDED_MAX: Final = 0.1
# More than any float has.
_OCTAVES_MAX: Final = 1100.0


def mark_bins(x: Floats, i: Integers, p: Integers, at: int) -> None:
    """Begin the open bin of every baseline at the present totals."""
    upcoming = s.NEVER
    first = p[s.P_BASELINES]
    for b in range(first, first + p[s.P_BASELINE_COUNT] * s.BASELINE_STRIDE, s.BASELINE_STRIDE):
        source = p[b + s.B_SOURCE]
        if source >= 0:
            bin_us = p[b + s.B_BIN_US]
            number = at // bin_us
            i[p[b + s.B_SLOT]] = number
            x[p[b + s.B_OFFSET] + MARK] = x[source]
            upcoming = min(upcoming, (number + 1) * bin_us)
    i[s.NEXT_CLOSE] = upcoming


def close_bins(x: Floats, i: Integers, p: Integers, q: Floats, at: int) -> None:
    """Feed every bin that time has passed; a bin that began before a gap ended is left out."""
    upcoming = s.NEVER
    first = p[s.P_BASELINES]
    for b in range(first, first + p[s.P_BASELINE_COUNT] * s.BASELINE_STRIDE, s.BASELINE_STRIDE):
        source = p[b + s.B_SOURCE]
        if source < 0:
            continue
        bin_us = p[b + s.B_BIN_US]
        slot = p[b + s.B_SLOT]
        opened = i[slot]
        end = (opened + 1) * bin_us
        if at >= end:
            now = at // bin_us
            mark = p[b + s.B_OFFSET] + MARK
            since = i[p[b + s.B_SINCE]]
            # The bin in which a stream began is no whole one; the empty ones after it are.
            if opened >= 0 and end > since:
                if end - bin_us >= since:
                    _observe_bin(x, p, q, b, x[source] - x[mark])
                if now > opened + 1:
                    _observe_empty(x, p, q, b, float(now - opened - 1))
            i[slot] = now
            x[mark] = x[source]
            end = (now + 1) * bin_us
        if end < upcoming:
            upcoming = end
    i[s.NEXT_CLOSE] = upcoming


def _observe_bin(x: Floats, p: Integers, q: Floats, b: int, value: float) -> None:
    """Observe one bin."""
    observe(x, p, q, b, value, 1.0, p[b + s.B_BIN_US] / p[b + s.B_DECAY_US])


def _observe_empty(x: Floats, p: Integers, q: Floats, b: int, count: float) -> None:
    """Observe bins in which nothing happened."""
    observe(x, p, q, b, 0.0, count, count * p[b + s.B_BIN_US] / p[b + s.B_DECAY_US])


def past(x: Floats, p: Integers, q: Floats, at: int, source: int, growth: float) -> None:
    """Feed one trade of the past, oldest first, by which `source` grew. Each baseline keeps an open bin of the past."""
    first = p[s.P_BASELINES]
    for b in range(first, first + p[s.P_BASELINE_COUNT] * s.BASELINE_STRIDE, s.BASELINE_STRIDE):
        if p[b + s.B_SOURCE] == source:
            offset = p[b + s.B_OFFSET]
            number = float(at // p[b + s.B_BIN_US])
            if number > x[offset + PAST_BIN]:
                _close_past(x, p, q, b, number)
                x[offset + PAST_BIN] = number
            if number == x[offset + PAST_BIN]:
                x[offset + PAST_SUM] += growth


def end_past(x: Floats, p: Integers, q: Floats) -> None:
    """Close the open bins of the past."""
    first = p[s.P_BASELINES]
    for b in range(first, first + p[s.P_BASELINE_COUNT] * s.BASELINE_STRIDE, s.BASELINE_STRIDE):
        offset = p[b + s.B_OFFSET]
        _close_past(x, p, q, b, x[offset + PAST_BIN] + 1.0)
        x[offset + PAST_BIN] = 0.0


def _close_past(x: Floats, p: Integers, q: Floats, b: int, number: float) -> None:
    """Observe the past's open bin, and the empty ones up to bin `number`."""
    offset = p[b + s.B_OFFSET]
    opened = x[offset + PAST_BIN]
    if opened > 0.0:
        _observe_bin(x, p, q, b, x[offset + PAST_SUM])
        if number > opened + 1.0:
            _observe_empty(x, p, q, b, number - opened - 1.0)
    x[offset + PAST_SUM] = 0.0


def observe(x: Floats, p: Integers, q: Floats, b: int, value: float, count: float, age: float) -> None:
    """Add `count` observations of `value`, >= 0, to the baseline whose record begins at `b`; all earlier ones lose exp(-age)."""
    offset = p[b + s.B_OFFSET]
    weight = x[offset + WEIGHT] * exp(age if age < _AGE_MAX else _AGE_MAX)
    if weight > _WEIGHT_MAX:
        _rescale(x, offset, weight)
        weight = 1.0
    if count > 1.0 and age > 0.0:
        # Of a long run of equal observations the first ones have already faded.
        count *= (1.0 - exp(-age)) / age
    share = weight * count
    total = x[offset + TOTAL] + share
    pending = x[offset + PENDING] + count
    x[offset + WEIGHT] = weight
    x[offset + TOTAL] = total
    x[offset + PENDING] = pending
    if value > 0.0:
        # An infinite value is no number of a bucket.
        octaves = log2(value)
        bucket = _bucket(x, offset, floor((octaves if octaves < _OCTAVES_MAX else _OCTAVES_MAX) * p[b + s.B_PER_OCTAVE]))
        x[offset + BASELINE_HEAD + bucket] += share
        x[offset + SEEN] += share
    else:
        x[offset + ZEROS] += share
    # The answer moves by about the share of new observations, so it is renewed when that is 1 %.
    if pending * weight >= _STALE_SHARE * total:
        _refresh(x, q, offset, p[b + s.B_TABLE], p[b + s.B_ASKS])
        if p[b + s.B_ASKS] & s.LOWS:
            _descend(x, q, offset, p[b + s.B_TABLE])


def _rescale(x: Floats, offset: int, weight: float) -> None:
    """Let the newest observation weigh 1 again."""
    x[offset + TOTAL] /= weight
    x[offset + ZEROS] /= weight
    x[offset + SEEN] /= weight
    for at in range(offset + BASELINE_HEAD, offset + BASELINE_SIZE):
        x[at] /= weight


def _bucket(x: Floats, offset: int, number: int) -> int:
    """Return the place of bucket `number`, after making room for it."""
    if x[offset + SEEN] == 0.0:
        x[offset + SHIFT] = float(number - BASELINE_BUCKETS // 2)
    place = number - int(x[offset + SHIFT])
    if place >= BASELINE_BUCKETS:
        place -= _make_room(x, offset, place - BASELINE_BUCKETS + 1)
    if place < 0:
        return 0
    return place if place < BASELINE_BUCKETS else BASELINE_BUCKETS - 1


def _make_room(x: Floats, offset: int, count: int) -> int:
    """Move the buckets down by `count`, folding the lowest ones, and return by how many.

    Where that would fold a tenth of all, the value is an outlier and nothing moves: one absurd print must not erase the past.
    """
    if count >= BASELINE_BUCKETS:
        return 0
    start = offset + BASELINE_HEAD
    end = start + BASELINE_BUCKETS
    folded = 0.0
    for at in range(start, start + count):
        folded += x[at]
    if folded > _FOLDED_MAX * x[offset + SEEN]:
        return 0
    x[start + count] += folded
    copy(x, start, start + count, BASELINE_BUCKETS - count)
    for at in range(end - count, end):
        x[at] = 0.0
    x[offset + SHIFT] += float(count)
    return count


def _refresh(x: Floats, q: Floats, offset: int, table: int, asks: int) -> None:
    """Work out median, high quantile and, where `asks` has `slots.MOMENTS`, mean and deviation."""
    x[offset + PENDING] = 0.0
    weight = x[offset + WEIGHT]
    total = x[offset + TOTAL]
    seen = x[offset + SEEN]
    x[offset + MEDIAN] = s.NAN
    x[offset + MEAN] = s.NAN
    x[offset + SD] = s.NAN
    x[offset + HIGH] = s.NAN
    start = offset + BASELINE_HEAD
    middles = _middles(x, offset, table)
    tail = max((1.0 - _QUANTILE) * total, _TAIL_MIN * weight)
    half = 0.5 * seen
    nearest = min(tail, half)
    reached = 0.0
    high = 0.0
    median = s.NAN
    end = start + BASELINE_BUCKETS
    while end > start and x[end - 1] == 0.0:
        end -= 1
    for place in range(end - 1, start - 1, -1):
        reached += x[place]
        if reached >= nearest:
            if reached >= tail and high == 0.0:
                high = q[middles + 2 * place + 1]
            if reached >= half and median != median:
                median = q[middles + 2 * place]
            if high > 0.0 and median > 0.0:
                break
            nearest = max(tail, half)
    if total >= _BINS_MIN * weight:
        x[offset + HIGH] = high
    if median == median and seen >= _NON_EMPTY_MIN * weight:
        x[offset + MEDIAN] = median
        if asks & s.MOMENTS:
            _deviate(x, q, offset, middles, end)


def _middles(x: Floats, offset: int, table: int) -> int:
    """Return m such that the middle of the bucket at `place` is q[m + 2 * place], its lower edge before and its upper edge after.

    The table ends where no market's numbers are.
    """
    lowest = min(max(s.BUCKET_BASE + 2 * int(x[offset + SHIFT]), 0), s.BUCKET_COUNT - 2 * BASELINE_BUCKETS - 1)
    return table + lowest + 1 - 2 * (offset + BASELINE_HEAD)


def _deviate(x: Floats, q: Floats, offset: int, middles: int, end: int) -> None:
    """Work out mean and deviation of log1p(value / median); buckets from `end` on are empty."""
    median = x[offset + MEDIAN]
    total = x[offset + TOTAL]
    mean = 0.0
    square = 0.0
    for place in range(offset + BASELINE_HEAD, end):
        share = x[place]
        if share > 0.0:
            value = log1p(q[middles + 2 * place] / median)
            weighed = share * value
            mean += weighed
            square += weighed * value
    mean /= total
    x[offset + MEAN] = mean
    x[offset + SD] = sqrt(max(0.0, square / total - mean * mean))


def _descend(x: Floats, q: Floats, offset: int, table: int) -> None:
    """Work out low quantile and median with zeros among the observations."""
    middles = _middles(x, offset, table)
    total = x[offset + TOTAL]
    weight = x[offset + WEIGHT]
    low = 0.0
    middle = 0.0
    reached = 0.0
    for place in range(offset + BASELINE_SIZE - 1, offset + BASELINE_HEAD - 1, -1):
        before = reached
        reached += x[place]
        if before < _MIDDLE_SHARE * total <= reached:
            middle = q[middles + 2 * place]
        if before < _LOW_SHARE * total <= reached:
            low = q[middles + 2 * place - 1]
            break
    x[offset + LOW] = low if total >= _BINS_MIN * weight else s.NAN
    x[offset + MIDDLE] = middle if total >= _NON_EMPTY_MIN * weight else s.NAN


def rebase_marks(x: Floats, p: Integers) -> None:
    """Move the marks of open bins before the totals begin at 0 again."""
    first = p[s.P_BASELINES]
    for b in range(first, first + p[s.P_BASELINE_COUNT] * s.BASELINE_STRIDE, s.BASELINE_STRIDE):
        source = p[b + s.B_SOURCE]
        if source >= 0:
            x[p[b + s.B_OFFSET] + MARK] -= x[source]
