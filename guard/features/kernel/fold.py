"""What one event changes: the only way into a market's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.baselines import close_bins, end_past, mark_bins, observe, past, rebase_marks
from guard.features.kernel.book import clear, flow, level, settle, spread
from guard.features.kernel.depths import sample_depths
from guard.features.kernel.hours import close_hours
from guard.features.kernel.impact import deal
from guard.features.kernel.prints import add, expire
from guard.features.kernel.reference import compare
from guard.features.kernel.removals import classify, fill, remove
from guard.features.kernel.streams import begin, gap, status, tear
from guard.features.kernel.trades import average, average_each, past_sweep, trade
from guard.features.kernel.windows import rebase, roll
from guard.model.batch import Channel, Flag, Kind, Status

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["CHANGED", "DUE", "TOLD_NOTHING", "fold", "forward", "take"]

TOLD_NOTHING: Final = 0
CHANGED: Final = 1
DUE: Final = 2

_TRADE: Final = int(Kind.TRADE)
_LEVEL: Final = int(Kind.LEVEL)
_GAP: Final = int(Kind.GAP)
_STATUS: Final = int(Kind.STATUS)
_SNAPSHOT: Final = int(Flag.SNAPSHOT)
_LAST: Final = int(Flag.LAST)
_BACKFILL: Final = int(Flag.BACKFILL)
_INFERRED: Final = int(Flag.INFERRED_SIDE)
_WARM: Final = int(Status.WARM)
_TRADES: Final = int(Channel.TRADES)
_BOOK: Final = int(Channel.BOOK)
_SAMPLE_MAX_S: Final = 60
_WIDTH_MIN: Final = 1e-9


def fold(  # noqa: PLR0912 - one way for each kind of row
    X: FloatRows, I: IntegerRows, p: Integers, q: Floats, row: int, kind: int, at: int, received: int,
    price: float, amount: float, side: int, key: int, flags: int,
) -> int:  # fmt: skip
    """Fold one row of a batch into its market.

    Returns DUE where the market should be evaluated now, CHANGED where it should be soon, TOLD_NOTHING for the past, which only
    feeds baselines.
    """
    x = X[row]
    i = I[row]
    i[s.VERSION] += 1
    if flags & _BACKFILL:
        if kind == _TRADE:
            _history(x, i, p, q, at, price, amount, side)
        return TOLD_NOTHING
    if received > i[s.RECEIVED]:
        i[s.RECEIVED] = received
    if kind == _GAP:
        tear(x, i, side, at)
    is_late = at < i[s.EVENT_AT]
    if is_late:
        i[s.LATE] += 1
    else:
        i[s.EVENT_AT] = at
        if at > i[s.AT]:
            forward(X, I, x, i, p, q, at)
    if p[s.P_EVENTS] >= 0:
        _count(x, kind, 1.0 if is_late else 0.0)
    if kind == _TRADE:
        _trade(X, x, i, p, q, at, received, price, amount, side, flags)
        return _is_due(x, i)
    if kind == _LEVEL:
        return _level(x, i, p, q, at, received, price, amount, side, flags)
    if kind == _GAP:
        gap(x, i, side, key)
        return DUE
    if kind == _STATUS:
        status(x, i, side, key, price)
        if key == _WARM:
            end_past(x, p, q)
        return DUE
    return TOLD_NOTHING


def _count(x: Floats, kind: int, late: float) -> None:
    """Count a trade or a book level, and whether it is late."""
    if kind in (_TRADE, _LEVEL):
        x[s.EVENTS] += 1.0
        x[s.LATE_EVENTS] += late


def forward(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int) -> None:
    """Move a market's time forward to `at`, which is later."""
    i[s.AT] = at
    if at >= i[s.NEXT_CLOSE]:
        if p[s.P_HOUR_COUNT] > 0:
            close_hours(X, I, x, i, p, at)
        close_bins(x, i, p, q, at)
    elif i[s.NEXT_CLOSE] == s.NEVER:
        mark_bins(x, i, p, at)
    if at >= i[s.NEXT_EDGE]:
        hour = at // s.HOUR_US
        if hour != i[s.HOUR]:
            i[s.HOUR] = hour
            rebase_marks(x, p)
            rebase(x, p)
        roll(x, i, p, at)
    if i[s.PENDING_COUNT] > 0:
        classify(x, i, p[s.P_PENDING])
    if i[s.PRINTS_COUNT] > 0:
        expire(x, i, q, p[s.P_PRINTS], p[s.P_DIGITS], p[s.P_TAIL])


def take(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int) -> None:
    """Move a market's time to `at` if that is later."""
    if at > i[s.AT]:
        i[s.VERSION] += 1
        forward(X, I, x, i, p, q, at)


def _history(x: Floats, i: Integers, p: Integers, q: Floats, at: int, price: float, amount: float, side: int) -> None:
    """Feed baselines with the past; what live trades already told is dropped and counted."""
    if at >= i[s.TRADES_BEGAN]:
        i[s.HISTORY_LATE] += 1
        return
    turnover = price * amount
    past(x, p, q, at, s.TURNOVER, turnover)
    # History made of candles has no side: half of it is taken as bought.
    bought = turnover if side > 0 else 0.0 if side < 0 else 0.5 * turnover
    past(x, p, q, at, s.BUY_TURNOVER, bought)
    rush_buy = 0.0
    rush_sell = 0.0
    if side != 0 and past_sweep(x, i, at, price, side):
        if side > 0:
            rush_buy = 1.0
        else:
            rush_sell = 1.0
    past(x, p, q, at, s.RUSH_BUY_LEVELS, rush_buy)
    past(x, p, q, at, s.RUSH_SELL_LEVELS, rush_sell)
    # A stream that was interrupted has begun its averages anew: a price from before the hole would span it.
    if i[s.TRADES_BEGAN] != s.NEVER and i[s.TRADES_SINCE] != i[s.TRADES_BEGAN]:
        return
    if p[s.P_AVERAGE_COUNT] > 0:
        average_each(x, i, p, at, price)
    average(x, i, at, price)


