"""Baselines: what a market usually shows, as decayed histograms with logarithmic buckets."""

from __future__ import annotations

from math import exp, floor, fsum, log1p, log2, sqrt
from typing import TYPE_CHECKING

from guard.features.kernel import slots as s
from guard.features.kernel.layout import BASELINE_ANSWERS, BASELINE_BUCKETS, BASELINE_HEAD, BASELINE_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.features.kernel.layout import Baseline

__all__ = ["HIGH", "MEAN", "MEDIAN", "SD", "close_bins", "end_past", "mark_bins", "observe", "past", "rebase"]

# Places in a baseline's head.
WEIGHT, TOTAL, ZEROS, SHIFT, MARK, PENDING = range(6)
MEDIAN, MEAN, SD, HIGH = range(BASELINE_ANSWERS, BASELINE_ANSWERS + 4)
SEEN, PAST_BIN, PAST_SUM = range(BASELINE_ANSWERS + 4, BASELINE_ANSWERS + 7)
_QUANTILE = 0.999
_TAIL_MIN = 8.0
_BINS_MIN = 80.0
_NON_EMPTY_MIN = 30.0
_WEIGHT_MAX = 1e12
_AGE_MAX = 20.0
_STALE_SHARE = 0.01
_FOLDED_MAX = 0.1


def mark_bins(x: list[float], i: list[int], baselines: Sequence[Baseline], at: int) -> None:
    """Begin the open bin of every baseline at the present totals."""
    upcoming = s.NEVER
    for item in baselines:
        if item.source >= 0:
            i[item.slot] = at // item.bin_us
            x[item.offset + MARK] = x[item.source]
            upcoming = min(upcoming, (i[item.slot] + 1) * item.bin_us)
    i[s.NEXT_CLOSE] = upcoming


def close_bins(x: list[float], i: list[int], baselines: Sequence[Baseline], at: int) -> None:
    """Feed every bin that time has passed; a bin that began before a gap ended is left out."""
    upcoming = s.NEVER
    for item in baselines:
        _kind, _key, source, bin_us, decay_us, per_octave, offset, slot, since = item
        if source < 0:
            continue
        now = at // bin_us
        opened = i[slot]
        if now > opened:
            if opened >= 0 and opened * bin_us >= i[since]:
                observe(x, offset, per_octave, x[source] - x[offset + MARK], 1.0, bin_us / decay_us)
                if now - opened > 1:
                    empty = float(now - opened - 1)
                    observe(x, offset, per_octave, 0.0, empty, empty * bin_us / decay_us)
            i[slot] = now
            x[offset + MARK] = x[source]
        upcoming = min(upcoming, (i[slot] + 1) * bin_us)
    i[s.NEXT_CLOSE] = upcoming


