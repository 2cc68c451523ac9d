"""How the fields of the reference market, of the kept prints and of the data itself are read."""

from __future__ import annotations

from math import log, sqrt
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.digits import benford, hill, regularity, round_share
from guard.features.kernel.prints import alternation, path, same_size_pairs, size_entropy, top_size, turnover
from guard.features.kernel.trades import EWMA_US, average_price
from guard.features.kernel.windows import coverage, edge

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = [
    "read_age",
    "read_beta",
    "read_corr",
    "read_counted",
    "read_coverage",
    "read_lag",
    "read_market_age",
    "read_prints_alternation",
    "read_prints_count",
    "read_prints_digits",
    "read_prints_entropy",
    "read_prints_pairs",
    "read_prints_path",
    "read_prints_top_size",
    "read_prints_turnover",
    "read_reference_gap",
    "read_reference_ret",
]

# A minute return of .1 %, 60 times: what holds beta at 1 until the market itself says otherwise.
_BETA_PRIOR: Final = 60 * 1e-6
# Minutes, counted by weight.
_CORR_MIN: Final = 30.0
# What `read_prints_digits` reads.
REGULARITY: Final = 0
BENFORD: Final = 1
ROUND: Final = 2
HILL: Final = 3


def read_counted(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the growth of column `a`: gaps, say, which are known even where they make everything else unknown."""
    if i[p[at + s.L_WINDOW + s.W_SLOT]] < 0:
        return s.NAN
    a = p[at + s.L_A]
    return x[a] - x[edge(i, p, at + s.L_WINDOW) + a]


def read_coverage(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the covered share of the window; `down` is the column of the time that trades lost."""
    return coverage(x, i, p, at + s.L_WINDOW, p[at + s.L_DOWN])


def read_market_age(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the time since the market was listed."""
    listed = i[s.LISTED]
    return float(i[s.AT] - listed) if 0 < listed <= i[s.AT] else s.NAN


def read_lag(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read how long the event was under way whose arrival is integer `a`, its own time integer `b`."""
    arrived = i[p[at + s.L_A]]
    return float(max(0, arrived - i[p[at + s.L_B]])) if arrived >= 0 else s.NAN


def read_age(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the time since what integer `a` says arrived."""
    arrived = i[p[at + s.L_A]]
    return float(max(0, received - arrived)) if arrived >= 0 else s.NAN


def read_beta(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read beta, shrunk towards 1."""
    return (x[s.BETA_XY] + _BETA_PRIOR) / (x[s.BETA_XX] + _BETA_PRIOR) if i[s.REFERENCE] >= 0 else 0.0


def read_corr(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the correlation with the reference market."""
    if i[s.REFERENCE] < 0:
        return 0.0
    scale = sqrt(x[s.BETA_XX]) * sqrt(x[s.BETA_YY])
    if x[s.BETA_WEIGHT] < _CORR_MIN or not scale > 0.0:
        return s.NAN
    return max(-1.0, min(1.0, x[s.BETA_XY] / scale))


def read_reference_ret(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the reference market's return over the window, without moving its clock."""
    if i[s.REFERENCE] < 0:
        return 0.0
    theirs = X[i[s.REFERENCE]]
    numbers = I[i[s.REFERENCE]]
    w = at + s.L_WINDOW
    us = p[w + s.W_US]
    slot = p[w + s.W_SLOT]
    now = i[s.AT]
    since = numbers[s.TRADES_SINCE]
    if now - since < us or now - numbers[p[w + s.W_SINCE]] < us:
        return s.NAN
    if since != numbers[s.TRADES_BEGAN] and (now - us) // p[w + s.W_WIDTH] * p[w + s.W_WIDTH] < since:
        # The edge still holds the price from before a hole.
        return s.NAN
    price = theirs[s.PRICE]
    before = price
    size = p[w + s.W_SIZE]
    back = p[w + s.W_BACK] + numbers[slot] - i[slot]
    if back > size:
        # Its clock is so far ahead that it no longer keeps what was.
        return s.NAN
    if back > 0:
        place = numbers[slot + 1] - back
        if place < 0:
            place += size
        before = theirs[p[w + s.W_RING] + numbers[slot + s.CLOCK_HEAD + place] * p[w + s.W_COUNT] + s.PRICE]
    return price / before - 1.0 if before > 0.0 else s.NAN


def read_reference_gap(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the log distance of the reference market's price from its average."""
    if i[s.REFERENCE] < 0:
        return 0.0
    theirs = X[i[s.REFERENCE]]
    numbers = I[i[s.REFERENCE]]
    now = max(i[s.AT], numbers[s.AT])
    if numbers[s.TRADES_SINCE] == s.NEVER or now - numbers[s.EWMA_BEGAN] < EWMA_US:
        return s.NAN
    price = theirs[s.PRICE]
    usual = average_price(theirs, numbers, now)
    return log(price / usual) if price > 0.0 and usual > 0.0 else s.NAN


def read_prints_count(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read how many trades are kept."""
    return float(i[s.PRINTS_COUNT]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_pairs(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the share of pairs of equal size."""
    return same_size_pairs(x, i, p[s.P_PRINTS]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_alternation(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the share of changes of side."""
    return alternation(x, i, p[s.P_PRINTS]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_path(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the summed price changes."""
    return path(x, i, p[s.P_PRINTS]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_turnover(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the value of the kept trades."""
    return turnover(x, i, p[s.P_PRINTS]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_top_size(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the share of the most frequent size."""
    return top_size(x, i, p[s.P_PRINTS]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_entropy(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the entropy of sizes."""
    return size_entropy(x, i, p[s.P_PRINTS]) if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_prints_digits(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read what the digits, sizes and intervals of the kept trades show; `a` says which of it."""
    which = p[at + s.L_A]
    if i[s.TRADES_SINCE] == s.NEVER:
        return s.NAN
    if which == REGULARITY:
        return regularity(x, p[s.P_DIGITS])
    if which == BENFORD:
        return benford(x, i, p[s.P_DIGITS])
    if which == ROUND:
        return round_share(x, i, p[s.P_DIGITS])
    return hill(x, i, p[s.P_TAIL])
