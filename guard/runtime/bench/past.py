"""What a market has behind it before the clock runs: streams that live, a book, a day of history, covered windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from guard.model import Channel, Flag, Kind, Status
from guard.runtime.bench.workload import START_US, Columns, Markets, joined, stream, typed

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["beginnings", "past"]

_SECOND_US = 1_000_000
_LEVELS = 40
_MINUTES = 720
_LAG_US = 20_000


def past(markets: Markets, *, seconds: int, per_market_s: float = 0.05, minutes: int = _MINUTES, is_book: bool = True) -> Columns:
    """Return rows that bring fresh markets to where a watched one stands at `START_US`.

    Parameters
    ----------
    seconds
        Live time before `START_US`; windows up to this length are covered afterwards.
    per_market_s
        Events of each market in a second of that time.
    minutes
        History before it, one trade a minute, as a connector's candles give it; 0 for none.
    """
    live_us = START_US - seconds * _SECOND_US
    parts = [_history(markets, minutes, until_us=live_us - 2 * _SECOND_US)] if minutes else []
    parts.append(_statuses(markets, live_us - _SECOND_US, is_warm=bool(minutes), is_book=is_book))
    if is_book:
        parts.append(_books(markets, live_us - _SECOND_US // 2))
    events = int(seconds * per_market_s * markets.count)
    if events:
        even = Markets(markets.count)
        even.weights = np.ones(markets.count)
        rows = stream(even, events, per_second=per_market_s * markets.count, seed=11, start_us=live_us)
        rows = rows.where(rows.at_us < START_US)
        parts.append(rows if is_book else rows.where(rows.kind == int(Kind.TRADE)))
    return joined(*parts)


def beginnings(markets: Markets) -> Columns:
    """Return one row for each market, in their order, that says what is known: its trades are live."""
    market = np.arange(markets.count)
    return _rows(
        int(Kind.STATUS),
        market,
        np.full(markets.count, START_US - 1),
        side=np.full(markets.count, int(Channel.TRADES)),
        key=np.full(markets.count, int(Status.LIVE)),
    )


def _rows(kind: int, market: NDArray[np.int64], at_us: NDArray[np.int64], **given: NDArray[Any]) -> Columns:
    nothing = np.zeros(len(market), dtype=np.int64)
    columns = {
        "kind": nothing + kind,
        "market": market,
        "at_us": at_us,
        "received_us": at_us + _LAG_US,
        "price": np.zeros(len(market)),
        "amount": np.zeros(len(market)),
        "side": nothing,
        "key": nothing,
        "flags": nothing,
        **given,
    }
    return typed(**columns)


def _history(markets: Markets, minutes: int, *, until_us: int) -> Columns:
    market = np.tile(np.arange(markets.count), minutes)
    minute = np.repeat(np.arange(minutes), markets.count)
    at_us = until_us - (minutes - minute) * 60 * _SECOND_US
    steps = (minute % 7) - 3
    return _rows(
        int(Kind.TRADE),
        market,
        at_us,
        received_us=np.full(len(market), until_us),
        price=markets.price(market, steps),
        amount=8.0 + (minute * 5 % 13),
        side=np.where(minute % 2, 1, -1),
        flags=np.full(len(market), int(Flag.BACKFILL)),
    )


def _statuses(markets: Markets, at_us: int, *, is_warm: bool, is_book: bool) -> Columns:
    told = [(Channel.TRADES, Status.LIVE), *([(Channel.BOOK, Status.LIVE)] if is_book else [])]
    told += [(Channel.TRADES, Status.WARM)] if is_warm else []
    market = np.repeat(np.arange(markets.count), len(told))
    return _rows(
        int(Kind.STATUS),
        market,
        np.full(len(market), at_us),
        side=np.tile([int(channel) for channel, _ in told], markets.count),
        key=np.tile([int(status) for _, status in told], markets.count),
    )


def _books(markets: Markets, at_us: int) -> Columns:
    rows = 2 * _LEVELS
    market = np.repeat(np.arange(markets.count), rows)
    place = np.tile(np.arange(rows), markets.count)
    side = np.where(place % 2, -1, 1)
    far = 1 + place // 2
    return _rows(
        int(Kind.LEVEL),
        market,
        np.full(len(market), at_us),
        price=markets.price(market, -side * far),
        amount=5.0 + place % 11,
        side=side,
        flags=np.where(place == rows - 1, int(Flag.SNAPSHOT | Flag.LAST), int(Flag.SNAPSHOT)),
    )
