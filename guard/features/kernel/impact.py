"""How price and flow went together: path, mirrored trades, traded seconds and traded minutes.

Seconds and minutes are those in which the market traded; each is booked when the first trade of a later one comes. What was open
when trades went missing is never booked.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["deal"]

# What is remembered of trades; prices are 0 where there is none.
_PRICE: Final = 0
_AMOUNT: Final = 1
_SIDE: Final = 2
_STAMP: Final = 3
_SECOND: Final = 4
_SECOND_CLOSE: Final = 5
_SECOND_FLOW: Final = 6
_MINUTE_CLOSE: Final = 7
_MINUTE_TURNOVER: Final = 8
_MINUTE_HIGH: Final = 9
_MINUTE_LOW: Final = 10
_MIRROR_US: Final = 2_000_000.0
_SECONDS: Final = 60.0


def deal(x: Floats, i: Integers, bars: int, stamp: int, price: float, amount: float, side: int, is_torn: int) -> None:
    """Fold one live trade in; `stamp` is its own time, `is_torn` tells that trades before it are missing."""
    if not price > 0.0:
        return
    last = x[bars + _PRICE]
    turnover = price * amount
    second = float(i[s.AT] // s.SECOND_US)
    if last > 0.0 and not is_torn:
        x[s.PATH] += abs(price / last - 1.0)
        if side * x[bars + _SIDE] < 0.0 and amount == x[bars + _AMOUNT] and 0.0 <= stamp - x[bars + _STAMP] <= _MIRROR_US:
            x[s.MIRRORED] += amount
        if second != x[bars + _SECOND]:
            _second(x, bars, last)
            if second // _SECONDS != x[bars + _SECOND] // _SECONDS:
                _minute(x, bars, last)
    else:
        _begin(x, bars, price if second != x[bars + _SECOND] else 0.0)
    x[bars + _SECOND] = second
    x[bars + _SECOND_FLOW] += turnover * side
    x[bars + _MINUTE_TURNOVER] += turnover
    x[bars + _MINUTE_HIGH] = max(x[bars + _MINUTE_HIGH], price)
    low = x[bars + _MINUTE_LOW]
    if low == 0.0 or price < low:
        x[bars + _MINUTE_LOW] = price
    x[bars + _PRICE] = price
    x[bars + _AMOUNT] = amount
    x[bars + _SIDE] = float(side)
    x[bars + _STAMP] = float(stamp)


def _begin(x: Floats, bars: int, price: float) -> None:
    """Begin with the first trade, or anew after a hole: what was open there is not known.

    The first second has a return from its own first price, as `squares` has it, but not where it is the one of the hole.
    """
    x[bars + _SECOND_CLOSE] = price
    x[bars + _SECOND_FLOW] = 0.0
    x[bars + _MINUTE_CLOSE] = 0.0
    x[bars + _MINUTE_TURNOVER] = 0.0
    x[bars + _MINUTE_HIGH] = 0.0
    x[bars + _MINUTE_LOW] = 0.0


def _second(x: Floats, bars: int, close: float) -> None:
    """Book a traded second."""
    flow = x[bars + _SECOND_FLOW]
    earlier = x[bars + _SECOND_CLOSE]
    ratio = close / earlier if earlier > 0.0 else 0.0
    if ratio > 0.0:
        x[s.FLOW_RETURN] += flow * log(ratio)
        x[s.FLOW_SQUARES] += flow * flow
    x[bars + _SECOND_CLOSE] = close
    x[bars + _SECOND_FLOW] = 0.0


def _minute(x: Floats, bars: int, close: float) -> None:
    """Book a traded minute, but the first one, which has no return."""
    earlier = x[bars + _MINUTE_CLOSE]
    turnover = x[bars + _MINUTE_TURNOVER]
    ratio = close / earlier if earlier > 0.0 else 0.0
    if ratio > 0.0 and turnover > 0.0:
        reach = log(x[bars + _MINUTE_HIGH] / x[bars + _MINUTE_LOW])
        x[s.BAR_IMPACT] += abs(log(ratio)) / turnover
        x[s.BARS] += 1.0
        x[s.BAR_RANGES] += reach * reach
    x[bars + _MINUTE_CLOSE] = close
    x[bars + _MINUTE_TURNOVER] = 0.0
    x[bars + _MINUTE_HIGH] = 0.0
    x[bars + _MINUTE_LOW] = 0.0
