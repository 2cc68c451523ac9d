"""Digits, round sizes, tail of sizes and even intervals of the kept trades: counts, so that trades that go leave nothing behind."""

from __future__ import annotations

from math import floor, frexp, log, log2, log10, sqrt
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.sizes import DIGITS_SIZE, PRINTS_CAP, PRINTS_PARTS, TAIL_SIZE

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["benford", "count_digits", "count_tail", "hill", "interval", "recount", "regularity", "round_share"]

# Number, sum and sum of squares of intervals in ms; sizes that are round; sizes that begin with 1, 2, ... 9. A day has 8.64e7 ms:
# the square is below 2**53.
_INTERVALS: Final = 0
_SUM: Final = 1
_SQUARES: Final = 2
_ROUND: Final = 3
_DIGITS: Final = 4
_MS: Final = 1_000.0
_INTERVALS_MIN: Final = 30.0
_TRADES_MIN: Final = 100
_TENS: Final = tuple(float(10**power) for power in range(23))
_TENS_MAX: Final = 22
_TEN: Final = 10.0
_LOG_2: Final = 0.30102999566398120
_UP: Final = 1.0 + 1e-12
_BENFORD: Final = tuple(log10(1.0 + 1.0 / digit) for digit in range(1, 10))
_ROUND_SHARE: Final = 1e-9
_LARGEST: Final = 1e300
# Sizes are counted in eighths of octaves from 2**-30 to 2**50, five counts of 10 bits in a float.
_PER_OCTAVE: Final = 8
_LOWEST: Final = -30 * _PER_OCTAVE
_PER_FLOAT: Final = 5
_BUCKETS: Final = _PER_FLOAT * TAIL_SIZE
_COUNT: Final = 1024
_TAIL_SHARE: Final = 10


def _first_digits(amount: float) -> float:
    """Return the amount times a power of ten, from 1 to 10, with one rounding."""
    _, exponent = frexp(amount)
    power = max(-_TENS_MAX, min(_TENS_MAX, floor((exponent - 1) * _LOG_2)))
    first = amount / _TENS[power] if power >= 0 else amount * _TENS[-power]
    if first >= _TEN and power < _TENS_MAX:
        power += 1
        first = amount / _TENS[power] if power >= 0 else amount * _TENS[-power]
    return first


def count_digits(x: Floats, digits: int, amount: float, sign: float) -> None:
    """Count a size that comes (`sign` 1) or goes (-1)."""
    if not 0.0 < amount < _LARGEST:
        return
    first = _first_digits(amount)
    digit = floor(first * _UP)
    if digit >= _TEN:
        digit = 1
    x[digits + _DIGITS + max(digit, 1) - 1] += sign
    two = 10.0 * first
    if abs(two - floor(two + 0.5)) <= _ROUND_SHARE * two:
        x[digits + _ROUND] += sign


def interval(x: Floats, digits: int, first: float, second: float, sign: float) -> None:
    """Count the time between a trade and the next; times are below 0, as complements, where the side is unknown."""
    begin = first if first >= 0.0 else -1.0 - first
    end = second if second >= 0.0 else -1.0 - second
    # Exact for whole microseconds below 2**53, and in compiled code a tenth of what `//` takes.
    lasted = float(floor(end / _MS) - floor(begin / _MS))
    if lasted > 0.0:
        x[digits + _INTERVALS] += sign
        x[digits + _SUM] += sign * lasted
        x[digits + _SQUARES] += sign * (lasted * lasted)


def count_tail(x: Floats, tail: int, amount: float, change: int) -> None:
    """Count a size that comes (`change` 1) or goes (-1) in its bucket."""
    bucket = 0
    if amount > 0.0:
        bucket = floor(_PER_OCTAVE * log2(min(amount, _LARGEST))) - _LOWEST
    bucket = max(0, min(_BUCKETS - 1, bucket))
    x[tail + bucket // _PER_FLOAT] += float(change << (10 * (bucket % _PER_FLOAT)))


def recount(x: Floats, i: Integers, prints: int, digits: int, tail: int) -> None:
    """Count all kept trades anew."""
    if digits >= 0:
        for at in range(digits, digits + DIGITS_SIZE):
            x[at] = 0.0
    if tail >= 0:
        for at in range(tail, tail + TAIL_SIZE):
            x[at] = 0.0
    if prints < 0:
        return
    last = -1
    for number in range(i[s.PRINTS_TAIL], i[s.PRINTS_TAIL] + i[s.PRINTS_COUNT]):
        entry = prints + (number % PRINTS_CAP) * PRINTS_PARTS
        amount = abs(x[entry + 1])
        if tail >= 0:
            count_tail(x, tail, amount, 1)
        if digits >= 0:
            count_digits(x, digits, amount, 1.0)
            if last >= 0 and x[entry + 2] > 0.0:
                interval(x, digits, x[last], x[entry], 1.0)
        last = entry


def regularity(x: Floats, digits: int) -> float:
    """Return the coefficient of variation of intervals above 0."""
    count = x[digits + _INTERVALS]
    if count < _INTERVALS_MIN:
        return s.NAN
    total = x[digits + _SUM]
    return sqrt(max(0.0, count * x[digits + _SQUARES] / (total * total) - 1.0))


def benford(x: Floats, i: Integers, digits: int) -> float:
    """Return the total variation between the first digits and Benford's law."""
    count = i[s.PRINTS_COUNT]
    if count < _TRADES_MIN:
        return s.NAN
    distance = 0.0
    for digit in range(9):
        distance += abs(x[digits + _DIGITS + digit] / count - _BENFORD[digit])
    return 0.5 * distance


def round_share(x: Floats, i: Integers, digits: int) -> float:
    """Return the share of sizes of at most two significant digits."""
    count = i[s.PRINTS_COUNT]
    return x[digits + _ROUND] / count if count >= _TRADES_MIN else s.NAN


def hill(x: Floats, i: Integers, tail: int) -> float:
    """Return Hill's exponent of the largest tenth of sizes."""
    count = i[s.PRINTS_COUNT]
    if count < _TRADES_MIN:
        return s.NAN
    largest = count // _TAIL_SHARE
    above = 0
    steps = 0
    for at in range(tail + TAIL_SIZE - 1, tail - 1, -1):
        if x[at] == 0.0:
            continue
        packed = int(x[at])
        for part in range(_PER_FLOAT - 1, -1, -1):
            held = (packed >> (10 * part)) & (_COUNT - 1)
            bucket = (at - tail) * _PER_FLOAT + part
            if above + held > largest:
                # The largest ones lie `steps` above bucket 0 together, the next one below them in this bucket.
                steps -= above * bucket
                return largest / (steps * log(2.0) / _PER_OCTAVE) if steps > 0 else s.NAN
            above += held
            steps += held * bucket
    return s.NAN
