"""What the exchange tells about itself, and the faults it is told to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from guard.model import ASK, BID
from guard_sim.server.faults import Fault
from guard_sim.server.rest import json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.exchange import Exchange

__all__ = ["Control", "loopback_only"]

_HERE = frozenset({"127.0.0.1", "::1"})


class Control:
    """``GET /control/truth|health|trades?symbol=|book?symbol=`` and ``POST /control/fault {kind, symbol?, for_s?}``."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/control/truth", self._truth),
            web.get("/control/health", self._health),
            web.get("/control/trades", self._trades),
            web.get("/control/book", self._book),
            web.post("/control/fault", self._fault),
        ]

    async def _truth(self, request: web.Request) -> web.Response:
        del request
        market = self._exchange.market
        return json_response(
            {
                "now_us": self._exchange.now_us(),
                "start_us": market.start_us,
                "seed": market.seed,
                "symbols": list(market.by_symbol),
                "truth": [truth.document() for truth in market.truth],
            }
        )

    async def _health(self, request: web.Request) -> web.Response:
        del request
        hub = self._exchange.hub
        topics = sum(len(reader.topics) for reader in hub.readers)
        counts = {"connections": len(hub.readers), "topics": topics, "sent": hub.sent, "cut": hub.cut}
        return json_response({**counts, "behind_us": self._exchange.behind_us, "rest": self._exchange.meter.document()})

    async def _trades(self, request: web.Request) -> web.Response:
        """Answer what really traded since ``from`` (an id), as [id, at_us, price, amount, side]: the last 20,000 at most."""
        market = self._named(request)
        coin, first_id = market.coin, int(request.query.get("from", 0))
        found = [
            [entry.id, entry.at_us, entry.tick / coin.ticks_per_usdt, entry.lots / coin.lots_per_coin, entry.side]
            for entry in self._exchange.prints[market.row].live()
            if entry.id >= first_id
        ]
        return json_response({"symbol": coin.symbol, "trades": found})

    async def _book(self, request: web.Request) -> web.Response:
        """Answer the whole book as it stands."""
        market = self._named(request)
        coin, book = market.coin, market.book
        sides = {
            name: [[tick / coin.ticks_per_usdt, lots / coin.lots_per_coin] for tick, lots in book.levels(side)]
            for name, side in (("bids", BID), ("asks", ASK))
        }
        return json_response({"symbol": coin.symbol, "id": book.update_id, **sides})

    def _named(self, request: web.Request) -> CoinMarket:
        market = self._exchange.market.by_symbol.get(request.query.get("symbol", ""))
        if market is None:
            raise web.HTTPBadRequest(text="symbol is one of GET /control/truth")
        return market

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            fault = Fault.read(orjson.loads(await request.read()))
        except ValueError as error:
            return json_response({"error": str(error)}, status=400)
        if fault.symbol is not None and fault.symbol not in self._exchange.market.by_id:
            return json_response({"error": f"no symbol {fault.symbol}"}, status=400)
        return json_response({"fault": fault.document(), "reached": self._exchange.suffer(fault)})


@web.middleware
async def loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse control from elsewhere, should somebody ever bind this server to another address."""
    if request.path.startswith("/control") and request.remote not in _HERE:
        return json_response({"error": "control is for this machine only"}, status=403)
    return await handler(request)
