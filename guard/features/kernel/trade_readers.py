"""How the fields of trades are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.reading import known_edge, unbroken_edge
from guard.features.kernel.trades import EWMA_US, average_price, faded
from guard.features.kernel.windows import window_high, window_low

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["read_average_price", "read_buy_share", "read_ewma_price", "read_floored", "read_high", "read_low", "read_price"]

_UNSURE_MAX: Final = 0.2
_MEDIANS_MIN: Final = 20.0
_USD_MIN: Final = 500.0


def read_high(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the highest price of the window."""
    return window_high(x, i, p, at + s.L_WINDOW) if unbroken_edge(x, i, p, at) >= 0 else s.NAN


def read_low(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the lowest price of the window."""
    return window_low(x, i, p, at + s.L_WINDOW) if unbroken_edge(x, i, p, at) >= 0 else s.NAN


def read_price(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the last price."""
    return x[s.PRICE] if i[s.TRADES_SINCE] != s.NEVER else s.NAN


def read_ewma_price(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the average price of 600 s."""
    now = i[s.AT]
    if i[s.TRADES_SINCE] == s.NEVER or now - i[s.EWMA_BEGAN] < EWMA_US:
        return s.NAN
    return average_price(x, i, now)


def read_average_price(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int
) -> float:  # fmt: skip
    """Read the average price whose record in the plan is number `a`."""
    now = i[s.AT]
    record = p[s.P_AVERAGES] + p[at + s.L_A] * s.AVERAGE_STRIDE
    us = p[record + s.A_US]
    # After a hole all averages begin anew with the next trade.
    if i[s.TRADES_SINCE] == s.NEVER or i[s.EWMA_BEGAN] == s.NEVER or now - i[p[record + s.A_BEGAN]] < us:
        return s.NAN
    return faded(x, i, us, p[record + s.A_FLOAT], now)


def read_floored(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read the high quantile `a`, but at least 20 medians (`b`) of the non-empty bins and, where a USD rate is known, 500 USD."""
    high = x[p[at + s.L_A]]
    least = _MEDIANS_MIN * x[p[at + s.L_B]]
    if high != high or least != least:
        return s.NAN
    if x[s.USD_RATE] > 0.0:
        least = max(least, _USD_MIN / x[s.USD_RATE])
    return high if high > least else least


def read_buy_share(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read which share of the volume takers bought."""
    left = known_edge(x, i, p, at)
    if left < 0:
        return s.NAN
    volume = x[s.VOLUME] - x[left + s.VOLUME]
    if volume <= 0.0 or x[s.UNSURE_VOLUME] - x[left + s.UNSURE_VOLUME] > _UNSURE_MAX * volume:
        return s.NAN
    return (x[s.BUY_VOLUME] - x[left + s.BUY_VOLUME]) / volume
