"""One coin's market: fair value, maker, takers, and what actors do to it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from guard.model import ASK, BID, BUY, SELL
from guard_sim.book import Book, Diff, Fill
from guard_sim.chance import chance, exponential, lognormal
from guard_sim.coins import hour_factor
from guard_sim.market_maker import Maker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard_sim.coins import Coin

__all__ = ["CoinMarket", "Factor", "Listener"]

SECOND_US = 1_000_000
FIRST_ID = 100_000_000
_EXCITED_PER_TRADE = 0.25
_EXCITED_S = 1.5
_EXCITED_MAX = 20.0
# Each trade brings .25/s that fade within 1.5 s, so .375 further trades; the base is lowered so that the mean stays.
_BASE_SHARE = 1.0 - _EXCITED_PER_TRADE * _EXCITED_S
_ORDER_SIGMA = 1.0
_LEVELS_NATURAL = 4
_IMPACT = 0.15
_PERSISTENCE = 0.22
_PULL = 0.12


class Listener(Protocol):
    """Who hears what a market prints."""

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Hear the trades of one taker order; their ids count up from `first_id`."""
        ...

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Hear the levels that changed since the last time."""
        ...


class Factor:
    """The common factor: the logarithm of what the whole market has moved since the start."""

    def __init__(self, seed: int) -> None:
        self._draw = chance(seed, "factor")
        self.value = 0.0
        self.drift_per_s = 0.0

    def run(self, start_us: int) -> Iterator[int]:
        """Move ten times a second: about 0.6 bp per square root of a second, a calm day of BTC."""
        now_us = start_us
        while True:
            self.value += self._draw.gauss(0.0, 0.00006 * math.sqrt(0.1)) + 0.1 * self.drift_per_s
            now_us += SECOND_US // 10
            yield now_us


class CoinMarket:
    """A coin's book, its maker and its takers.

    `moods` maps an actor's key to (factor on the rate of takers, bias towards buying in [-1, 1]); it is how actors draw a crowd.
    `own` is the logarithm of what the coin has moved beyond `beta` times the factor.
    """

    def __init__(self, coin: Coin, row: int, *, seed: int, factor: Factor, listener: Listener) -> None:
        self.coin = coin
        self.row = row
        self.book = Book(update_id=FIRST_ID)
        self.maker = Maker(coin, self.book, chance(seed, coin.base, "maker"))
        self.moods: dict[str, tuple[float, float]] = {}
        self.own = 0.0
        self.is_silent = False
        self.next_id = FIRST_ID
        self.last_tick = round(coin.price * coin.ticks_per_usdt)
        self._factor = factor
        self._listener = listener
        self._draw = chance(seed, coin.base, "takers")
        self._noise = chance(seed, coin.base, "value")
        self._calm = chance(seed, coin.base, "episodes")
        self._start_ticks = coin.price * coin.ticks_per_usdt
        self._excited = 0.0
        self._last_side = BUY
        self.maker.quote(self.fair_ticks())
        self.book.flush()

    def fair_ticks(self) -> float:
        """Return the fair value in ticks."""
        return self._start_ticks * math.exp(self.own + self.coin.beta * self._factor.value)

    def mid_ticks(self) -> float:
        """Return the middle of the book in ticks; the fair value where a side is empty."""
        bid, ask = self.book.best(BID), self.book.best(ASK)
        return self.fair_ticks() if bid is None or ask is None else (bid + ask) / 2

    def lots(self, usd: float) -> int:
        """Return about how many lots `usd` buys, at least 1."""
        return max(1, round(usd / self.fair_ticks() * self.coin.ticks_per_usdt * self.coin.lots_per_coin))

    def take(self, now_us: int, side: int, lots: int, *, limit: int | None = None, levels_max: int = 10_000) -> list[Fill]:
        """Execute a taker order against the levels shown and print one trade a level, all with one stamp."""
        fills = self.book.take(side, lots, limit=limit, levels_max=levels_max)
        if fills:
            self.maker.eaten(ASK if side == BUY else BID, fills)
            self.print(now_us, side, fills)
        return fills

    def print(self, now_us: int, side: int, fills: Sequence[Fill]) -> None:
        """Print trades; whether the book moved is the caller's affair."""
        first_id = self.next_id
        self.next_id += len(fills)
        self.last_tick = fills[-1].tick
        self._listener.traded(self, now_us, first_id, fills, side)

    def sweep(self, now_us: int, side: int, levels: int, *, follow: float = 0.85) -> list[Fill]:
        """Eat whole levels; the fair value follows the last price by the share `follow`."""
        fills = self.take(now_us, side, self.book.size_to(ASK if side == BUY else BID, levels))
        if fills:
            self.own += follow * math.log(fills[-1].tick / self.fair_ticks())
        return fills

    def make(self, start_us: int) -> Iterator[int]:
        """Run the maker: look, quote, let the book's changes out."""
        period_us = self.coin.quote_ms * 1000
        # Makers of different coins do not look at the same moment.
        now_us = start_us + self.row * 1_371 % period_us
        sigma = self.coin.volatility * math.sqrt(period_us / SECOND_US)
        while True:
            yield now_us
            self.own += self._noise.gauss(0.0, sigma)
            self.maker.quote(self.fair_ticks())
            diff = self.book.flush()
            if diff is not None:
                self._listener.changed(self, now_us, diff)
            now_us += period_us

    def trade(self, start_us: int) -> Iterator[int]:
        """Run the takers, in bursts that excite themselves; at least once a second they look at the mood anew."""
        draw, now_us = self._draw, start_us
        while True:
            steady = self._rate(now_us)
            highest = steady + self._excited
            wait_s = exponential(draw, 1.0 / highest)
            is_due = wait_s <= 1.0
            wait_s = min(wait_s, 1.0)
            self._excited *= math.exp(-wait_s / _EXCITED_S)
            now_us += int(wait_s * SECOND_US) + 1
            yield now_us
            # Excitement has faded since the wait was drawn (Ogata's thinning).
            if is_due and draw.random() * highest <= steady + self._excited:
                self._excited = min(self._excited + _EXCITED_PER_TRADE, _EXCITED_MAX)
                self._order(now_us)

    def wander(self, start_us: int) -> Iterator[int]:
        """Run natural episodes: now and then a busy minute with a move of up to one percent, and a crowd that follows it."""
        draw = self._calm
        now_us = start_us
        while True:
            now_us += int(exponential(draw, 2400.0) * SECOND_US) + 20 * SECOND_US
            yield now_us
            length_s = draw.randint(30, 90)
            move = draw.uniform(0.002, 0.009) * (1 if draw.random() < 0.5 else -1)  # noqa: PLR2004 - an even coin
            self.moods["episode"] = (draw.uniform(2.0, 5.0), math.copysign(0.2, move))
            for _ in range(length_s):
                self.own += move / length_s
                now_us += SECOND_US
                yield now_us
            self.moods.pop("episode", None)

    def _rate(self, now_us: int) -> float:
        rate = self.coin.trades_per_s * hour_factor(now_us) * _BASE_SHARE
        for factor, _ in self.moods.values():
            rate *= factor
        return rate

    def _order(self, now_us: int) -> None:
        draw = self._draw
        bias = sum(mood[1] for mood in self.moods.values())
        pull = (self.fair_ticks() - self.mid_ticks()) / (self.fair_ticks() * self.coin.step_bp * 1e-4)
        buy = 0.5 + _PERSISTENCE * self._last_side + 0.5 * bias + _PULL * max(-2.0, min(2.0, pull))
        side = BUY if draw.random() < buy else SELL
        self._last_side = side
        before = self.mid_ticks()
        lots = self.lots(lognormal(draw, self.coin.order_usd, _ORDER_SIGMA))
        if self.take(now_us, side, lots, levels_max=_LEVELS_NATURAL):
            self.own += _IMPACT * math.log(self.mid_ticks() / before)
