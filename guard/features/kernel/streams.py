"""Whether a market's streams can be relied on: beginnings, gaps, losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.model.batch import Channel, Status

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["begin", "gap", "status"]

_ALL: Final = int(Channel.ALL)
_TRADES: Final = int(Channel.TRADES)
_BOOK: Final = int(Channel.BOOK)
_LIVE: Final = int(Status.LIVE)
_LOST: Final = int(Status.LOST)
_STALLED: Final = int(Status.STALLED)
_MAINTENANCE: Final = int(Status.MAINTENANCE)
_USD_RATE: Final = int(Status.USD_RATE)
_VOLUME_24H: Final = int(Status.VOLUME_24H)

# Of each stream: since (unbroken), began (first ever), lost (moment of the loss, -1 = live), down (which column of a group's lost
# time). A number that is no channel changes nothing.


def begin(x: Floats, i: Integers, channel: int) -> None:
    """Take note that a stream delivers: from now on it is covered, if it was not."""
    if channel in (_ALL, _TRADES):
        _begin(x, i, s.TRADES_SINCE, s.TRADES_BEGAN, s.TRADES_LOST, 0)
    if channel in (_ALL, _BOOK):
        _begin(x, i, s.BOOK_SINCE, s.BOOK_BEGAN, s.BOOK_LOST, 1)


def _begin(x: Floats, i: Integers, since: int, began: int, lost: int, down: int) -> None:
    """Begin one stream."""
    if i[since] != s.NEVER:
        return
    at = i[s.AT]
    i[since] = at
    if i[began] == s.NEVER:
        i[began] = at
    elif i[lost] >= 0:
        _lose(x, down, float(max(0, at - i[lost])))
    i[lost] = -1


def _lose(x: Floats, down: int, us: float) -> None:
    """Add lost time to the copies of all groups."""
    x[s.RANGE_DOWN + down] += us
    x[s.QUOTES_DOWN + down] += us
    x[s.TRADES_DOWN + down] += us
    x[s.SWEEPS_DOWN + down] += us
    x[s.BOOK_DOWN + down] += us
    x[s.BARS_DOWN + down] += us
    x[s.DATA_DOWN + down] += us


def _end(i: Integers, since: int, lost: int) -> None:
    """Take note that a stream is gone: nothing of it can be known until it begins again."""
    if i[since] == s.NEVER:
        return
    i[since] = s.NEVER
    i[lost] = i[s.AT]
    if since == s.BOOK_SINCE:
        _empty(i)


def _empty(i: Integers) -> None:
    """Empty the book's sides: what they held is not known to hold."""
    i[s.BOOK_OK] = 0
    i[s.BIDS] = 0
    i[s.ASKS] = 0
    i[s.IN_MESSAGE] = 0


def gap(x: Floats, i: Integers, channel: int, last_good: int) -> None:
    """Note that events between `last_good` (0 = unknown) and now are missing; the stream itself delivers."""
    x[s.GAPS] += 1.0
    if channel in (_ALL, _TRADES):
        _break(x, i, s.TRADES_SINCE, s.TRADES_BEGAN, 0, last_good)
    if channel in (_ALL, _BOOK):
        _break(x, i, s.BOOK_SINCE, s.BOOK_BEGAN, 1, last_good)


def _break(x: Floats, i: Integers, since: int, began: int, down: int, last_good: int) -> None:
    """Let one stream's coverage begin anew."""
    if i[since] == s.NEVER:
        return
    at = i[s.AT]
    if last_good > 0:
        _lose(x, down, float(max(0, at - max(last_good, i[began]))))
    i[since] = at
    if since == s.BOOK_SINCE:
        _empty(i)


def status(x: Floats, i: Integers, channel: int, code: int, value: float) -> None:
    """Take a STATUS row in."""
    if code == _LIVE:
        begin(x, i, channel)
    elif code in (_LOST, _STALLED, _MAINTENANCE):
        if channel in (_ALL, _TRADES):
            _end(i, s.TRADES_SINCE, s.TRADES_LOST)
        if channel in (_ALL, _BOOK):
            _end(i, s.BOOK_SINCE, s.BOOK_LOST)
    elif code == _USD_RATE:
        x[s.USD_RATE] = value if value > 0.0 else s.NAN
    elif code == _VOLUME_24H:
        x[s.VOLUME_24H] = value if value >= 0.0 else s.NAN
