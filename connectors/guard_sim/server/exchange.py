"""The parts of the server joined, and the loop that lets its market live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from guard_sim.market import SeededMarket
from guard_sim.past import Past
from guard_sim.server.control import Control, loopback_only, throttle
from guard_sim.server.faults import Faults
from guard_sim.server.hub import Hub
from guard_sim.server.orders import Orders
from guard_sim.server.prints import Prints
from guard_sim.server.rest import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard_sim.book import Diff, Fill
    from guard_sim.coins import Coin
    from guard_sim.market_coin import CoinMarket

__all__ = ["Exchange"]

_BEAT_S = 0.02
_SLICE_US = 1_000_000
_SLOW_BEATS = 50


class Exchange:
    """A market, who hears it and who asks about it.

    `behind_us` is how far the market stood behind the clock at the last beat.
    """

    def __init__(self, *, coins: Sequence[Coin], seed: int, schedule: object, now_us: Callable[[], int]) -> None:
        self.now_us = now_us
        self.faults = Faults()
        self.hub = Hub(self.faults, [coin.id for coin in coins])
        self.market = SeededMarket(self, seed=seed, schedule=schedule, coins=coins, start_us=now_us())
        self.past = Past(seed, self.market.start_us)
        self.prints = [Prints(market, self.past) for market in self.market.coins]
        self.orders = Orders(self.market)
        self.behind_us = 0

    def app(self) -> web.Application:
        """Return the application that serves REST, websockets and control."""
        app = web.Application(middlewares=[loopback_only, throttle(self)])
        app.add_routes([*Rest(self).routes(), *Control(self).routes()])
        for path in ("/stream", "/stream/{streams:.*}", "/ws", "/ws/{streams:.*}"):
            app.router.add_get(path, self.hub.serve)
        return app

    def advance(self) -> int:
        """Bring the market to the clock and return its time."""
        self.hub.now_us = self.now_us()
        self.market.advance(self.hub.now_us)
        return self.market.now_us

    async def run(self) -> None:
        """Let the market live until cancelled."""
        beat = 0
        while True:
            await asyncio.sleep(_BEAT_S)
            self.behind_us = self.now_us() - self.market.now_us
            while self.now_us() - self.market.now_us > _SLICE_US:
                # After a suspend the market catches up in slices, so that readers are served in between.
                self.hub.now_us = self.market.now_us + _SLICE_US
                self.market.advance(self.hub.now_us)
                await asyncio.sleep(0)
            self.advance()
            beat += 1
            if beat % _SLOW_BEATS == 0:
                self.hub.flush_slow()

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Hear trades."""
        self.prints[market.row].add(at_us, first_id, fills, side)
        self.hub.traded(market, at_us, first_id, fills, side)
        self.orders.traded(market, first_id, fills, side)

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Hear book changes."""
        self.hub.changed(market, at_us, diff)
