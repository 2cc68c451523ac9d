"""What the exchange tells about itself, and the faults it is told to have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from guard_sim.server.faults import Fault
from guard_sim.server.rest import json_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard_sim.server.exchange import Exchange

__all__ = ["Control", "loopback_only", "throttle"]

_HERE = frozenset({"127.0.0.1", "::1"})


class Control:
    """``GET /control/truth``, ``GET /control/health``, ``POST /control/fault {kind, symbol?, for_s?}``."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/control/truth", self._truth),
            web.get("/control/health", self._health),
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
        return json_response(
            {"connections": len(hub.readers), "sent": hub.sent, "cut": hub.cut, "behind_us": self._exchange.behind_us}
        )

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            fault = Fault.read(orjson.loads(await request.read()))
        except ValueError as error:
            return json_response({"error": str(error)}, status=400)
        if fault.symbol is not None and fault.symbol not in self._exchange.market.by_id:
            return json_response({"error": f"no symbol {fault.symbol}"}, status=400)
        self._exchange.faults.order(fault, self._exchange.now_us())
        reached = 0
        if fault.kind == "drop":
            reached = self._exchange.hub.drop(fault.symbol)
        elif fault.kind == "malformed":
            reached = self._exchange.hub.break_frame(fault.symbol)
        return json_response({"fault": fault._asdict(), "reached": reached})


@web.middleware
async def loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse control from elsewhere, should somebody ever bind this server to another address."""
    if request.path.startswith("/control") and request.remote not in _HERE:
        return json_response({"error": "control is for this machine only"}, status=403)
    return await handler(request)


def throttle(exchange: Exchange) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that answers 429 while the fault ``http_429`` is on."""

    @web.middleware
    async def throttled(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        left_us = exchange.faults.throttled_until_us - exchange.now_us()
        if left_us > 0 and not request.path.startswith("/control"):
            body = orjson.dumps({"code": -1003, "msg": "Too many requests; please use the websocket for live updates."})
            wait = {"Retry-After": str(max(1, round(left_us / 1e6)))}
            return web.Response(body=body, status=429, headers=wait, content_type="application/json")
        return await handler(request)

    return throttled
