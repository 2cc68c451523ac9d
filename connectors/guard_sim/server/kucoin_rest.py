"""The REST side of KuCoin's spot market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from guard.model import ASK, BID, BUY
from guard_sim.coins import QUOTE
from guard_sim.past import MINUTE_US
from guard_sim.server.figures import best, candles, day
from guard_sim.server.kucoin import kucoin_id
from guard_sim.server.rest import json_response

if TYPE_CHECKING:
    from guard_sim.market_coin import CoinMarket
    from guard_sim.past import Minute
    from guard_sim.server.exchange import Exchange
    from guard_sim.server.kucoin import KucoinSpeech

__all__ = ["KucoinRest"]

_PING_MS = 18_000
_TRADES_MAX = 100
_CANDLES_MAX = 1500
_MINUTES = {
    "1min": 1,
    "3min": 3,
    "5min": 5,
    "15min": 15,
    "30min": 30,
    "1hour": 60,
    "2hour": 120,
    "4hour": 240,
    "8hour": 480,
    "1day": 1440,
}


class KucoinRest:
    """Answers the public calls under ``/api``. Trades can be asked for the last 100 only, and have no id but a sequence."""

    def __init__(self, exchange: Exchange, speech: KucoinSpeech) -> None:
        self._exchange = exchange
        self._speech = speech
        self._by_id = {kucoin_id(market.coin): market for market in exchange.market.coins}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        symbols = [web.get(f"/api/{version}/symbols", self._symbols) for version in ("v1", "v2", "v3")]
        return [
            *symbols,
            web.post("/api/v1/bullet-public", self._bullet),
            web.get("/api/v1/timestamp", self._timestamp),
            web.get("/api/v1/status", self._status),
            web.get("/api/v3/currencies", self._currencies),
            web.get("/api/v1/market/allTickers", self._tickers),
            web.get("/api/v1/market/stats", self._stats),
            web.get("/api/v1/market/histories", self._histories),
            web.get("/api/v1/market/candles", self._candles),
            web.get("/api/v1/market/orderbook/level2_{limit:20|100}", self._book),
            web.get("/api/v3/market/orderbook/level2", self._book),
        ]

    async def _bullet(self, request: web.Request) -> web.Response:
        server = {
            "endpoint": f"ws://{request.host}/endpoint",
            "encrypt": False,
            "protocol": "websocket",
            "pingInterval": _PING_MS,
            "pingTimeout": 10_000,
        }
        return _good({"token": self._speech.issue(), "instanceServers": [server]})

    async def _timestamp(self, request: web.Request) -> web.Response:
        del request
        return _good(self._exchange.stamp_us() // 1000)

    async def _status(self, request: web.Request) -> web.Response:
        del request
        is_closed = self._exchange.is_in_maintenance
        return _good({"status": "close", "msg": "upgrade match engine"} if is_closed else {"status": "open", "msg": ""})

    async def _currencies(self, request: web.Request) -> web.Response:
        del request
        names = [QUOTE, *(market.coin.base for market in self._by_id.values())]
        empty: dict[str, Any] = {
            "confirms": None,
            "contractAddress": None,
            "isMarginEnabled": False,
            "isDebitEnabled": False,
            "chains": [],
        }
        return _good([{"currency": name, "name": name, "fullName": name, "precision": 8, **empty} for name in names])

    async def _symbols(self, request: web.Request) -> web.Response:
        del request
        return _good([_symbol(name, market) for name, market in self._by_id.items()])

    async def _tickers(self, request: web.Request) -> web.Response:
        del request
        tickers = [self._ticker(name, market) for name, market in self._by_id.items()]
        return _good({"time": self._exchange.stamp_us() // 1000, "ticker": tickers})

    async def _stats(self, request: web.Request) -> web.Response:
        market = self._named(request)
        return _good({**self._ticker(kucoin_id(market.coin), market), "time": self._exchange.stamp_us() // 1000})

    async def _histories(self, request: web.Request) -> web.Response:
        market = self._named(request)
        coin, offset_us = market.coin, self._exchange.stamp_us() - self._exchange.now_us()
        prints = self._exchange.prints[market.row].newest(_TRADES_MAX)
        return _good(
            [
                {
                    "sequence": str(entry.id),
                    "price": coin.price_text(entry.tick),
                    "size": coin.amount_text(entry.lots),
                    "side": "buy" if entry.side == BUY else "sell",
                    "time": (entry.at_us + offset_us) * 1000,
                }
                for entry in prints
            ]
        )

    async def _candles(self, request: web.Request) -> web.Response:
        market, kind = self._named(request), request.query.get("type", "")
        if kind not in _MINUTES:
            raise _refused("400100", "Unsupported type")
        now_us = self._exchange.now_us()
        found = candles(
            self._exchange.prints[market.row],
            length_us=_MINUTES[kind] * MINUTE_US,
            start_us=_seconds(request, "startAt", 0),
            end_us=_seconds(request, "endAt", now_us),
            now_us=now_us,
        )
        # Newest first, and the oldest are left out where there are too many.
        return _good([_candle(market, candle) for candle in reversed(found[-_CANDLES_MAX:])])

    async def _book(self, request: web.Request) -> web.Response:
        market = self._named(request)
        coin, book = market.coin, market.book
        limit = int(request.match_info.get("limit", 5000))
        sides = {
            name: [[coin.price_text(tick), coin.amount_text(lots)] for tick, lots in book.levels(side, limit)]
            for name, side in (("bids", BID), ("asks", ASK))
        }
        return _good({"time": self._exchange.stamp_us() // 1000, "sequence": str(book.update_id), **sides})

    def _named(self, request: web.Request) -> CoinMarket:
        market = self._by_id.get(request.query.get("symbol", ""))
        if market is None:
            raise _refused("900001", "symbol not exists")
        return market

    def _ticker(self, name: str, market: CoinMarket) -> dict[str, Any]:
        coin = market.coin
        figures, quotes = day(self._exchange.prints[market.row], self._exchange.now_us()), best(market)
        candle, digits = figures.candle, coin.price_digits
        return {
            "symbol": name,
            "symbolName": name,
            "buy": quotes["bid"][0],
            "bestBidSize": quotes["bid"][1],
            "sell": quotes["ask"][0],
            "bestAskSize": quotes["ask"][1],
            "changeRate": f"{candle.close / candle.open - 1.0:.4f}",
            "changePrice": f"{candle.close - candle.open:.{digits}f}",
            "high": f"{candle.high:.{digits}f}",
            "low": f"{candle.low:.{digits}f}",
            "vol": f"{candle.volume:.8f}",
            "volValue": f"{figures.turnover:.8f}",
            "last": coin.price_text(market.last_tick),
            "averagePrice": f"{figures.turnover / candle.volume if candle.volume else candle.close:.{digits}f}",
            "takerFeeRate": "0.001",
            "makerFeeRate": "0.001",
            "takerCoefficient": "1",
            "makerCoefficient": "1",
        }


def _good(data: Any) -> web.Response:  # noqa: ANN401 - any JSON
    return json_response({"code": "200000", "data": data})


def _refused(code: str, message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=orjson.dumps({"code": code, "msg": message}).decode(), content_type="application/json")


def _seconds(request: web.Request, name: str, default_us: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default_us
    if not text.isdecimal():
        raise _refused("400100", f"Invalid {name}")
    return int(text) * 1_000_000


def _candle(market: CoinMarket, candle: Minute) -> list[str]:
    digits, middle = market.coin.price_digits, (candle.high + candle.low) / 2
    prices = [f"{price:.{digits}f}" for price in (candle.open, candle.close, candle.high, candle.low)]
    return [str(candle.at_us // 1_000_000), *prices, f"{candle.volume:.8f}", f"{candle.volume * middle:.8f}"]


def _symbol(name: str, market: CoinMarket) -> dict[str, Any]:
    coin = market.coin
    tick, lot = coin.price_text(1), coin.amount_text(1)
    return {
        "symbol": name,
        "name": name,
        "baseCurrency": coin.base,
        "quoteCurrency": QUOTE,
        "feeCurrency": QUOTE,
        "market": "USDS",
        "baseMinSize": lot,
        "quoteMinSize": "0.1",
        "baseMaxSize": "10000000000",
        "quoteMaxSize": "99999999",
        "baseIncrement": lot,
        "quoteIncrement": tick,
        "priceIncrement": tick,
        "priceLimitRate": "0.1",
        "minFunds": "0.1",
        "isMarginEnabled": False,
        "enableTrading": True,
        "feeCategory": 1,
        "makerFeeCoefficient": "1.00",
        "takerFeeCoefficient": "1.00",
        "st": False,
    }
