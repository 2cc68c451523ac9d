"""How much a market usually trades at each hour of the day (UTC): its own curve, held to that of its exchange.

A block for each baseline: 24 sums of y, 24 weights (minutes) and 24 days of the market itself; 24 sums, 24 weights (market-days)
and 24 numbers of the last hour of the exchange, which only the exchange's first market fills; then the open hour. A minute's y
is log(1 + turnover / median of minutes). An hour counts when it is over, so that what happens now is not compared with itself.
"""

from __future__ import annotations

from math import exp, log1p
from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.baselines import MARK, MEDIAN

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["POOL", "POOL_DAYS", "POOL_END", "POOL_LAST", "close_hours", "read_hour_shift"]

# Places in a block.
SUMS: Final = 0
MINUTES: Final = 24
DAYS: Final = 48
POOL: Final = 72
POOL_SUMS: Final = 72
POOL_DAYS: Final = 96
POOL_LAST: Final = 120
POOL_END: Final = 144
OPEN: Final = 144
OPEN_SUM: Final = 145
OPEN_MINUTES: Final = 146
LEVEL: Final = 147

_HOURS: Final = 24
_HOUR_MINUTES: Final = 60
_MINUTES_MIN: Final = 30.0
# A market must know most of its day before its curve says something of the exchange's.
_SEEN_MIN: Final = 20
_FADE: Final = exp(-1.0 / 28.0)
_FADE_HOURS: Final = 24.0 * 28.0
# n market-days at an hour weigh n / (n + 17) against the exchange's curve, which needs as many itself.
_DAYS_HALF: Final = 17.0
_SILENT_HOURS_MAX: Final = 168


def close_hours(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, at: int) -> None:
    """Feed every minute that time has passed: to be called before the baselines of minutes close theirs."""
    first = p[s.P_HOURS]
    now = at // s.MINUTE_US
    for h in range(first, first + p[s.P_HOUR_COUNT] * s.HOUR_STRIDE, s.HOUR_STRIDE):
        block = p[h + s.H_OFFSET]
        b = p[h + s.H_BASELINE]
        opened = i[p[b + s.B_SLOT]]
        since = i[p[b + s.B_SINCE]]
        offset = p[b + s.B_OFFSET]
        median = x[offset + MEDIAN]
        # As the minutes themselves: neither the one in which a stream began nor any of a hole.
        if 0 <= opened < now and (opened + 1) * s.MINUTE_US > since and median > 0.0:
            if opened * s.MINUTE_US >= since:
                source = p[b + s.B_SOURCE]
                _add(X, I, x, i, p, block, opened // _HOUR_MINUTES, log1p((x[source] - x[offset + MARK]) / median), 1)
            _pass(X, I, x, i, p, block, opened + 1, now)
        hour = now // _HOUR_MINUTES
        if float(hour) != x[block + OPEN]:
            _settle(X, I, x, i, p, block, hour)


def _pass(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, block: int, minute: int, end: int) -> None:
    """Add the minutes from `minute` to before `end`, in which nothing happened; of a long silence only the last week."""
    if minute >= end:
        return
    hour = max(minute // _HOUR_MINUTES, (end - 1) // _HOUR_MINUTES - _SILENT_HOURS_MAX)
    while hour * _HOUR_MINUTES < end:
        begin = max(minute, hour * _HOUR_MINUTES)
        _add(X, I, x, i, p, block, hour, 0.0, min(end, (hour + 1) * _HOUR_MINUTES) - begin)
        hour += 1


def _add(
    X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, block: int, hour: int, value: float, minutes: int
) -> None:  # fmt: skip
    """Add minutes to their hour, after ending the one before."""
    if float(hour) != x[block + OPEN]:
        _settle(X, I, x, i, p, block, hour)
    x[block + OPEN_SUM] += value * minutes
    x[block + OPEN_MINUTES] += float(minutes)


def _settle(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, block: int, upcoming: int) -> None:
    """End the open hour and begin another; an hour of which less than half was seen does not count."""
    opened = int(x[block + OPEN])
    value = x[block + OPEN_SUM]
    minutes = x[block + OPEN_MINUTES]
    x[block + OPEN] = float(upcoming)
    x[block + OPEN_SUM] = 0.0
    x[block + OPEN_MINUTES] = 0.0
    if minutes < _MINUTES_MIN:
        return
    at = block + opened % _HOURS
    x[at + SUMS] = _FADE * x[at + SUMS] + value
    x[at + MINUTES] = _FADE * x[at + MINUTES] + minutes
    x[at + DAYS] = _FADE * x[at + DAYS] + 1.0
    seen = 0
    level = 0.0
    for hour in range(block, block + _HOURS):
        if x[hour + MINUTES] > 0.0:
            seen += 1
            level += x[hour + SUMS] / x[hour + MINUTES]
    level /= seen
    x[block + LEVEL] = level
    if seen >= _SEEN_MIN:
        home = i[p[s.P_HOME]]
        I[home][s.VERSION] += 1
        _pool(X[home], block, opened, value / minutes - level)


def _pool(x: Floats, block: int, opened: int, value: float) -> None:
    """Add an hour of a market to the exchange's curve, which the row `x` holds; each day an hour fades once."""
    at = block + opened % _HOURS
    passed = float(opened) - x[at + POOL_LAST]
    if passed > 0.0:
        fade = exp(-passed / _FADE_HOURS)
        x[at + POOL_SUMS] *= fade
        x[at + POOL_DAYS] *= fade
        x[at + POOL_LAST] = float(opened)
    x[at + POOL_SUMS] += value
    x[at + POOL_DAYS] += 1.0


def read_hour_shift(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Read how much a minute of this hour usually differs; `a` = the number of the record in the plan."""
    h = p[s.P_HOURS] + p[at + s.L_A] * s.HOUR_STRIDE
    median = x[p[p[h + s.H_BASELINE] + s.B_OFFSET] + MEDIAN]
    if not median > 0.0:
        return s.NAN
    block = p[h + s.H_OFFSET]
    place = block + i[s.AT] // s.HOUR_US % _HOURS
    theirs = X[i[p[s.P_HOME]]]
    pooled = 0.0
    if theirs[place + POOL_DAYS] >= _DAYS_HALF:
        pooled = theirs[place + POOL_SUMS] / theirs[place + POOL_DAYS]
    days = x[place + DAYS]
    if not days > 0.0:
        return pooled
    own = x[place + SUMS] / x[place + MINUTES] - x[block + LEVEL]
    return pooled + days / (days + _DAYS_HALF) * (own - pooled)
