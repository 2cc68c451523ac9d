"""The whole market: coins, the common factor and actors, driven by one heap of moments."""

from __future__ import annotations

from heapq import heapify, heappop, heapreplace
from typing import TYPE_CHECKING

from guard_sim.chance import Random, chance
from guard_sim.coins import COINS
from guard_sim.market_actors import COIN_PATTERNS
from guard_sim.market_coin import SECOND_US, CoinMarket, Factor, Listener
from guard_sim.schedule import EVERYWHERE, Act, Truth, planned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard_sim.coins import Coin

__all__ = ["SeededMarket"]


class SeededMarket:
    """A market that is the same for the same seed and schedule, however its time is cut into steps.

    Parameters
    ----------
    listener
        Hears every trade and every change of a book, in order of time.
    seed, schedule, coins
        What makes the market; see `schedule.planned` and `coins.chosen`.
    start_us
        Its first moment, microseconds since 1970.

    Notes
    -----
    Pure: it knows no clock. Everything that happens is a step of a process (maker, takers, episodes, factor, actors) at its own
    moment; `advance` runs all steps up to a time, in order of (moment, number of the process). Each process draws from its own
    stream. Orders from outside (`CoinMarket.take`) change what follows, as they do on an exchange.
    """

    def __init__(
        self,
        listener: Listener,
        *,
        seed: int = 7,
        schedule: object = "demo",
        coins: Sequence[Coin] = COINS,
        start_us: int,
    ) -> None:
        self.seed = seed
        self.start_us = start_us
        self.now_us = start_us
        self.factor = Factor(seed)
        self.coins = [CoinMarket(coin, row, seed=seed, factor=self.factor, listener=listener) for row, coin in enumerate(coins)]
        self.by_symbol = {market.coin.symbol: market for market in self.coins}
        self.by_id = {market.coin.id: market for market in self.coins}
        self.truth: list[Truth] = []
        runs = [self.factor.run(start_us)]
        for market in self.coins:
            runs += [market.make(start_us), market.trade(start_us), market.wander(start_us)]
        for number, act in enumerate(planned(schedule, self.by_symbol)):
            runs += self._cast(act, number)
        self._due = [(next(run), number, run) for number, run in enumerate(runs)]
        heapify(self._due)

    def advance(self, until_us: int) -> None:
        """Let everything happen that is due up to and including `until_us`."""
        due = self._due
        while due and due[0][0] <= until_us:
            self.now_us, number, run = due[0]
            at_us = next(run, None)
            if at_us is None:
                heappop(due)
            else:
                heapreplace(due, (at_us, number, run))
        self.now_us = max(self.now_us, until_us)

    def _cast(self, act: Act, number: int) -> list[Iterator[int]]:
        at_us = self.start_us + int(act.at_s * SECOND_US)
        truth = Truth(act.pattern, act.symbol, at_us)
        self.truth.append(truth)
        draw = chance(self.seed, "act", number)
        if act.pattern == "market_drop":
            return [_begin(at_us, self._market_drop(draw, truth, at_us))]
        if act.symbol == EVERYWHERE:
            return [_begin(at_us, self._silence(truth, at_us))]
        return [_begin(at_us, COIN_PATTERNS[act.pattern](self.by_symbol[act.symbol], draw, truth, at_us))]

    def _market_drop(self, draw: Random, truth: Truth, now_us: int) -> Iterator[int]:
        """Let the common factor fall by 2 to 3 % within eight seconds; every coin follows by its beta, busier than usual."""
        truth.enter("drop", now_us)
        self.factor.drift_per_s = -draw.uniform(0.022, 0.028) / 8.0
        for market in self.coins:
            market.moods["drop"] = (3.0, -0.2)
        now_us += 8 * SECOND_US
        yield now_us
        self.factor.drift_per_s = 0.0
        truth.enter("after", now_us)
        for market in self.coins:
            market.moods["drop"] = (1.8, 0.0)
        now_us += 6 * SECOND_US
        yield now_us
        for market in self.coins:
            market.moods.pop("drop", None)
        truth.end(now_us)

    def _silence(self, truth: Truth, now_us: int) -> Iterator[int]:
        """Keep every stream silent for 20 s while trading and REST go on."""
        truth.enter("silent", now_us)
        for market in self.coins:
            market.is_silent = True
        now_us += 20 * SECOND_US
        yield now_us
        for market in self.coins:
            market.is_silent = False
        truth.end(now_us)


def _begin(at_us: int, run: Iterator[int]) -> Iterator[int]:
    yield at_us
    yield from run
