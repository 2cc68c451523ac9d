"""The last 500 trades, at most 24 h: what wash trading leaves in them.

Each entry holds time, signed amount and price; totals over the kept trades move with each one that comes or goes. Counts are exact.
Sums of floats are added up anew once per turn of the ring, and when they have shrunk to a thousandth, so that what rounding leaves
stays below 1e-9 of them.

Sizes are counted in 1,021 buckets by a hash of their bits. Sizes that differ share a bucket by chance: of 500 different ones
the top bucket holds 4 or 5 instead of 1 (a share of .01), and their entropy reads .95 instead of 1.
"""

from __future__ import annotations

from math import frexp, log
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.digits import count_digits, count_tail, interval
from guard.features.kernel.sizes import PRINTS_CAP, PRINTS_PARTS, SIZE_BUCKETS

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = [
    "ENTROPIES", "add", "alternation", "expire", "path", "same_size_pairs", "size_entropy", "top_size", "turnover",
]  # fmt: skip

# Modulo a power of two all round sizes would share a bucket.
_LARGE_PRIME: Final = 1_000_003
_PRIME: Final = 1021
_PAIR_US: Final = 2_000_000.0
_DAY_US: Final = 86_400_000_000.0
# An entry: time (below 0, as its complement, where the side is unknown), amount (below 0 where sold), price (below 0 where trades
# before it are missing: it is no neighbour of the entry before it).
_AMOUNT: Final = 1
_PRICE: Final = 2
# Float `n` of the sizes packs three numbers of 10 bits: trades in bucket 2 n, those in 2 n + 1, and how many buckets hold n trades.
_SIZES: Final = PRINTS_CAP * PRINTS_PARTS
_BITS: Final = 10
_MOST: Final = (1 << _BITS) - 1
_HOLDERS: Final = 1048576.0
# Totals after the sizes.
_TOTALS: Final = _SIZES + SIZE_BUCKETS
_PAIRS: Final = _TOTALS
_TURNS: Final = _TOTALS + 1
_PATH: Final = _TOTALS + 2
_TURNOVER: Final = _TOTALS + 3
_ENTROPY: Final = _TOTALS + 4
_TOP: Final = _TOTALS + 5
_PATH_PEAK: Final = _TOTALS + 6
_TURNOVER_PEAK: Final = _TOTALS + 7
_HOLES: Final = _TOTALS + 8
_SHRUNK: Final = 1.0 / 1024.0
# Added and taken away again it rounds to steps of 2**-32. Sums of such numbers are exact: trades that go leave nothing behind.
_GRID: Final = 1572864.0
# What a bucket of n trades adds to the entropy sum: n log n. The plan's floats begin with it where prints are kept.
ENTROPIES: Final = (0.0, *((n * log(n) + _GRID) - _GRID for n in range(1, PRINTS_CAP + 1)))


def add(x: Floats, i: Integers, q: Floats, prints: int, price: float, amount: float, side: int, digits: int, tail: int) -> None:
    """Keep one trade; the oldest makes room.

    `price` is negative where trades before it are missing, `digits` and `tail` are -1 where nothing reads them.
    """
    if i[s.PRINTS_COUNT] == PRINTS_CAP:
        _drop(x, i, q, prints, digits, tail)
    count = i[s.PRINTS_COUNT]
    number = i[s.PRINTS_TAIL] + count
    entry = prints + (number % PRINTS_CAP) * PRINTS_PARTS
    at = float(i[s.AT]) if side != 0 else float(-1 - i[s.AT])
    signed = -amount if side < 0 else amount
    x[entry] = at
    x[entry + _AMOUNT] = signed
    x[entry + _PRICE] = price
    i[s.PRINTS_COUNT] = count + 1
    if count > 0:
        last = prints + ((number - 1) % PRINTS_CAP) * PRINTS_PARTS
        _link(x, prints, last, at, signed, price, 1.0)
        if digits >= 0 and price > 0.0:
            interval(x, digits, x[last], at, 1.0)
    _count(x, q, prints, _bucket(amount), 1)
    if digits >= 0:
        count_digits(x, digits, amount, 1.0)
    if tail >= 0:
        count_tail(x, tail, amount, 1)


def _link(x: Floats, prints: int, first: int, at: float, two: float, price: float, sign: float) -> None:
    """Let the totals grow (`sign` 1) or shrink (-1) by what a trade says beside the one before it, which stands at `first`."""
    one = x[first + _AMOUNT]
    x[prints + _TURNOVER] += sign * abs(price * two)
    if price < 0.0:
        x[prints + _HOLES] += sign
        return
    if (one < 0.0) != (two < 0.0) and x[first] >= 0.0 and at >= 0.0:
        x[prints + _TURNS] += sign
        if one == -two and at - x[first] <= _PAIR_US:
            x[prints + _PAIRS] += sign
    if price > 0.0:
        x[prints + _PATH] += sign * (abs(price - abs(x[first + _PRICE])) / price)


def _bucket(amount: float) -> int:
    """Return the bucket of a size: equal floats share it."""
    mantissa, exponent = frexp(amount)
    return (int(mantissa * 9007199254740992.0) % _LARGE_PRIME * 8191 + exponent * 131) % _PRIME


