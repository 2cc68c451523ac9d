"""What one trade changes."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["EWMA_US", "average", "average_price", "past_sweep", "trade"]

EWMA_US: Final = 600_000_000
_JUMP: Final = 0.002
_ORDERS: Final = s.RUSH_BUY_ORDERS - s.RUSH_BUY_LEVELS
_SECONDS: Final = s.RUSH_BUY_SECONDS - s.RUSH_BUY_LEVELS
_FRESH_BOOK_US: Final = 100_000


def trade(x: Floats, i: Integers, stamp: int, price: float, amount: float, side: int, is_inferred: int) -> int:
    """Fold one live trade in and return its side; `stamp` is its own time, which groups the prints of one taker order."""
    at = i[s.AT]
    if side == 0:
        # A print above the mid took an ask. Without a book the side stays unknown.
        side = 1 if price > x[s.MID] else -1 if price < x[s.MID] else 0
        is_inferred = 1
    turnover = price * amount
    x[s.VOLUME] += amount
    x[s.TURNOVER] += turnover
    x[s.TRADES] += 1.0
    if side > 0:
        x[s.BUY_VOLUME] += amount
        x[s.BUY_TURNOVER] += turnover
    if is_inferred:
        x[s.UNSURE_VOLUME] += amount
    if x[s.BID] < price < x[s.ASK] and i[s.BOOK_OK] and at - i[s.BOOK_AT] < _FRESH_BOOK_US:
        x[s.INSIDE_VOLUME] += amount
    if side != 0:
        _sweep(x, i, stamp, price, side, turnover)
    second = at // s.SECOND_US
    if second != i[s.SECOND]:
        i[s.SECOND] = second
        _second(x, price)
    _step(x, price)
    x[s.PRICE] = price
    if not price <= x[s.OPEN_HIGH]:
        x[s.OPEN_HIGH] = price
    if not price >= x[s.OPEN_LOW]:
        x[s.OPEN_LOW] = price
    evaluated = x[s.EVALUATED_PRICE]
    if not abs(price - evaluated) <= _JUMP * evaluated:
        i[s.URGENT] = 1
    average(x, i, at, price)
    return side


def _sweep(x: Floats, i: Integers, stamp: int, price: float, side: int, turnover: float) -> None:
    """Count the price levels that takers sweep, and the orders (prints of one side with one stamp) that sweep several.

    A level counts where a print lies beyond its side's previous one, at most 1 s after it: the same number whether an order's
    fills come as one print a level, as single fills, split over stamps, or with stamps of whole seconds.
    """
    if side > 0:
        at_slot = s.BUYER_AT
        price_slot = s.BUYER_PRICE
        order_slot = s.BUYER_ORDER
        second_slot = s.BUYER_RUSH_SECOND
        levels = s.RUSH_BUY_LEVELS
        swept = s.SWEPT_BUY
    else:
        at_slot = s.SELLER_AT
        price_slot = s.SELLER_PRICE
        order_slot = s.SELLER_ORDER
        second_slot = s.SELLER_RUSH_SECOND
        levels = s.RUSH_SELL_LEVELS
        swept = s.SWEPT_SELL
    last = i[at_slot]
    if stamp != last:
        i[order_slot] = 0
    if (price - x[price_slot]) * side > 0.0 and 0 <= stamp - last <= s.SECOND_US:
        x[levels] += 1.0
        x[swept] += turnover
        i[s.URGENT] = 1
        if stamp == last and i[order_slot] == 0:
            i[order_slot] = 1
            x[levels + _ORDERS] += 1.0
        second = i[s.AT] // s.SECOND_US
        if second != i[second_slot]:
            i[second_slot] = second
            x[levels + _SECONDS] += 1.0
    i[at_slot] = stamp
    x[price_slot] = price


def past_sweep(x: Floats, i: Integers, stamp: int, price: float, side: int) -> int:
    """Return 1 where a trade of the past swept a level, as `_sweep` counts them."""
    if side > 0:
        at_slot = s.PAST_BUYER_AT
        price_slot = s.PAST_BUYER_PRICE
    else:
        at_slot = s.PAST_SELLER_AT
        price_slot = s.PAST_SELLER_PRICE
    swept = 1 if (price - x[price_slot]) * side > 0.0 and 0 <= stamp - i[at_slot] <= s.SECOND_US else 0
    i[at_slot] = stamp
    x[price_slot] = price
    return swept


def _second(x: Floats, price: float) -> None:
    """Add the squared log return of a second in which the market traded."""
    close = x[s.PRICE]
    earlier = x[s.SECOND_CLOSE]
    if earlier > 0.0 and close > 0.0 and close != earlier:
        change = log(close / earlier)
        x[s.SQUARES] += change * change
    x[s.SECOND_CLOSE] = close if close > 0.0 else price


def _step(x: Floats, price: float) -> None:
    """Remember the smallest step that the price ever took, for markets whose tick is not told."""
    step = abs(price - x[s.PRICE])
    # Below 1e-9 of the price it is the noise of subtraction.
    if step > 1e-9 * price and not step >= x[s.TICK_SEEN]:
        x[s.TICK_SEEN] = step


def average(x: Floats, i: Integers, at: int, price: float) -> None:
    """Move the average price to `at`, from when on `price` holds; a time before the last one is left out."""
    if i[s.EWMA_BEGAN] == s.NEVER:
        i[s.EWMA_BEGAN] = at
        x[s.EWMA] = price
    elif at >= i[s.EWMA_AT]:
        x[s.EWMA] = average_price(x, i, at)
    else:
        return
    i[s.EWMA_AT] = at
    x[s.EWMA_PRICE] = price


def average_price(x: Floats, i: Integers, at: int) -> float:
    """Return the exponentially weighted price of 600 s, in which each price weighs as long as it held."""
    held = at - i[s.EWMA_AT]
    if held <= 0:
        return x[s.EWMA]
    return x[s.EWMA] + (x[s.EWMA_PRICE] - x[s.EWMA]) * (1.0 - exp(-held / EWMA_US))