def _trade(
    X: FloatRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int, price: float, amount: float, side: int,
    flags: int,
) -> None:  # fmt: skip
    """Fold a live trade in."""
    if i[s.TRADES_SINCE] == s.NEVER:
        begin(x, i, _TRADES)
    is_torn = x[s.PRICE] != x[s.PRICE]
    if p[s.P_AVERAGE_COUNT] > 0:
        average_each(x, i, p, i[s.AT], price)
    taken = trade(x, i, at, price, amount, side, flags & _INFERRED)
    if at > i[s.TRADE_AT]:
        i[s.TRADE_AT] = at
    if received >= i[s.TRADE_RECEIVED]:
        i[s.TRADE_RECEIVED] = received
        i[s.TRADE_SENT] = at
    if i[s.REFERENCE] >= 0:
        compare(x, i, X[i[s.REFERENCE]][s.PRICE])
    if p[s.P_PENDING] >= 0:
        fill(x, i, p[s.P_PENDING], p[s.P_FILLS], price, amount, taken)
    if p[s.P_PRINTS] >= 0:
        add(x, i, q, p[s.P_PRINTS], -price if is_torn else price, amount, taken, p[s.P_DIGITS], p[s.P_TAIL])
    if p[s.P_BARS] >= 0:
        deal(x, i, p[s.P_BARS], at, price, amount, taken, 1 if is_torn else 0)


def _level(
    x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int, price: float, amount: float, side: int, flags: int
) -> int:
    """Fold one book level in; evaluation waits for the last one of the message."""
    is_full = flags & _SNAPSHOT
    if i[s.IN_MESSAGE] == 0:
        i[s.IN_MESSAGE] = 1
        if p[s.P_DEPTH_COUNT] > 0:
            sample_depths(x, i, p, q)
        if is_full:
            begin(x, i, _BOOK)
            clear(i)
            if p[s.P_FLOW] >= 0:
                x[p[s.P_FLOW]] = 0.0
            i[s.BEST_MOVED] = 1
            i[s.BOOK_OK] = 1
    if i[s.BOOK_OK]:
        removed = level(x, i, p[s.P_BOOK], i[s.AT], price, amount, side, is_full, p[s.P_FLOW])
        if not is_full:
            x[s.CHURN] += 1.0
        # While trades are lost nobody can tell what was filled.
        if removed > 0.0 and p[s.P_PENDING] >= 0 and i[s.TRADES_LOST] < 0:
            remove(x, i, p[s.P_PENDING], p[s.P_FILLS], price, removed, side)
    if not flags & _LAST:
        return CHANGED
    return _end_message(x, i, p, q, at, received, is_full)


def _end_message(x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int, is_full: int) -> int:
    """End a book message."""
    i[s.IN_MESSAGE] = 0
    if i[s.BOOK_OK] == 0:
        return _is_due(x, i)
    if at > i[s.BOOK_AT]:
        i[s.BOOK_AT] = at
    if received >= i[s.BOOK_RECEIVED]:
        i[s.BOOK_RECEIVED] = received
        i[s.BOOK_SENT] = at
    if p[s.P_USUAL_SPREAD] >= 0:
        _sample(x, i, p, q)
    settle(x, i, p[s.P_BOOK])
    if p[s.P_FLOW] >= 0:
        flow(x, i, p[s.P_BOOK], p[s.P_FLOW], is_full)
    if i[s.BEST_MOVED]:
        i[s.BEST_MOVED] = 0
        i[s.URGENT] = 1
    return _is_due(x, i)


def _sample(x: Floats, i: Integers, p: Integers, q: Floats) -> None:
    """Observe the spread that held since the last sample, once a second."""
    second = i[s.AT] // s.SECOND_US
    lasted = second - i[s.SAMPLED]
    if lasted <= 0:
        return
    i[s.SAMPLED] = second
    width = spread(x)
    if width != width:
        return
    count = float(min(lasted, _SAMPLE_MAX_S))
    width = max(width, _WIDTH_MIN)
    first = p[s.P_BASELINES]
    for b in range(first, first + p[s.P_BASELINE_COUNT] * s.BASELINE_STRIDE, s.BASELINE_STRIDE):
        if p[b + s.B_SOURCE] == s.SPREAD:
            observe(x, p, q, b, width, count, count * s.SECOND_US / p[b + s.B_DECAY_US])


def _is_due(x: Floats, i: Integers) -> int:
    """Whether the market should be evaluated now: a new bin of 50 ms, or something urgent."""
    opened = i[s.AT] // s.BIN_US
    if opened == i[s.EVALUATED_BIN] and i[s.URGENT] == 0:
        return CHANGED
    i[s.EVALUATED_BIN] = opened
    i[s.URGENT] = 0
    x[s.EVALUATED_PRICE] = x[s.PRICE]
    return DUE
