"""The parts of the server joined, and the loop that lets its market live."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from guard.model import BUY, SELL
from guard_sim.book import Fill
from guard_sim.market import SeededMarket
from guard_sim.past import Past
from guard_sim.server import meter as tariffs
from guard_sim.server.binance import BinanceSpeech
from guard_sim.server.control import Control, loopback_only
from guard_sim.server.faults import Fault, Faults
from guard_sim.server.futures import Futures
from guard_sim.server.gate import GateSpeech
from guard_sim.server.gate_rest import GateRest
from guard_sim.server.hub import Hub
from guard_sim.server.kucoin import KucoinSpeech
from guard_sim.server.kucoin_rest import KucoinRest
from guard_sim.server.meter import Meter
from guard_sim.server.orders import Orders
from guard_sim.server.prints import Prints
from guard_sim.server.rest import Rest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard_sim.book import Diff
    from guard_sim.coins import Coin
    from guard_sim.market_coin import CoinMarket

__all__ = ["Exchange"]

_BEAT_S = 0.02
_SLICE_US = 1_000_000
_SLOW_BEATS = 50
_ORDER_FILLS = 10


class Exchange:
    """A market, who hears it and who asks about it.

    `behind_us` is how far the market stood behind the clock at the last beat.
    """

    def __init__(
        self, *, coins: Sequence[Coin], seed: int, schedule: object, now_us: Callable[[], int], dialect: str = "binance"
    ) -> None:
        self.now_us = now_us
        self.faults = Faults()
        self.hub = Hub(self.faults, now_us)
        self.market = SeededMarket(self, seed=seed, schedule=schedule, coins=coins, start_us=now_us())
        self.past = Past(seed, self.market.start_us)
        self.prints = [Prints(market, self.past) for market in self.market.coins]
        self.orders = Orders(self.market)
        self.behind_us = 0
        self._routes: Callable[[], list[web.RouteDef]]
        match dialect:
            case "kucoin":
                kucoin = KucoinSpeech(self.hub, coins)
                self.hub.speech, self.meter = kucoin, Meter(self, tariffs.KUCOIN)
                self._routes = KucoinRest(self, kucoin).routes
            case "gate":
                self.hub.speech, self.meter = GateSpeech(self.hub, self.market.coins), Meter(self, tariffs.GATE)
                self._routes = GateRest(self).routes
            case _:
                self.hub.speech, self.meter = BinanceSpeech(self.hub, coins), Meter(self, tariffs.BINANCE)
                spot, futures = Rest(self), Futures(self)
                self._routes = lambda: [*spot.routes(), *futures.routes()]

    def app(self) -> web.Application:
        """Return the application that serves REST, websockets and control."""
        app = web.Application(middlewares=[loopback_only, self.meter.middleware()])
        app.add_routes([*self._routes(), *Control(self).routes()])
        for path in self.hub.speech.paths:
            app.router.add_get(path, self.hub.serve)
        return app

    def stamp_us(self) -> int:
        """Return the present as the exchange's own clock shows it."""
        now_us = self.now_us()
        return now_us + self.faults.offset_us(now_us)

    @property
    def is_in_maintenance(self) -> bool:
        """Whether the exchange says that it is closed for maintenance."""
        return self.faults.left_us("maintenance", self.now_us()) > 0

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def suffer(self, fault: Fault) -> int:
        """Let a fault happen, or begin; return how many connections or messages it reached, 0 for a state."""
        self.faults.order(fault, self.now_us())
        hub, symbol = self.hub, fault.symbol
        names = [symbol] if symbol else list(self.market.by_id)
        acts: dict[str, Callable[[], int]] = {
            "drop": lambda: hub.drop(symbol),
            "close": lambda: hub.close(symbol, int(fault.value)),
            "half_open": lambda: hub.strand(symbol),
            "malformed": lambda: hub.break_frame(symbol),
            "duplicate": lambda: hub.repeat(symbol),
            "burst": lambda: sum(self._burst(self.market.by_id[name], int(fault.value)) for name in names),
            "null_fields": lambda: sum(map(hub.send_nonsense, names)),
            "expire_token": lambda: hub.speech.expire() if isinstance(hub.speech, KucoinSpeech) else 0,
        }
        act = acts.get(fault.kind)
        return act() if act else 0

    def _burst(self, market: CoinMarket, count: int) -> int:
        """Print `count` trades of one lot at once, in orders of ten; the book does not move."""
        now_us = self.advance()
        for first in range(0, count, _ORDER_FILLS):
            market.print(
                now_us, BUY if first // _ORDER_FILLS % 2 else SELL, [Fill(market.last_tick, 1)] * min(_ORDER_FILLS, count - first)
            )
        return count

    @property
    def websocket(self) -> str:
        """Return the path of the streams."""
        return self.hub.speech.paths[0]

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
            self.hub.beat()
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
