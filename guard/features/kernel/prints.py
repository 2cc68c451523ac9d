"""The last 500 trades, at most 24 h: what wash trading leaves in them.

Each entry holds time, amount, side and the totals before it, so that a statistic is a difference of totals. Sizes are counted in
1,024 buckets by a hash of their bits.
"""

from __future__ import annotations

from math import frexp, log

from guard.features.kernel import slots as s
from guard.features.kernel.layout import PRINTS_CAP, PRINTS_PARTS, SIZE_BUCKETS

__all__ = ["add", "alternation", "expire", "path", "same_size_pairs", "size_entropy", "top_size", "turnover"]

# Modulo a power of two all round sizes would share a bucket.
_LARGE_PRIME = 1_000_003
_PRIME = 1021
_PAIR_US = 2_000_000
_DAY_US = 86_400_000_000
_AT, _AMOUNT, _SIDE, _PAIRS, _TURNS, _PATH, _TURNOVER, _PRICE = range(PRINTS_PARTS)
# Totals after the ring and the buckets.
_TOTALS = PRINTS_CAP * PRINTS_PARTS + SIZE_BUCKETS


def _bucket(prints: int, amount: float) -> int:
    """Return the bucket of a size: equal floats share it."""
    mantissa, exponent = frexp(amount)
    return prints + PRINTS_CAP * PRINTS_PARTS + (int(mantissa * 9007199254740992.0) % _LARGE_PRIME * 8191 + exponent * 131) % _PRIME


def _entry(i: list[int], prints: int, number: int) -> int:
    """Return the offset of the `number`-th oldest kept trade."""
    return prints + ((i[s.PRINTS_TAIL] + number) % PRINTS_CAP) * PRINTS_PARTS


def add(x: list[float], i: list[int], prints: int, price: float, amount: float, side: int) -> None:
    """Keep one trade; the oldest makes room."""
    if i[s.PRINTS_COUNT] == PRINTS_CAP:
        _drop(x, i, prints)
    totals = prints + _TOTALS
    if i[s.PRINTS_COUNT]:
        last = _entry(i, prints, i[s.PRINTS_COUNT] - 1)
        opposite = side * x[last + _SIDE] < 0
        x[totals] += opposite and x[last + _AMOUNT] == amount and i[s.AT] - x[last + _AT] <= _PAIR_US
        x[totals + 1] += opposite
        x[totals + 2] += abs(price - x[last + _PRICE]) / price
    x[totals + 3] += price * amount
    entry = _entry(i, prints, i[s.PRINTS_COUNT])
    x[entry : entry + PRINTS_PARTS] = [float(i[s.AT]), amount, float(side), *x[totals : totals + 4], price]
    i[s.PRINTS_COUNT] += 1
    bucket = _bucket(prints, amount)
    _count(x, totals, x[bucket], 1.0)
    x[bucket] += 1.0


def _count(x: list[float], totals: int, held: float, change: float) -> None:
    """Move the entropy sum, sum of n log n over buckets, by one trade."""
    after = held + change
    x[totals + 4] += (after * log(after) if after > 1.0 else 0.0) - (held * log(held) if held > 1.0 else 0.0)


def _drop(x: list[float], i: list[int], prints: int) -> None:
    """Forget the oldest trade."""
    bucket = _bucket(prints, x[_entry(i, prints, 0) + _AMOUNT])
    _count(x, prints + _TOTALS, x[bucket], -1.0)
    x[bucket] -= 1.0
    i[s.PRINTS_TAIL] = (i[s.PRINTS_TAIL] + 1) % PRINTS_CAP
    i[s.PRINTS_COUNT] -= 1
    if i[s.PRINTS_COUNT] <= 1:
        # The only exact moment: with at most one trade the sum is 0, whatever rounding left.
        x[prints + _TOTALS + 4] = 0.0


def expire(x: list[float], i: list[int], prints: int) -> None:
    """Forget trades older than 24 h."""
    while i[s.PRINTS_COUNT] and i[s.AT] - x[_entry(i, prints, 0)] > _DAY_US:
        _drop(x, i, prints)


def _grown(x: list[float], i: list[int], prints: int, part: int) -> float:
    """Return how much a total grew since the oldest kept trade, which itself has no forerunner."""
    return x[prints + _TOTALS + part - _PAIRS] - x[_entry(i, prints, 0) + part]


def same_size_pairs(x: list[float], i: list[int], prints: int) -> float:
    """Return the share of trades that follow one of equal size and opposite side within 2 s."""
    count = i[s.PRINTS_COUNT]
    return _grown(x, i, prints, _PAIRS) / (count - 1) if count > 1 else s.NAN


def alternation(x: list[float], i: list[int], prints: int) -> float:
    """Return the share of trades on the other side than the one before."""
    count = i[s.PRINTS_COUNT]
    return _grown(x, i, prints, _TURNS) / (count - 1) if count > 1 else s.NAN


def path(x: list[float], i: list[int], prints: int) -> float:
    """Return the summed relative price changes from trade to trade."""
    return _grown(x, i, prints, _PATH) if i[s.PRINTS_COUNT] > 1 else s.NAN


def turnover(x: list[float], i: list[int], prints: int) -> float:
    """Return the quote volume of the kept trades but the oldest."""
    return _grown(x, i, prints, _TURNOVER) if i[s.PRINTS_COUNT] > 1 else s.NAN


def top_size(x: list[float], i: list[int], prints: int) -> float:
    """Return the share of the most frequent size."""
    start = prints + PRINTS_CAP * PRINTS_PARTS
    count = i[s.PRINTS_COUNT]
    return max(x[start : start + SIZE_BUCKETS]) / count if count else s.NAN


def size_entropy(x: list[float], i: list[int], prints: int) -> float:
    """Return the entropy of sizes over its largest possible value: 1 = all different, 0 = all the same."""
    count = i[s.PRINTS_COUNT]
    if count <= 1:
        return s.NAN
    spread = log(count)
    return min(1.0, max(0.0, (spread - x[prints + _TOTALS + 4] / count) / spread))
