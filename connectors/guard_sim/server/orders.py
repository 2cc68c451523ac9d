"""Orders of a bot: market orders and marketable limits trade against the levels shown; the rest of a limit waits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from guard.model import ASK, BID, BUY, SELL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard_sim.book import Fill
    from guard_sim.market import SeededMarket
    from guard_sim.market_coin import CoinMarket

__all__ = ["OrderRefused", "Orders"]

_ORDERS_MAX = 10_000
_UNLIMITED = 1 << 60


class OrderRefused(Exception):
    """The exchange's code and message for an order it does not take."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class _Order:
    number: int
    client_id: str
    market: CoinMarket
    side: int
    type: str
    time_in_force: str
    lots: int
    limit: int | None
    at_us: int
    filled: int = 0
    cost: float = 0.0
    is_open: bool = True
    fills: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def status(self) -> str:
        if self.filled >= self.lots:
            return "FILLED"
        if self.is_open:
            return "PARTIALLY_FILLED" if self.filled else "NEW"
        return "CANCELED" if self.type == "LIMIT" else "EXPIRED"


class Orders:
    """Takes orders without looking at keys or balances.

    A resting limit order is not shown in the book; it fills when the market trades at its price or through it, up to what traded.
    At most 10,000 orders are remembered; the oldest closed ones go first.
    """

    def __init__(self, market: SeededMarket) -> None:
        self._market = market
        self._orders: dict[int, _Order] = {}
        self._next = 1

    def place(self, words: Mapping[str, str], now_us: int) -> dict[str, Any]:
        """Carry out one order and return the exchange's answer. Raises OrderRefused."""
        order = self._read(words, now_us)
        self._make_room()
        self._orders[order.number] = order
        before = order.market.next_id
        fills = order.market.take(now_us, order.side, order.lots, limit=order.limit)
        self._fill(order, fills, before)
        if order.type == "MARKET" or order.time_in_force != "GTC" or order.filled >= order.lots:
            order.is_open = False
        return self._answer(order, has_fills=True)

    def find(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Return what became of an order. Raises OrderRefused."""
        return self._answer(self._named(words))

    def open(self, symbol: str | None) -> list[dict[str, Any]]:
        """Return the orders that still wait."""
        waiting = (order for order in self._orders.values() if order.is_open)
        return [self._answer(order) for order in waiting if symbol is None or order.market.coin.id == symbol]

    def cancel(self, words: Mapping[str, str]) -> dict[str, Any]:
        """Take an order back. Raises OrderRefused where it is not open."""
        order = self._named(words)
        if not order.is_open:
            raise OrderRefused(-2011, "Unknown order sent.")
        order.is_open = False
        return self._answer(order)

    def traded(self, market: CoinMarket, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Let resting orders on the other side share in what traded at their price or through it."""
        for order in self._orders.values():
            if not order.is_open or order.market is not market or order.side == side or order.limit is None:
                continue
            for trade_id, fill in enumerate(fills, first_id):
                if order.side * (order.limit - fill.tick) >= 0 and order.filled < order.lots:
                    self._book(order, trade_id, order.limit, min(fill.lots, order.lots - order.filled))
            order.is_open = order.filled < order.lots

    def _fill(self, order: _Order, fills: Sequence[Fill], first_id: int) -> None:
        for trade_id, fill in enumerate(fills, first_id):
            self._book(order, trade_id, fill.tick, fill.lots)

    @staticmethod
    def _book(order: _Order, trade_id: int, tick: int, lots: int) -> None:
        coin = order.market.coin
        order.filled += lots
        order.cost += tick / coin.ticks_per_usdt * lots / coin.lots_per_coin
        order.fills.append((trade_id, tick, lots))

    def _read(self, words: Mapping[str, str], now_us: int) -> _Order:
        market = self._market.by_id.get(words.get("symbol", ""))
        if market is None:
            raise OrderRefused(-1121, "Invalid symbol.")
        side = {"BUY": BUY, "SELL": SELL}.get(words.get("side", "").upper())
        kind = words.get("type", "").upper()
        if side is None or kind not in {"MARKET", "LIMIT"}:
            raise OrderRefused(-1102, "side must be BUY or SELL and type MARKET or LIMIT")
        coin = market.coin
        limit = None
        if kind == "LIMIT":
            limit = round(_positive(words, "price") * coin.ticks_per_usdt)
        number, self._next = self._next, self._next + 1
        return _Order(
            number,
            words.get("newClientOrderId", f"sim{number}"),
            market,
            side,
            kind,
            words.get("timeInForce", "GTC").upper(),
            self._lots(market, words, side),
            limit,
            now_us,
        )

    @staticmethod
    def _lots(market: CoinMarket, words: Mapping[str, str], side: int) -> int:
        coin = market.coin
        if "quantity" in words:
            amount = _positive(words, "quantity")
        else:
            best = market.book.best(ASK if side == BUY else BID) or market.last_tick
            amount = _positive(words, "quoteOrderQty") / (best / coin.ticks_per_usdt)
        lots = round(amount * coin.lots_per_coin)
        if not 0 < lots < _UNLIMITED:
            raise OrderRefused(-1013, "Filter failure: LOT_SIZE")
        return lots

    def _named(self, words: Mapping[str, str]) -> _Order:
        number, client_id = words.get("orderId", ""), words.get("origClientOrderId")
        order = self._orders.get(int(number)) if number.isdecimal() else None
        if order is None and client_id:
            order = next((each for each in self._orders.values() if each.client_id == client_id), None)
        if order is None:
            raise OrderRefused(-2013, "Order does not exist.")
        return order

    def _make_room(self) -> None:
        if len(self._orders) < _ORDERS_MAX:
            return
        closed = next((number for number, order in self._orders.items() if not order.is_open), None)
        if closed is None:
            raise OrderRefused(-1015, "Too many open orders.")
        del self._orders[closed]

    @staticmethod
    def _answer(order: _Order, *, has_fills: bool = False) -> dict[str, Any]:
        coin = order.market.coin
        answer: dict[str, Any] = {
            "symbol": coin.id,
            "orderId": order.number,
            "orderListId": -1,
            "clientOrderId": order.client_id,
            "transactTime": order.at_us // 1000,
            "time": order.at_us // 1000,
            "updateTime": order.at_us // 1000,
            "price": coin.price_text(order.limit or 0),
            "origQty": coin.amount_text(order.lots),
            "executedQty": coin.amount_text(order.filled),
            "cummulativeQuoteQty": f"{order.cost:.8f}",
            "status": order.status,
            "timeInForce": order.time_in_force,
            "type": order.type,
            "side": "BUY" if order.side == BUY else "SELL",
            "isWorking": True,
        }
        if has_fills:
            answer["fills"] = [
                {
                    "price": coin.price_text(tick),
                    "qty": coin.amount_text(lots),
                    "commission": "0",
                    "commissionAsset": coin.base,
                    "tradeId": trade_id,
                }
                for trade_id, tick, lots in order.fills
            ]
        return answer


def _positive(words: Mapping[str, str], name: str) -> float:
    try:
        value = float(words.get(name, ""))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise OrderRefused(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value
