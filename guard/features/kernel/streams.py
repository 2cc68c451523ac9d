"""Whether a market's streams can be relied on: beginnings, gaps, losses."""

from __future__ import annotations

from guard.features.kernel import slots as s
from guard.model.batch import Channel, Status

__all__ = ["begin", "gap", "status"]

# For each stream: since (unbroken), began (first ever), lost (moment of the loss, -1 = live), column of lost time.
_TRADES = (s.TRADES_SINCE, s.TRADES_BEGAN, s.TRADES_LOST, s.DOWN_TRADES)
_BOOK = (s.BOOK_SINCE, s.BOOK_BEGAN, s.BOOK_LOST, s.DOWN_BOOK)
_STREAMS = {Channel.ALL: (_TRADES, _BOOK), Channel.TRADES: (_TRADES,), Channel.BOOK: (_BOOK,)}
_ENDS = frozenset({Status.LOST, Status.STALLED, Status.MAINTENANCE})


def begin(x: list[float], i: list[int], channel: int) -> None:
    """Take note that a stream delivers: from now on it is covered, if it was not."""
    at = i[s.AT]
    for since, began, lost, down in _STREAMS[Channel(channel)]:
        if i[since] != s.NEVER:
            continue
        i[since] = at
        if i[began] == s.NEVER:
            i[began] = at
        elif i[lost] >= 0:
            x[down] += float(max(0, at - i[lost]))
        i[lost] = -1


def _end(i: list[int], channel: int) -> None:
    """Take note that a stream is gone: nothing of it can be known until it begins again."""
    for since, _began, lost, _down in _STREAMS[Channel(channel)]:
        if i[since] == s.NEVER:
            continue
        i[since] = s.NEVER
        i[lost] = i[s.AT]
        if since == s.BOOK_SINCE:
            i[s.BOOK_OK] = 0
            _empty(i)


def _empty(i: list[int]) -> None:
    """Empty the book's sides."""
    i[s.BIDS] = i[s.ASKS] = i[s.IN_MESSAGE] = 0


def gap(x: list[float], i: list[int], channel: int, last_good: int) -> None:
    """Note that events between `last_good` (0 = unknown) and now are missing; the stream itself delivers."""
    at = i[s.AT]
    x[s.GAPS] += 1.0
    for since, began, _lost, down in _STREAMS[Channel(channel)]:
        if i[since] == s.NEVER:
            continue
        if last_good > 0:
            x[down] += float(max(0, at - max(last_good, i[began])))
        i[since] = at
        if since == s.BOOK_SINCE:
            i[s.BOOK_OK] = 0
            _empty(i)


def status(x: list[float], i: list[int], channel: int, code: int, value: float) -> None:
    """Take a STATUS row in."""
    if code in _ENDS:
        _end(i, channel)
    elif code == Status.LIVE:
        begin(x, i, channel)
    elif code == Status.USD_RATE:
        x[s.USD_RATE] = value if value > 0.0 else s.NAN
    elif code == Status.VOLUME_24H:
        x[s.VOLUME_24H] = value if value >= 0.0 else s.NAN