def _count(x: Floats, q: Floats, prints: int, bucket: int, change: int) -> None:
    """Let a bucket hold one trade more or less; the number of trades in the fullest one and the entropy sum follow."""
    sizes = prints + _SIZES
    place = sizes + (bucket >> 1)
    packed = int(x[place])
    shift = _BITS * (bucket & 1)
    held = (packed >> shift) & _MOST
    x[place] = float(packed + (change << shift))
    now = held + change
    if held > 0:
        x[sizes + held] -= _HOLDERS
    if now > 0:
        x[sizes + now] += _HOLDERS
    top = x[prints + _TOP]
    if now > top or (held == top and x[sizes + held] < _HOLDERS):
        x[prints + _TOP] = float(now)
    x[prints + _ENTROPY] += q[now] - q[held]


def _drop(x: Floats, i: Integers, q: Floats, prints: int, digits: int, tail_sizes: int) -> None:
    """Forget the oldest trade."""
    tail = i[s.PRINTS_TAIL]
    entry = prints + tail * PRINTS_PARTS
    _count(x, q, prints, _bucket(abs(x[entry + _AMOUNT])), -1)
    if digits >= 0:
        count_digits(x, digits, abs(x[entry + _AMOUNT]), -1.0)
    if tail_sizes >= 0:
        count_tail(x, tail_sizes, abs(x[entry + _AMOUNT]), -1)
    tail = (tail + 1) % PRINTS_CAP
    count = i[s.PRINTS_COUNT] - 1
    i[s.PRINTS_TAIL] = tail
    i[s.PRINTS_COUNT] = count
    if count == 0:
        return
    oldest = prints + tail * PRINTS_PARTS
    if digits >= 0 and x[oldest + _PRICE] > 0.0:
        interval(x, digits, x[entry], x[oldest], -1.0)
    # Totals peak just before they shrink.
    path_peak = x[prints + _PATH_PEAK]
    if x[prints + _PATH] > path_peak:
        path_peak = x[prints + _PATH]
        x[prints + _PATH_PEAK] = path_peak
    turnover_peak = x[prints + _TURNOVER_PEAK]
    if x[prints + _TURNOVER] > turnover_peak:
        turnover_peak = x[prints + _TURNOVER]
        x[prints + _TURNOVER_PEAK] = turnover_peak
    _link(x, prints, entry, x[oldest], x[oldest + _AMOUNT], x[oldest + _PRICE], -1.0)
    is_near = x[prints + _PATH] >= path_peak * _SHRUNK and x[prints + _TURNOVER] >= turnover_peak * _SHRUNK
    if tail == 0 or count == 1 or not is_near:
        _sum_anew(x, i, prints)


def _sum_anew(x: Floats, i: Integers, prints: int) -> None:
    """Add up path and turnover of the kept trades, oldest first."""
    tail = i[s.PRINTS_TAIL]
    walked = 0.0
    traded = 0.0
    last = prints + tail * PRINTS_PARTS
    for number in range(tail + 1, tail + i[s.PRINTS_COUNT]):
        entry = prints + (number % PRINTS_CAP) * PRINTS_PARTS
        price = x[entry + _PRICE]
        if price > 0.0:
            walked += abs(price - abs(x[last + _PRICE])) / price
        traded += abs(price * x[entry + _AMOUNT])
        last = entry
    x[prints + _PATH] = walked
    x[prints + _PATH_PEAK] = walked
    x[prints + _TURNOVER] = traded
    x[prints + _TURNOVER_PEAK] = traded


def expire(x: Floats, i: Integers, q: Floats, prints: int, digits: int, tail: int) -> None:
    """Forget trades older than 24 h."""
    at = float(i[s.AT])
    while i[s.PRINTS_COUNT] > 0:
        kept = x[prints + i[s.PRINTS_TAIL] * PRINTS_PARTS]
        if kept < 0.0:
            kept = -1.0 - kept
        if at - kept <= _DAY_US:
            return
        _drop(x, i, q, prints, digits, tail)


def _neighbours(x: Floats, i: Integers, prints: int) -> float:
    """Return how many of the kept trades follow another one without a hole between."""
    return float(i[s.PRINTS_COUNT] - 1) - x[prints + _HOLES]


def same_size_pairs(x: Floats, i: Integers, prints: int) -> float:
    """Return the share of trades that follow one of equal size and opposite side within 2 s."""
    pairs = _neighbours(x, i, prints)
    return x[prints + _PAIRS] / pairs if pairs > 0.0 else s.NAN


def alternation(x: Floats, i: Integers, prints: int) -> float:
    """Return the share of trades on the other side than the one before."""
    pairs = _neighbours(x, i, prints)
    return x[prints + _TURNS] / pairs if pairs > 0.0 else s.NAN


def path(x: Floats, i: Integers, prints: int) -> float:
    """Return the summed relative price changes from trade to trade."""
    return x[prints + _PATH] if _neighbours(x, i, prints) > 0.0 else s.NAN


def turnover(x: Floats, i: Integers, prints: int) -> float:
    """Return the quote volume of the kept trades but the oldest."""
    return x[prints + _TURNOVER] if i[s.PRINTS_COUNT] > 1 else s.NAN


def top_size(x: Floats, i: Integers, prints: int) -> float:
    """Return the share of the most frequent size."""
    count = i[s.PRINTS_COUNT]
    return x[prints + _TOP] / count if count > 0 else s.NAN


def size_entropy(x: Floats, i: Integers, prints: int) -> float:
    """Return the entropy of sizes over its largest possible value: 1 = all different, 0 = all the same."""
    count = i[s.PRINTS_COUNT]
    if count <= 1:
        return s.NAN
    spread = log(count)
    return min(1.0, max(0.0, (spread - x[prints + _ENTROPY] / count) / spread))
