"""The REST side, in the shapes of Binance's USD-M futures: each coin as a perpetual contract beside its spot market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from guard_sim.coins import QUOTE
from guard_sim.server.rest import Rest, json_response, number, symbol_document

if TYPE_CHECKING:
    from guard_sim.market_coin import CoinMarket

__all__ = ["Futures"]

_API: Final = "/fapi/v1"
_RATE: Final = "0.00010000"
_EVERY_HOURS: Final = 8
_EVERY_MS: Final = _EVERY_HOURS * 3_600_000
_NEVER_MS: Final = 4_133_404_800_000  # what Binance gives as the end of a perpetual
_RATES_MAX: Final = 1000


class Futures(Rest):
    """Answers the public calls under ``/fapi/v1``: what a bot needs that trades on paper. It takes no orders.

    A contract trades where its spot market does: same trades, same book, one coin a contract. Its mark is the last price, and
    funding is paid every eight hours at one rate. Depth over the websocket stays that of spot.
    """

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            *self._readings(_API),
            web.get(f"{_API}/markPriceKlines", self._klines),
            web.get(f"{_API}/premiumIndex", self._premium),
            web.get(f"{_API}/fundingRate", self._rates),
            web.get(f"{_API}/fundingInfo", self._intervals),
        ]

    def _symbol(self, market: CoinMarket) -> dict[str, Any]:
        document = symbol_document(market, self._listed_ms)
        coin = market.coin
        lot = document["filters"][1]
        return {
            **{name: value for name, value in document.items() if name not in {"isSpotTradingAllowed", "permissions"}},
            "pair": coin.id,
            "contractType": "PERPETUAL",
            "deliveryDate": _NEVER_MS,
            "marginAsset": QUOTE,
            "pricePrecision": coin.price_digits,
            "quantityPrecision": coin.lot_digits,
            "underlyingType": "COIN",
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            "filters": [
                *document["filters"][:2],
                {**lot, "filterType": "MARKET_LOT_SIZE"},
                {"filterType": "MIN_NOTIONAL", "notional": "1"},
            ],
        }

    async def _premium(self, request: web.Request) -> web.Response:
        if "symbol" in request.query:
            return json_response(self._mark(self._named(request)))
        return json_response([self._mark(market) for market in self._exchange.market.coins])

    def _mark(self, market: CoinMarket) -> dict[str, Any]:
        now_ms = self._exchange.stamp_us() // 1000
        price = market.coin.price_text(market.last_tick)
        return {
            "symbol": market.coin.id,
            "markPrice": price,
            "indexPrice": price,
            "estimatedSettlePrice": price,
            "lastFundingRate": _RATE,
            "interestRate": _RATE,
            "nextFundingTime": (now_ms // _EVERY_MS + 1) * _EVERY_MS,
            "time": now_ms,
        }

    async def _rates(self, request: web.Request) -> web.Response:
        market = self._named(request)
        now_ms = self._exchange.stamp_us() // 1000
        limit = number(request, "limit", 100, _RATES_MAX)
        last_ms = min(now_ms, number(request, "endTime", now_ms)) // _EVERY_MS * _EVERY_MS
        first_ms = last_ms - (limit - 1) * _EVERY_MS
        if "startTime" in request.query:
            first_ms = -(-number(request, "startTime", 0) // _EVERY_MS) * _EVERY_MS
        price = market.coin.price_text(market.last_tick)
        times = range(first_ms, last_ms + 1, _EVERY_MS)[:limit]
        return json_response(
            [{"symbol": market.coin.id, "fundingRate": _RATE, "fundingTime": at_ms, "markPrice": price} for at_ms in times]
        )

    async def _intervals(self, request: web.Request) -> web.Response:
        del request
        return json_response(
            [
                {"symbol": market.coin.id, "adjustedFundingRateCap": "0.02000000", "fundingIntervalHours": _EVERY_HOURS}
                for market in self._exchange.market.coins
            ]
        )
