"""Whether a market's streams can be relied on: beginnings, gaps, losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.model.batch import Channel, Status

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["begin", "gap", "status", "tear"]

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
    x[s.FLOW_DOWN + down] += us
    x[s.BARS_DOWN + down] += us
    x[s.DATA_DOWN + down] += us
    x[s.EVENTS_DOWN + down] += us


def _end(x: Floats, i: Integers, channel: int, at: int) -> None:
    """Take note that streams are gone since `at`: nothing of them can be known until they begin again."""
    if channel in (_ALL, _TRADES) and i[s.TRADES_SINCE] != s.NEVER:
        i[s.TRADES_SINCE] = s.NEVER
        i[s.TRADES_LOST] = at
        _forget_trades(x, i)
    if channel in (_ALL, _BOOK):
        _end_book(x, i, at)


def _end_book(x: Floats, i: Integers, at: int) -> None:
    """Empty the book: what it held is not known to hold."""
    if i[s.BOOK_SINCE] == s.NEVER:
        return
    i[s.BOOK_SINCE] = s.NEVER
    i[s.BOOK_LOST] = at
    i[s.BOOK_OK] = 0
    i[s.BIDS] = 0
    i[s.ASKS] = 0
    i[s.IN_MESSAGE] = 0
    x[s.MID] = s.NAN
    x[s.BID] = s.NAN
    x[s.ASK] = s.NAN


def _forget_trades(x: Floats, i: Integers) -> None:
    """Forget what the next trade would be compared with: nothing is compared across a hole."""
    x[s.PRICE] = s.NAN
    x[s.SECOND_CLOSE] = s.NAN
    x[s.BUYER_PRICE] = s.NAN
    x[s.SELLER_PRICE] = s.NAN
    x[s.MINUTE_PRICE] = s.NAN
    x[s.MINUTE_REFERENCE] = s.NAN
    x[s.PAIR_PRICE] = s.NAN
    x[s.PAIR_REFERENCE] = s.NAN
    i[s.EWMA_BEGAN] = s.NEVER
    # The trades that filled what waits may lie in the hole.
    i[s.PENDING_COUNT] = 0


def tear(x: Floats, i: Integers, channel: int, at: int) -> None:
    """Break streams at `at`, before time moves there: what lies in a hole is no silence.

    Trades go on at once; a book is not known before its next snapshot.
    """
    if channel in (_ALL, _TRADES) and i[s.TRADES_SINCE] != s.NEVER:
        i[s.TRADES_SINCE] = max(at, i[s.AT])
        _forget_trades(x, i)
    if channel in (_ALL, _BOOK):
        _end_book(x, i, max(at, i[s.AT]))


def gap(x: Floats, i: Integers, channel: int, last_good: int) -> None:
    """Note that events between `last_good` (0 = unknown) and now are missing: `tear`, then time, then this."""
    x[s.GAPS] += 1.0
    at = i[s.AT]
    good = last_good if last_good > 0 else at
    if channel in (_ALL, _TRADES):
        if i[s.TRADES_SINCE] != s.NEVER:
            _lose(x, 0, float(max(0, at - max(good, i[s.TRADES_BEGAN]))))
        else:
            _lost_before(i, s.TRADES_LOST, s.TRADES_BEGAN, good)
    if channel in (_ALL, _BOOK):
        _lost_before(i, s.BOOK_LOST, s.BOOK_BEGAN, good)


def _lost_before(i: Integers, lost: int, began: int, good: int) -> None:
    """Let a stream that is lost be lost since its last good moment, where the loss was noticed later."""
    if i[lost] >= 0:
        i[lost] = min(i[lost], max(good, i[began]))


def status(x: Floats, i: Integers, channel: int, code: int, value: float) -> None:
    """Take a STATUS row in."""
    if code == _LIVE:
        # A book begins with its snapshot.
        if channel in (_ALL, _TRADES):
            begin(x, i, _TRADES)
    elif code in (_LOST, _STALLED, _MAINTENANCE):
        _end(x, i, channel, i[s.AT])
    elif code == _USD_RATE:
        x[s.USD_RATE] = value if value > 0.0 else s.NAN
    elif code == _VOLUME_24H:
        x[s.VOLUME_24H] = value if value >= 0.0 else s.NAN
