"""What REST answers of every dialect are made of: candles, a day's figures, numbers out of a query."""

from __future__ import annotations

from itertools import chain, groupby
from typing import TYPE_CHECKING, NamedTuple

from guard.model import ASK, BID
from guard_sim.past import DAY_US, MINUTE_US, Minute

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.prints import Prints

__all__ = ["LENGTHS_US", "Day", "best", "candles", "day", "merged"]


class Day(NamedTuple):
    """The last 24 hours of a market: their candle and the turnover in USDT."""

    candle: Minute
    turnover: float


def merged(start_us: int, minutes: Iterable[Minute]) -> Minute:
    """Return one candle that starts at `start_us` out of at least one."""
    group = list(minutes)
    return Minute(
        start_us,
        group[0].open,
        max(each.high for each in group),
        min(each.low for each in group),
        group[-1].close,
        sum(each.volume for each in group),
        sum(each.bought for each in group),
        sum(each.trades for each in group),
        group[0].first_id,
    )


def candles(prints: Prints, *, length_us: int, start_us: int, end_us: int, now_us: int) -> list[Minute]:
    """Return candles of a length that start between `start_us` and `end_us`, oldest first."""
    minutes: Iterable[Minute] = prints.minutes(now_us)
    if length_us >= DAY_US:
        minutes = chain(prints.days(), minutes)
    else:
        # Whole candles only: one minute earlier is the last that the first of them may need.
        floor_us = start_us - length_us
        minutes = (minute for minute in minutes if floor_us < minute.at_us <= end_us + length_us)
    found = [merged(start, group) for start, group in groupby(minutes, key=lambda each: each.at_us // length_us * length_us)]
    return [candle for candle in found if start_us <= candle.at_us <= end_us]


def day(prints: Prints, now_us: int) -> Day:
    """Return the figures of the last 24 hours."""
    minutes = [each for each in prints.minutes(now_us) if each.at_us > now_us - DAY_US]
    return Day(merged(now_us - DAY_US, minutes), sum(each.volume * each.close for each in minutes))


def best(market: CoinMarket) -> dict[str, tuple[str, str]]:
    """Return price and amount of the best ``bid`` and ``ask``, as the exchange writes them."""
    coin, found = market.coin, {}
    for name, side in (("bid", BID), ("ask", ASK)):
        tick = market.book.best(side) or 0
        found[name] = coin.price_text(tick), coin.amount_text(market.book.lots[side].get(tick, 0))
    return found


_MINUTES = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "8h": 480, "1d": 1440}
LENGTHS_US = {name: count * MINUTE_US for name, count in _MINUTES.items()}
