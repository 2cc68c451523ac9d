"""The readers of fields in the order of their numbers, and how compiled code finds one; `encoding` tells which field has which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel.book_readers import (
    read_book_slot,
    read_crossed,
    read_depth,
    read_slippage,
    read_spread,
    read_tick,
)
from guard.features.kernel.hours import read_hour_shift
from guard.features.kernel.market_readers import (
    read_age,
    read_beta,
    read_corr,
    read_counted,
    read_coverage,
    read_lag,
    read_market_age,
    read_prints_alternation,
    read_prints_count,
    read_prints_digits,
    read_prints_entropy,
    read_prints_pairs,
    read_prints_path,
    read_prints_top_size,
    read_prints_turnover,
    read_reference_gap,
    read_reference_ret,
)
from guard.features.kernel.peer_readers import read_divergence, read_peers_ret
from guard.features.kernel.reading import (
    read_before,
    read_long,
    read_long_both,
    read_short,
    read_short_both,
    read_slot,
)
from guard.features.kernel.trade_readers import (
    read_average_price,
    read_buy_share,
    read_ewma_price,
    read_floored,
    read_high,
    read_low,
    read_price,
)

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers, Read

__all__ = ["READERS", "read_leaf"]


# The numbers of readers, by which a jitted reading finds them: places in READERS.
(
    _SHORT, _LONG, _SHORT_BOTH, _LONG_BOTH,
    _SLOT, _FLOORED, _PRICE, _EWMA_PRICE, _TICK, _AGE, _BETA, _REFERENCE_GAP, _CORR, _LAG,
    _MARKET_AGE, _BEFORE, _HIGH, _LOW, _BUY_SHARE, _COUNTED, _COVERAGE, _REFERENCE_RET,
    _BOOK_SLOT, _SPREAD, _DEPTH, _CROSSED, _SLIPPAGE, _DIVERGENCE,
    _COUNT, _PAIRS, _ALTERNATION, _PATH, _TURNOVER, _TOP_SIZE, _ENTROPY, _DIGITS,
    _AVERAGE_PRICE, _PEERS_RET, _HOUR_SHIFT,
) = range(39)  # fmt: skip

READERS: Final[tuple[Read, ...]] = (
    read_short, read_long, read_short_both, read_long_both,
    read_slot, read_floored, read_price, read_ewma_price, read_tick, read_age, read_beta, read_reference_gap,
    read_corr, read_lag, read_market_age,
    read_before, read_high, read_low, read_buy_share, read_counted, read_coverage, read_reference_ret,
    read_book_slot, read_spread, read_depth, read_crossed, read_slippage, read_divergence,
    read_prints_count, read_prints_pairs, read_prints_alternation, read_prints_path, read_prints_turnover, read_prints_top_size,
    read_prints_entropy, read_prints_digits,
    read_average_price, read_peers_ret, read_hour_shift,
)  # fmt: skip


def read_leaf(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the leaf whose record begins at `at`, as ``READERS[p[at]]`` does: for a compiler, which knows no table of functions."""
    op = p[at]
    if op == _SHORT:
        value = read_short(X, I, x, i, p, q, at, received)
    elif op == _LONG:
        value = read_long(X, I, x, i, p, q, at, received)
    elif op == _SHORT_BOTH:
        value = read_short_both(X, I, x, i, p, q, at, received)
    elif op == _LONG_BOTH:
        value = read_long_both(X, I, x, i, p, q, at, received)
    elif op < _MARKET_AGE:
        value = _read_value(X, I, x, i, p, q, at, received)
    elif op < _BOOK_SLOT:
        value = _read_window(X, I, x, i, p, q, at, received)
    elif op < _COUNT:
        value = _read_book(X, I, x, i, p, q, at, received)
    elif op >= _AVERAGE_PRICE:
        value = _read_more(X, I, x, i, p, q, at, received)
    else:
        value = _read_prints(X, I, x, i, p, q, at, received)
    return value


def _read_value(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _SLOT:
        value = read_slot(X, I, x, i, p, q, at, received)
    elif op == _FLOORED:
        value = read_floored(X, I, x, i, p, q, at, received)
    elif op == _PRICE:
        value = read_price(X, I, x, i, p, q, at, received)
    elif op == _EWMA_PRICE:
        value = read_ewma_price(X, I, x, i, p, q, at, received)
    elif op == _TICK:
        value = read_tick(X, I, x, i, p, q, at, received)
    elif op == _AGE:
        value = read_age(X, I, x, i, p, q, at, received)
    elif op == _BETA:
        value = read_beta(X, I, x, i, p, q, at, received)
    elif op == _CORR:
        value = read_corr(X, I, x, i, p, q, at, received)
    elif op == _LAG:
        value = read_lag(X, I, x, i, p, q, at, received)
    else:
        value = read_reference_gap(X, I, x, i, p, q, at, received)
    return value


def _read_window(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _BEFORE:
        value = read_before(X, I, x, i, p, q, at, received)
    elif op == _HIGH:
        value = read_high(X, I, x, i, p, q, at, received)
    elif op == _LOW:
        value = read_low(X, I, x, i, p, q, at, received)
    elif op == _BUY_SHARE:
        value = read_buy_share(X, I, x, i, p, q, at, received)
    elif op == _MARKET_AGE:
        value = read_market_age(X, I, x, i, p, q, at, received)
    elif op == _COUNTED:
        value = read_counted(X, I, x, i, p, q, at, received)
    elif op == _COVERAGE:
        value = read_coverage(X, I, x, i, p, q, at, received)
    else:
        value = read_reference_ret(X, I, x, i, p, q, at, received)
    return value


def _read_book(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _BOOK_SLOT:
        value = read_book_slot(X, I, x, i, p, q, at, received)
    elif op == _SPREAD:
        value = read_spread(X, I, x, i, p, q, at, received)
    elif op == _DEPTH:
        value = read_depth(X, I, x, i, p, q, at, received)
    elif op == _CROSSED:
        value = read_crossed(X, I, x, i, p, q, at, received)
    elif op == _SLIPPAGE:
        value = read_slippage(X, I, x, i, p, q, at, received)
    else:
        value = read_divergence(X, I, x, i, p, q, at, received)
    return value


def _read_prints(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _COUNT:
        value = read_prints_count(X, I, x, i, p, q, at, received)
    elif op == _PAIRS:
        value = read_prints_pairs(X, I, x, i, p, q, at, received)
    elif op == _ALTERNATION:
        value = read_prints_alternation(X, I, x, i, p, q, at, received)
    elif op == _PATH:
        value = read_prints_path(X, I, x, i, p, q, at, received)
    elif op == _TURNOVER:
        value = read_prints_turnover(X, I, x, i, p, q, at, received)
    elif op == _TOP_SIZE:
        value = read_prints_top_size(X, I, x, i, p, q, at, received)
    elif op == _DIGITS:
        value = read_prints_digits(X, I, x, i, p, q, at, received)
    else:
        value = read_prints_entropy(X, I, x, i, p, q, at, received)
    return value


def _read_more(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    op = p[at]
    if op == _AVERAGE_PRICE:
        value = read_average_price(X, I, x, i, p, q, at, received)
    elif op == _HOUR_SHIFT:
        value = read_hour_shift(X, I, x, i, p, q, at, received)
    else:
        value = read_peers_ret(X, I, x, i, p, q, at, received)
    return value
