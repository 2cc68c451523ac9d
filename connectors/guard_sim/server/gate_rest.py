"""The REST side of Gate's spot market."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from guard.model import ASK, BID, BUY
from guard_sim.coins import QUOTE
from guard_sim.past import DAY_US
from guard_sim.server.figures import LENGTHS_US, best, candles, day
from guard_sim.server.gate import gate_id
from guard_sim.server.rest import json_response

if TYPE_CHECKING:
    from guard_sim.market_coin import CoinMarket
    from guard_sim.past import Minute
    from guard_sim.server.exchange import Exchange

__all__ = ["GateRest"]

_LIMIT_MAX = 1000
_LISTED_DAYS = 400


class GateRest:
    """Answers the public calls under ``/api/v4``."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._by_id = {gate_id(market.coin): market for market in exchange.market.coins}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        api = "/api/v4"
        return [
            web.get(f"{api}/spot/time", self._time),
            web.get(f"{api}/spot/currencies", self._currencies),
            web.get(f"{api}/spot/currency_pairs", self._pairs),
            web.get(f"{api}/margin/currency_pairs", self._margin_pairs),
            web.get(f"{api}/spot/tickers", self._tickers),
            web.get(f"{api}/spot/order_book", self._book),
            web.get(f"{api}/spot/trades", self._trades),
            web.get(f"{api}/spot/candlesticks", self._candles),
        ]

    async def _time(self, request: web.Request) -> web.Response:
        del request
        return json_response({"server_time": self._exchange.stamp_us() // 1000})

    async def _currencies(self, request: web.Request) -> web.Response:
        del request
        names = [QUOTE, *(market.coin.base for market in self._by_id.values())]
        flags = {"delisted": False, "withdraw_disabled": False, "deposit_disabled": False, "trade_disabled": False}
        return json_response([{"currency": name, "name": name, **flags, "chain": name, "chains": []} for name in names])

    async def _pairs(self, request: web.Request) -> web.Response:
        del request
        listed_s = (self._exchange.market.start_us - _LISTED_DAYS * DAY_US) // 1_000_000
        return json_response([_pair(name, market, listed_s) for name, market in self._by_id.items()])

    async def _margin_pairs(self, request: web.Request) -> web.Response:
        del request
        return json_response([])

    async def _tickers(self, request: web.Request) -> web.Response:
        if "currency_pair" in request.query:
            market = self._named(request)
            return json_response([self._ticker(gate_id(market.coin), market)])
        return json_response([self._ticker(name, market) for name, market in self._by_id.items()])

    async def _book(self, request: web.Request) -> web.Response:
        market, now_ms = self._named(request), self._exchange.stamp_us() // 1000
        coin, book = market.coin, market.book
        limit = _number(request, "limit", 10, _LIMIT_MAX)
        sides = {
            name: [[coin.price_text(tick), coin.amount_text(lots)] for tick, lots in book.levels(side, limit)]
            for name, side in (("asks", ASK), ("bids", BID))
        }
        return json_response({"id": book.update_id, "current": now_ms, "update": now_ms, **sides})

    async def _trades(self, request: web.Request) -> web.Response:
        market = self._named(request)
        limit, prints = _number(request, "limit", 100, _LIMIT_MAX), self._exchange.prints[market.row]
        if "from" in request.query:
            end_us = _number(request, "to", self._exchange.now_us() // 1_000_000) * 1_000_000
            found = prints.since(start_us=_number(request, "from", 0) * 1_000_000, end_us=end_us, limit=limit)
        elif "last_id" in request.query:
            found = prints.from_id(_number(request, "last_id", 0) + 1, limit)
        else:
            found = prints.newest(limit)
        offset_us = self._exchange.stamp_us() - self._exchange.now_us()
        coin, name = market.coin, gate_id(market.coin)
        return json_response(
            [
                {
                    "id": str(entry.id),
                    "create_time": str((entry.at_us + offset_us) // 1_000_000),
                    "create_time_ms": f"{(entry.at_us + offset_us) / 1000:.6f}",
                    "currency_pair": name,
                    "side": "buy" if entry.side == BUY else "sell",
                    "amount": coin.amount_text(entry.lots),
                    "price": coin.price_text(entry.tick),
                    "sequence_id": str(entry.id),
                }
                for entry in reversed(found)
            ]
        )

    async def _candles(self, request: web.Request) -> web.Response:
        market, interval = self._named(request), request.query.get("interval", "30m")
        if interval not in LENGTHS_US:
            raise _refused("INVALID_PARAM_VALUE", f"invalid interval {interval}")
        now_us = self._exchange.now_us()
        limit, length_us = _number(request, "limit", 100, _LIMIT_MAX), LENGTHS_US[interval]
        has_start = "from" in request.query
        end_us = _number(request, "to", now_us // 1_000_000) * 1_000_000
        start_us = _number(request, "from", 0) * 1_000_000 if has_start else end_us - limit * length_us
        found = candles(self._exchange.prints[market.row], length_us=length_us, start_us=start_us, end_us=end_us, now_us=now_us)
        kept = found[:_LIMIT_MAX] if has_start else found[-limit:]
        return json_response([_candle(market, candle, is_closed=candle.at_us + length_us <= now_us) for candle in kept])

    def _named(self, request: web.Request) -> CoinMarket:
        name = request.query.get("currency_pair", "")
        market = self._by_id.get(name)
        if market is None:
            raise _refused("INVALID_CURRENCY_PAIR", f"invalid currency pair {name}")
        return market

    def _ticker(self, name: str, market: CoinMarket) -> dict[str, Any]:
        coin = market.coin
        figures, quotes = day(self._exchange.prints[market.row], self._exchange.now_us()), best(market)
        candle, digits = figures.candle, coin.price_digits
        return {
            "currency_pair": name,
            "last": coin.price_text(market.last_tick),
            "lowest_ask": quotes["ask"][0],
            "lowest_size": quotes["ask"][1],
            "highest_bid": quotes["bid"][0],
            "highest_size": quotes["bid"][1],
            "change_percentage": f"{(candle.close / candle.open - 1.0) * 100.0:.2f}",
            "base_volume": f"{candle.volume:.8f}",
            "quote_volume": f"{figures.turnover:.8f}",
            "high_24h": f"{candle.high:.{digits}f}",
            "low_24h": f"{candle.low:.{digits}f}",
        }


def _refused(label: str, message: str) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=orjson.dumps({"label": label, "message": message}).decode(), content_type="application/json")


def _number(request: web.Request, name: str, default: int, largest: int | None = None) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not text.isdecimal():
        raise _refused("INVALID_PARAM_VALUE", f"invalid {name}")
    return int(text) if largest is None else max(1, min(int(text), largest))


def _candle(market: CoinMarket, candle: Minute, *, is_closed: bool) -> list[str]:
    digits, middle = market.coin.price_digits, (candle.high + candle.low) / 2
    prices = [f"{price:.{digits}f}" for price in (candle.close, candle.high, candle.low, candle.open)]
    start_s, closed = str(candle.at_us // 1_000_000), "true" if is_closed else "false"
    return [start_s, f"{candle.volume * middle:.8f}", *prices, f"{candle.volume:.8f}", closed]


def _pair(name: str, market: CoinMarket, listed_s: int) -> dict[str, Any]:
    coin = market.coin
    return {
        "id": name,
        "base": coin.base,
        "base_name": coin.base,
        "quote": QUOTE,
        "quote_name": QUOTE,
        "fee": "0.2",
        "min_base_amount": coin.amount_text(1),
        "min_quote_amount": "3",
        "amount_precision": coin.lot_digits,
        "precision": coin.price_digits,
        "trade_status": "tradable",
        "sell_start": listed_s,
        "buy_start": listed_s,
        "type": "normal",
        "st_tag": False,
    }
