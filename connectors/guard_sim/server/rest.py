"""The REST side, in the shapes of Binance spot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from guard.model import ASK, BID, SELL
from guard_sim.coins import QUOTE
from guard_sim.past import DAY_US
from guard_sim.server.figures import LENGTHS_US, candles, day
from guard_sim.server.orders import OrderRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard_sim.market_coin import CoinMarket
    from guard_sim.past import Minute, Print
    from guard_sim.server.exchange import Exchange

__all__ = ["Rest", "json_response", "number", "symbol_document"]

_LIMIT_MAX = 1000
_KLINES_MAX = 1000
_LISTED_DAYS = 400


class Rest:
    """Answers the public calls and simple orders under ``/api/v3``."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        api = "/api/v3"
        return [
            web.get("/sapi/v1/system/status", self._status),
            *self._readings(api),
            web.post(f"{api}/order", self._order),
            web.get(f"{api}/order", self._find_order),
            web.get(f"{api}/openOrders", self._open_orders),
            web.delete(f"{api}/order", self._cancel),
        ]

    def _readings(self, api: str) -> list[web.RouteDef]:
        calls = {
            "ping": self._ping,
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "depth": self._depth,
            "trades": self._trades,
            "historicalTrades": self._historical_trades,
            "aggTrades": self._agg_trades,
            "klines": self._klines,
            "ticker/24hr": self._tickers,
            "ticker/bookTicker": self._book_tickers,
        }
        return [web.get(f"{api}/{name}", call) for name, call in calls.items()]

    async def _ping(self, request: web.Request) -> web.Response:
        del request
        return json_response({})

    async def _status(self, request: web.Request) -> web.Response:
        del request
        is_closed = self._exchange.is_in_maintenance
        return json_response({"status": 1, "msg": "system maintenance"} if is_closed else {"status": 0, "msg": "normal"})

    async def _time(self, request: web.Request) -> web.Response:
        del request
        return json_response({"serverTime": self._exchange.stamp_us() // 1000})

    async def _exchange_info(self, request: web.Request) -> web.Response:
        del request
        return json_response(
            {
                "timezone": "UTC",
                "serverTime": self._exchange.stamp_us() // 1000,
                "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
                "exchangeFilters": [],
                "symbols": [self._symbol(market) for market in self._exchange.market.coins],
            }
        )

    @property
    def _listed_ms(self) -> int:
        return (self._exchange.market.start_us - _LISTED_DAYS * DAY_US) // 1000

    def _symbol(self, market: CoinMarket) -> dict[str, Any]:
        return symbol_document(market, self._listed_ms)

    async def _depth(self, request: web.Request) -> web.Response:
        market = self._named(request)
        limit = number(request, "limit", 100, 5000)
        coin, book = market.coin, market.book
        sides = {
            name: [[coin.price_text(tick), coin.amount_text(lots)] for tick, lots in book.levels(side, limit)]
            for name, side in (("bids", BID), ("asks", ASK))
        }
        return json_response({"lastUpdateId": book.update_id, **sides})

    async def _trades(self, request: web.Request) -> web.Response:
        market = self._named(request)
        prints = self._exchange.prints[market.row].newest(number(request, "limit", 500, _LIMIT_MAX))
        return json_response([_trade(market, entry) for entry in prints])

    async def _historical_trades(self, request: web.Request) -> web.Response:
        market = self._named(request)
        return json_response([_trade(market, entry) for entry in self._window(request, market)])

    async def _agg_trades(self, request: web.Request) -> web.Response:
        market = self._named(request)
        return json_response([_agg_trade(market, entry) for entry in self._window(request, market)])

    def _window(self, request: web.Request, market: CoinMarket) -> list[Print]:
        prints, limit = self._exchange.prints[market.row], number(request, "limit", 500, _LIMIT_MAX)
        if "fromId" in request.query:
            return prints.from_id(number(request, "fromId", 0), limit)
        if "startTime" in request.query:
            start_us = number(request, "startTime", 0) * 1000
            end_us = number(request, "endTime", self._exchange.now_us() // 1000) * 1000 + 999
            return prints.since(start_us=start_us, end_us=end_us, limit=limit)
        return prints.newest(limit)

    async def _klines(self, request: web.Request) -> web.Response:
        market = self._named(request)
        interval = request.query.get("interval", "")
        if interval not in LENGTHS_US:
            raise _refused(-1120, f"Invalid interval; there are {', '.join(LENGTHS_US)}.")
        length_us = LENGTHS_US[interval]
        now_us = self._exchange.now_us()
        found = candles(
            self._exchange.prints[market.row],
            length_us=length_us,
            start_us=number(request, "startTime", 0) * 1000,
            end_us=number(request, "endTime", now_us // 1000) * 1000,
            now_us=now_us,
        )
        limit = number(request, "limit", 500, _KLINES_MAX)
        kept = found[:limit] if "startTime" in request.query else found[-limit:]
        return json_response([_kline(market, candle, length_us) for candle in kept])

    async def _tickers(self, request: web.Request) -> web.Response:
        if "symbol" in request.query:
            return json_response(self._ticker(self._named(request)))
        return json_response([self._ticker(market) for market in self._several(request)])

    async def _book_tickers(self, request: web.Request) -> web.Response:
        if "symbol" in request.query:
            return json_response(_quotes(self._named(request)))
        return json_response([_quotes(market) for market in self._several(request)])

    async def _order(self, request: web.Request) -> web.Response:
        try:
            return json_response(self._exchange.orders.place(await _words(request), self._exchange.advance()))
        except OrderRefused as error:
            raise _refused(error.code, str(error)) from error

    async def _find_order(self, request: web.Request) -> web.Response:
        try:
            return json_response(self._exchange.orders.find(await _words(request)))
        except OrderRefused as error:
            raise _refused(error.code, str(error)) from error

    async def _open_orders(self, request: web.Request) -> web.Response:
        return json_response(self._exchange.orders.open(request.query.get("symbol")))

    async def _cancel(self, request: web.Request) -> web.Response:
        try:
            return json_response(self._exchange.orders.cancel(await _words(request)))
        except OrderRefused as error:
            raise _refused(error.code, str(error)) from error

    def _named(self, request: web.Request) -> CoinMarket:
        market = self._exchange.market.by_id.get(request.query.get("symbol", ""))
        if market is None:
            raise _refused(-1121, "Invalid symbol.")
        return market

    def _several(self, request: web.Request) -> list[CoinMarket]:
        if "symbols" not in request.query:
            return list(self._exchange.market.coins)
        try:
            return [self._exchange.market.by_id[name] for name in orjson.loads(request.query["symbols"])]
        except (ValueError, TypeError, KeyError):
            raise _refused(-1121, "Invalid symbol.") from None

    def _ticker(self, market: CoinMarket) -> dict[str, Any]:
        now_us, coin = self._exchange.now_us(), market.coin
        (candle, turnover), digits = day(self._exchange.prints[market.row], now_us), coin.price_digits
        return {
            **_quotes(market),
            "priceChange": f"{candle.close - candle.open:.{digits}f}",
            "priceChangePercent": f"{(candle.close / candle.open - 1.0) * 100.0:.3f}",
            "weightedAvgPrice": f"{turnover / candle.volume if candle.volume else candle.close:.{digits}f}",
            "prevClosePrice": f"{candle.open:.{digits}f}",
            "lastPrice": coin.price_text(market.last_tick),
            "lastQty": coin.amount_text(1),
            "openPrice": f"{candle.open:.{digits}f}",
            "highPrice": f"{candle.high:.{digits}f}",
            "lowPrice": f"{candle.low:.{digits}f}",
            "volume": f"{candle.volume:.8f}",
            "quoteVolume": f"{turnover:.8f}",
            "openTime": (now_us - DAY_US) // 1000,
            "closeTime": now_us // 1000,
            "firstId": candle.first_id,
            "lastId": market.next_id - 1,
            "count": candle.trades,
        }


def json_response(document: Any, *, status: int = 200) -> web.Response:  # noqa: ANN401 - any JSON
    """Return `document` as JSON."""
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")


def _refused(code: int, message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=orjson.dumps({"code": code, "msg": message}).decode(), content_type="application/json")


def number(request: web.Request, name: str, default: int, largest: int | None = None) -> int:
    """Return a whole number of the query, at most `largest`; raises what the exchange answers to anything else."""
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise _refused(-1100, f"Illegal characters found in parameter '{name}'.")
    return int(text) if largest is None else max(1, min(int(text), largest))


async def _words(request: web.Request) -> Mapping[str, str]:
    form = await request.post()
    return {**request.query, **{name: value for name, value in form.items() if isinstance(value, str)}}


def _kline(market: CoinMarket, candle: Minute, length_us: int) -> list[Any]:
    digits, middle = market.coin.price_digits, (candle.high + candle.low) / 2
    prices = [f"{price:.{digits}f}" for price in (candle.open, candle.high, candle.low, candle.close)]
    return [
        candle.at_us // 1000,
        *prices,
        f"{candle.volume:.8f}",
        (candle.at_us + length_us) // 1000 - 1,
        f"{candle.volume * middle:.8f}",
        candle.trades,
        f"{candle.bought:.8f}",
        f"{candle.bought * middle:.8f}",
        "0",
    ]


def _trade(market: CoinMarket, entry: Print) -> dict[str, Any]:
    coin = market.coin
    price, amount = coin.price_text(entry.tick), coin.amount_text(entry.lots)
    return {
        "id": entry.id,
        "price": price,
        "qty": amount,
        "quoteQty": f"{float(price) * float(amount):.8f}",
        "time": entry.at_us // 1000,
        "isBuyerMaker": entry.side == SELL,
        "isBestMatch": True,
    }


def _agg_trade(market: CoinMarket, entry: Print) -> dict[str, Any]:
    return {
        "a": entry.id,
        "p": market.coin.price_text(entry.tick),
        "q": market.coin.amount_text(entry.lots),
        "f": entry.id,
        "l": entry.id,
        "T": entry.at_us // 1000,
        "m": entry.side == SELL,
        "M": True,
    }


def _quotes(market: CoinMarket) -> dict[str, Any]:
    coin, quotes = market.coin, {"symbol": market.coin.id}
    for name, side in (("bid", BID), ("ask", ASK)):
        tick = market.book.best(side) or 0
        quotes[f"{name}Price"] = coin.price_text(tick)
        quotes[f"{name}Qty"] = coin.amount_text(market.book.lots[side].get(tick, 0))
    return quotes


def symbol_document(market: CoinMarket, listed_ms: int) -> dict[str, Any]:
    """Return what the exchange tells of a spot market."""
    coin = market.coin
    tick, lot = coin.price_text(1), coin.amount_text(1)
    return {
        "symbol": coin.id,
        "status": "TRADING",
        "baseAsset": coin.base,
        "baseAssetPrecision": 8,
        "quoteAsset": QUOTE,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "onboardDate": listed_ms,
        "orderTypes": ["LIMIT", "MARKET"],
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000000000.0", "stepSize": lot},
            {"filterType": "NOTIONAL", "minNotional": "1.0", "applyMinToMarket": True, "maxNotional": "9000000.0"},
        ],
        "permissions": ["SPOT"],
    }