def past(x: list[float], baselines: Sequence[Baseline], at: int, grown: Mapping[int, float]) -> None:
    """Feed one trade of the past, oldest first; `grown` tells by how much each source grew. Each baseline keeps an open bin."""
    for item in baselines:
        growth = grown.get(item.source)
        if growth is None:
            continue
        offset = item.offset
        number = float(at // item.bin_us)
        if number > x[offset + PAST_BIN]:
            _close_past(x, item, number)
            x[offset + PAST_BIN] = number
        if number == x[offset + PAST_BIN]:
            x[offset + PAST_SUM] += growth


def end_past(x: list[float], baselines: Sequence[Baseline]) -> None:
    """Close the open bins of the past."""
    for item in baselines:
        _close_past(x, item, x[item.offset + PAST_BIN] + 1.0)
        x[item.offset + PAST_BIN] = 0.0


def _close_past(x: list[float], item: Baseline, number: float) -> None:
    """Observe the past's open bin, and the empty ones up to bin `number`."""
    offset = item.offset
    opened = x[offset + PAST_BIN]
    if opened > 0.0:
        observe(x, offset, item.per_octave, x[offset + PAST_SUM], 1.0, item.bin_us / item.decay_us)
        empty = number - opened - 1.0
        if empty > 0.0:
            observe(x, offset, item.per_octave, 0.0, empty, empty * item.bin_us / item.decay_us)
    x[offset + PAST_SUM] = 0.0


def observe(x: list[float], offset: int, per_octave: int, value: float, count: float, age: float) -> None:
    """Add `count` observations of `value`, >= 0; all earlier ones lose exp(-age) of their weight."""
    weight = x[offset + WEIGHT] * exp(min(age, _AGE_MAX))
    if weight > _WEIGHT_MAX:
        for at in (TOTAL, ZEROS, SEEN):
            x[offset + at] /= weight
        for at in range(offset + BASELINE_HEAD, offset + BASELINE_SIZE):
            x[at] /= weight
        weight = 1.0
    if count > 1.0:
        # Of a long run of equal observations the first ones have already faded.
        count *= (1.0 - exp(-age)) / age
    x[offset + WEIGHT] = weight
    x[offset + TOTAL] += weight * count
    if value <= 0.0:
        x[offset + ZEROS] += weight * count
    else:
        bucket = floor(log2(value) * per_octave)
        if x[offset + SEEN] == 0.0:
            x[offset + SHIFT] = float(bucket - BASELINE_BUCKETS // 2)
        bucket -= int(x[offset + SHIFT])
        if bucket >= BASELINE_BUCKETS:
            bucket -= _make_room(x, offset, bucket - BASELINE_BUCKETS + 1)
        bucket = min(max(bucket, 0), BASELINE_BUCKETS - 1)
        x[offset + BASELINE_HEAD + bucket] += weight * count
        x[offset + SEEN] += weight * count
    x[offset + PENDING] += count
    # The answer moves by about the share of new observations, so it is renewed when that is 1 %.
    if x[offset + PENDING] * weight >= _STALE_SHARE * x[offset + TOTAL]:
        _refresh(x, offset, per_octave)


def _make_room(x: list[float], offset: int, count: int) -> int:
    """Move the buckets down by `count`, folding the lowest ones, and return by how many.

    Where that would fold a tenth of all, the value is an outlier and nothing moves: one absurd print must not erase the past.
    """
    start = offset + BASELINE_HEAD
    end = start + BASELINE_BUCKETS
    # `sum` rounds in another way from Python 3.12 on; verdicts must not follow.
    folded = fsum(x[start : start + count])
    if count >= BASELINE_BUCKETS or folded > _FOLDED_MAX * x[offset + SEEN]:
        return 0
    x[start + count] += folded
    x[start : end - count] = x[start + count : end]
    x[end - count : end] = [0.0] * count
    x[offset + SHIFT] += float(count)
    return count


def _refresh(x: list[float], offset: int, per_octave: int) -> None:
    """Work out median, mean, deviation and high quantile."""
    x[offset + PENDING] = 0.0
    weight = x[offset + WEIGHT]
    total = x[offset + TOTAL]
    seen = x[offset + SEEN]
    x[offset + MEDIAN] = x[offset + MEAN] = x[offset + SD] = x[offset + HIGH] = s.NAN
    buckets = x[offset + BASELINE_HEAD : offset + BASELINE_HEAD + BASELINE_BUCKETS]
    shift = x[offset + SHIFT]
    tail = max((1.0 - _QUANTILE) * total, _TAIL_MIN * weight)
    above = 0.0
    high = 0.0
    median = s.NAN
    for bucket in range(BASELINE_BUCKETS - 1, -1, -1):
        share = buckets[bucket]
        if share > 0.0:
            if above < tail <= above + share:
                high = 2.0 ** ((bucket + 1 + shift) / per_octave)
            if above < 0.5 * seen <= above + share:
                median = 2.0 ** ((bucket + 0.5 + shift) / per_octave)
            above += share
    if total >= _BINS_MIN * weight:
        x[offset + HIGH] = high
    if median != median or seen < _NON_EMPTY_MIN * weight:
        return
    mean = square = 0.0
    for bucket in range(BASELINE_BUCKETS):
        share = buckets[bucket]
        if share > 0.0:
            value = log1p(2.0 ** ((bucket + 0.5 + shift) / per_octave) / median)
            mean += share * value
            square += share * value * value
    mean /= total
    x[offset + MEDIAN] = median
    x[offset + MEAN] = mean
    x[offset + SD] = sqrt(max(0.0, square / total - mean * mean))


def rebase(x: list[float], baselines: Sequence[Baseline]) -> None:
    """Move the marks of open bins before the totals begin at 0 again."""
    for item in baselines:
        if item.source >= 0:
            x[item.offset + MARK] -= x[item.source]
