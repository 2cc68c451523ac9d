"""What has traded since the start, joined to the seeded past."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from guard.model import BUY
from guard_sim.past import MINUTE_US, Minute, Print

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from guard_sim.book import Fill
    from guard_sim.market_coin import CoinMarket
    from guard_sim.past import Past

__all__ = ["Prints"]

_LIVE_MAX = 20_000
_MINUTES_MAX = 3 * 24 * 60


class Prints:
    """Trades and one-minute candles of one coin: past, then live. The live part keeps 20,000 trades and three days of candles."""

    def __init__(self, market: CoinMarket, past: Past) -> None:
        self._coin = market.coin
        self._past = past
        self._live: deque[Print] = deque(maxlen=_LIVE_MAX)
        self._minutes: deque[Minute] = deque(maxlen=_MINUTES_MAX)

    def add(self, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Take the trades of one order."""
        for trade_id, fill in enumerate(fills, first_id):
            self._live.append(Print(at_us, trade_id, fill.tick, fill.lots, side))
            self._count(at_us, trade_id, fill, side)

    def minutes(self, now_us: int) -> Iterator[Minute]:
        """Yield the candles up to now, oldest first; a minute without trades is flat."""
        *whole, last = self._past.minutes(self._coin)
        yield from whole
        live = list(self._minutes)
        if live and live[0].at_us == last.at_us:
            last = _joined(last, live.pop(0))
        yield last
        for minute in live:
            yield from _flat(last, minute.at_us)
            yield minute
            last = minute
        yield from _flat(last, now_us - now_us % MINUTE_US + MINUTE_US)

    def days(self) -> Iterator[Minute]:
        """Yield the daily candles before the candles of `minutes`."""
        return self._past.days(self._coin)

    def live(self) -> Sequence[Print]:
        """Return the trades since the start, oldest first, the last 20,000 at most."""
        return self._live

    def newest(self, limit: int) -> list[Print]:
        """Return the last `limit` trades, oldest first."""
        prints = list(self._live)[-limit:]
        for minute in reversed(self._past.minutes(self._coin)):
            if len(prints) >= limit:
                break
            prints = self._past.trades(self._coin, minute) + prints
        return prints[-limit:]

    def since(self, *, start_us: int, end_us: int, limit: int) -> list[Print]:
        """Return the first `limit` trades stamped from `start_us` to `end_us`, both included."""
        found = (entry for entry in self._from(start_us) if start_us <= entry.at_us <= end_us)
        return list(islice(found, limit))

    def from_id(self, first_id: int, limit: int) -> list[Print]:
        """Return the first `limit` trades with an id of `first_id` or more."""
        minutes = self._past.minutes(self._coin)
        place = bisect_right(minutes, first_id, key=lambda minute: minute.first_id) - 1
        past = (entry for minute in minutes[max(0, place) :] for entry in self._past.trades(self._coin, minute))
        found = (entry for entry in _chain(past, self._live) if entry.id >= first_id)
        return list(islice(found, limit))

    def _from(self, start_us: int) -> Iterator[Print]:
        minutes = self._past.minutes(self._coin)
        place = bisect_right(minutes, start_us, key=lambda minute: minute.at_us) - 1
        for minute in minutes[max(0, place) :] if start_us < self._past.start_us else ():
            yield from self._past.trades(self._coin, minute)
        yield from self._live

    def _count(self, at_us: int, trade_id: int, fill: Fill, side: int) -> None:
        start_us = at_us - at_us % MINUTE_US
        price = fill.tick / self._coin.ticks_per_usdt
        amount = fill.lots / self._coin.lots_per_coin
        bought = amount if side == BUY else 0.0
        trade = Minute(start_us, price, price, price, price, amount, bought, 1, trade_id)
        if self._minutes and self._minutes[-1].at_us == start_us:
            self._minutes[-1] = _joined(self._minutes[-1], trade)
        else:
            self._minutes.append(trade)


def _joined(first: Minute, then: Minute) -> Minute:
    return Minute(
        first.at_us,
        first.open,
        max(first.high, then.high),
        min(first.low, then.low),
        then.close,
        first.volume + then.volume,
        first.bought + then.bought,
        first.trades + then.trades,
        first.first_id,
    )


def _flat(last: Minute, until_us: int) -> Iterator[Minute]:
    for at_us in range(last.at_us + MINUTE_US, until_us, MINUTE_US):
        yield Minute(at_us, last.close, last.close, last.close, last.close, 0.0, 0.0, 0, last.first_id + last.trades)


def _chain(*parts: Iterable[Print]) -> Iterator[Print]:
    for part in parts:
        yield from part
