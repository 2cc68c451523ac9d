"""Forty-eight hours before the first moment: a coarse seeded past whose last price is the first live one."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from guard.model import BUY, SELL
from guard_sim.chance import chance, lognormal, poisson
from guard_sim.coins import hour_factor
from guard_sim.market_coin import FIRST_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard_sim.chance import Random
    from guard_sim.coins import Coin

__all__ = ["MINUTE_US", "Minute", "Past", "Print"]

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
MINUTES = 48 * 60
DAYS = 400
_FACTOR_SIGMA = 0.00006
# Takers' impact adds to a coin's own volatility in the live market; this share makes the past about as restless.
_RESTLESS = 1.6
_ORDER_MEAN = math.exp(0.5)
_PER_MINUTE_MAX = 3000


class Minute(NamedTuple):
    """One candle: start in microseconds, prices in USDT, `volume` and `bought` (by takers) in base, `trades` and first id."""

    at_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    bought: float
    trades: int
    first_id: int


class Print(NamedTuple):
    """One trade: whole ticks and lots, side of the taker."""

    at_us: int
    id: int
    tick: int
    lots: int
    side: int


class Past:
    """The past of every coin, made when it is first asked for and the same whatever is asked first.

    The prices share the factor of the live market by the same betas, and end at the coin's first live price; the last
    candle ends at `start_us`, in the middle of a minute as a rule. Ids count up to the first live one without a hole.
    """

    def __init__(self, seed: int, start_us: int) -> None:
        self.seed = seed
        self.start_us = start_us
        self._factor: list[float] = []
        self._minutes: dict[str, tuple[Minute, ...]] = {}

    def minutes(self, coin: Coin) -> tuple[Minute, ...]:
        """Return the one-minute candles of `coin`, oldest first."""
        if coin.base not in self._minutes:
            self._minutes[coin.base] = tuple(self._candles(coin))
        return self._minutes[coin.base]

    def days(self, coin: Coin) -> Iterator[Minute]:
        """Yield 400 daily candles that end where `minutes` begin, oldest first: a coin that has been there for long."""
        draw = chance(self.seed, coin.base, "days")
        first = self.minutes(coin)[0]
        close, candles = first.open, []
        at_us = first.at_us - first.at_us % DAY_US
        volume = coin.trades_per_s * 86_400 * coin.order_usd * _ORDER_MEAN
        for _ in range(DAYS):
            at_us -= DAY_US
            open_ = close * math.exp(-draw.gauss(0.0, 0.03))
            high, low = max(open_, close) * (1 + 0.01 * draw.random()), min(open_, close) * (1 - 0.01 * draw.random())
            base = lognormal(draw, volume, 0.3) / close
            candles.append(Minute(at_us, open_, high, low, close, base, base / 2, int(coin.trades_per_s * 86_400), 0))
            close = open_
        yield from reversed(candles)

    def trades(self, coin: Coin, minute: Minute) -> list[Print]:
        """Return the trades of one candle: they start at its open, touch its high and low and end at its close."""
        if not minute.trades:
            return []
        draw = chance(self.seed, coin.base, "trades", minute.at_us)
        end_us = min(minute.at_us + MINUTE_US, self.start_us)
        stamps = sorted(draw.randrange(minute.at_us, end_us) for _ in range(minute.trades))
        sizes = [lognormal(draw, 1.0, 1.0) for _ in stamps]
        scale = minute.volume / sum(sizes) * coin.lots_per_coin
        share = minute.bought / minute.volume if minute.volume else 0.5
        turn = [minute.open, minute.low, minute.high, minute.close]
        if minute.close < minute.open:
            turn = [minute.open, minute.high, minute.low, minute.close]
        prints = []
        for place, (at_us, size) in enumerate(zip(stamps, sizes, strict=True)):
            price = _along(turn, place / max(1, minute.trades - 1))
            side = BUY if draw.random() < share else SELL
            tick, lots = round(price * coin.ticks_per_usdt), max(1, round(size * scale))
            prints.append(Print(at_us, minute.first_id + place, tick, lots, side))
        return prints

    def _starts(self) -> list[int]:
        last = self.start_us - self.start_us % MINUTE_US
        return [last - back * MINUTE_US for back in range(MINUTES, -1, -1)]

    def _candles(self, coin: Coin) -> Iterator[Minute]:
        draw = chance(self.seed, coin.base, "past")
        starts = self._starts()
        closes = self._closes(coin, draw)
        shapes = [self._volume(coin, draw, at_us) for at_us in starts]
        first_id = FIRST_ID - sum(count for count, _ in shapes)
        for at_us, (open_, close), (count, usd) in zip(starts, pairwise(closes), shapes, strict=True):
            wick = coin.step_bp * 1e-4
            high = max(open_, close) * (1.0 + wick * draw.random())
            low = min(open_, close) * (1.0 - wick * draw.random())
            volume = usd / close
            bought = volume * min(0.95, max(0.05, draw.gauss(0.5 + 40.0 * (close / open_ - 1.0), 0.12)))
            yield Minute(at_us, open_, high, low, close, volume, bought, count, first_id)
            first_id += count

    def _closes(self, coin: Coin, draw: Random) -> list[float]:
        """Walk backwards from the first live price: one more price than there are candles."""
        sigma = coin.volatility * math.sqrt(60.0) * _RESTLESS
        logs = [math.log(coin.price)]
        for step in reversed(self._factor_steps()):
            tail = 3.0 if draw.random() < 0.004 else 1.0  # noqa: PLR2004 - one minute in 250 is a restless one
            logs.append(logs[-1] - coin.beta * step - draw.gauss(0.0, sigma * tail))
        return [math.exp(value) for value in reversed(logs)]

    def _factor_steps(self) -> list[float]:
        if not self._factor:
            draw = chance(self.seed, "factor", "past")
            sigma = _FACTOR_SIGMA * math.sqrt(60.0)
            self._factor = [draw.gauss(0.0, sigma) for _ in range(MINUTES + 1)]
        return self._factor

    def _volume(self, coin: Coin, draw: Random, at_us: int) -> tuple[int, float]:
        """Return the count of trades and the turnover in USDT of the minute at `at_us`."""
        length_s = (min(at_us + MINUTE_US, self.start_us) - at_us) / 1e6
        busy = lognormal(draw, 0.93, 0.35) * (draw.uniform(2.0, 5.0) if draw.random() < 0.02 else 1.0)  # noqa: PLR2004 - one in 50
        count = min(_PER_MINUTE_MAX, poisson(draw, coin.trades_per_s * hour_factor(at_us) * busy * length_s))
        usd = count * coin.order_usd * _ORDER_MEAN * lognormal(draw, 1.0, 1.2 / math.sqrt(count)) if count else 0.0
        return count, usd


def _along(turn: list[float], way: float) -> float:
    """Return the price after the share `way` of a walk through the points of `turn`."""
    place = min(int(way * 3), 2)
    return turn[place] + (turn[place + 1] - turn[place]) * (way * 3 - place)
