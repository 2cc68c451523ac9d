"""Binance's spot streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guard.model import BID, SELL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from guard_sim.book import Diff, Fill
    from guard_sim.coins import Coin
    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.hub import Hub
    from guard_sim.server.reader import Reader

__all__ = ["BinanceSpeech"]

_TOPICS_MAX = 1024


class BinanceSpeech:
    """Topics: ``<symbol>@trade``, ``@aggTrade``, ``@depth@100ms`` and ``@depth`` (once a second)."""

    # The last two are where ccxt looks for the streams of contracts.
    paths: tuple[str, ...] = (
        "/stream",
        "/stream/{streams:.*}",
        "/ws",
        "/ws/{streams:.*}",
        "/public/ws/{streams:.*}",
        "/market/ws/{streams:.*}",
    )

    def __init__(self, hub: Hub, coins: Sequence[Coin]) -> None:
        self._hub = hub
        self._symbols = frozenset(coin.id.lower() for coin in coins)
        self._slow: dict[str, tuple[CoinMarket, int, int, dict[tuple[int, int], int]]] = {}

    def admit(self, request: web.Request, reader: Reader) -> None:
        """Subscribe to what the address names."""
        self._hub.subscribe(reader, [topic for topic in _topics_of(request) if self._is_topic(topic)])

    def answer(self, reader: Reader, text: str) -> None:
        """Carry out one command and send the reply."""
        reply = self._reply(reader, text)
        if reply is not None:
            reader.send(reply)

    def _reply(self, reader: Reader, text: str) -> str | None:
        try:
            command = json.loads(text)
            method, number = command["method"], command.get("id")
            topics = [str(topic) for topic in command.get("params") or ()]
        except (ValueError, TypeError, KeyError, AttributeError):
            return json.dumps({"error": {"code": 2, "msg": "Invalid request: a command is {method, params, id}"}, "id": None})
        if method == "LIST_SUBSCRIPTIONS":
            return json.dumps({"result": sorted(reader.topics), "id": number})
        error = None
        if method == "SUBSCRIBE":
            error = self._objection(reader, topics)
            if error is None and not self._hub.takes([self.symbol_of(topic) for topic in topics]):
                return None
            self._hub.subscribe(reader, () if error else topics)
        elif method == "UNSUBSCRIBE":
            self._hub.unsubscribe(reader, topics)
        else:
            error = {"code": 2, "msg": f"no method {str(method)[:50]}"}
        return json.dumps({"error": error, "id": number} if error else {"result": None, "id": number})

    def _objection(self, reader: Reader, topics: list[str]) -> dict[str, Any] | None:
        unknown = [topic for topic in topics if not self._is_topic(topic)]
        if unknown:
            return {"code": 2, "msg": f"no stream {', '.join(unknown[:5])}"}
        if len(reader.topics) + len(topics) > _TOPICS_MAX:
            return {"code": 4, "msg": f"at most {_TOPICS_MAX} streams"}
        return None

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Send the trades of one order."""
        coin, hub = market.coin, self._hub
        name = coin.id.lower()
        if not hub.is_heard(f"{name}@trade", f"{name}@aggTrade"):
            return
        stamp, event = hub.stamp_us(at_us) // 1000, hub.stamp_us(hub.now_us) // 1000
        sold = "true" if side == SELL else "false"
        for trade_id, fill in enumerate(fills, first_id):
            start = f'"E":{event},"s":"{coin.id}"'
            end = f'"p":"{coin.price_text(fill.tick)}","q":"{coin.amount_text(fill.lots)}","T":{stamp},"m":{sold},"M":true}}'
            hub.publish(f"{name}@trade", f'{{"e":"trade",{start},"t":{trade_id},{end}')
            hub.publish(f"{name}@aggTrade", f'{{"e":"aggTrade",{start},"a":{trade_id},"f":{trade_id},"l":{trade_id},{end}')

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Send a book change at once to the fast stream and keep it for the slow one."""
        del at_us
        name = market.coin.id.lower()
        if self._hub.is_heard(f"{name}@depth@100ms") and not self._hub.faults.skips(market.coin.id):
            self._hub.publish(f"{name}@depth@100ms", self._depth(market, diff.first_id, diff.last_id, diff.levels))
        if self._hub.is_heard(f"{name}@depth"):
            _, first_id, _, levels = self._slow.get(name, (market, diff.first_id, 0, {}))
            levels.update({(side, tick): lots for side, tick, lots in diff.levels})
            self._slow[name] = (market, first_id, diff.last_id, levels)

    def flush_slow(self) -> None:
        """Send what the once-a-second book stream has gathered."""
        for name, (market, first_id, last_id, levels) in self._slow.items():
            rows = [(side, tick, lots) for (side, tick), lots in levels.items()]
            self._hub.publish(f"{name}@depth", self._depth(market, first_id, last_id, rows))
        self._slow.clear()

    def forget(self, market: CoinMarket) -> None:
        """Drop what was gathered about `market`."""
        self._slow.pop(market.coin.id.lower(), None)

    def symbol_of(self, topic: str) -> str:
        """Return the symbol of a topic as ``BTCUSDT``."""
        return topic.partition("@")[0].upper()

    def is_trades(self, topic: str) -> bool:
        """Whether a topic brings trades."""
        return topic.endswith("rade")

    def null_frames(self, symbol: str) -> Sequence[tuple[str, str]]:
        """Return frames about a symbol that lack what they should carry, or carry nonsense."""
        trades, depth = f"{symbol.lower()}@trade", f"{symbol.lower()}@depth@100ms"
        start = f'"E":{self._hub.now_us // 1000},"s":"{symbol}"'
        return (
            (trades, f'{{"e":"trade",{start},"t":null,"p":null,"q":"1","T":null,"m":true,"M":true}}'),
            (trades, f'{{"e":"trade",{start},"p":"NaN","q":{{}},"T":"soon"}}'),
            (depth, f'{{"e":"depthUpdate",{start},"U":null,"u":null,"b":null,"a":[[null,null]]}}'),
            (trades, "null"),
            (trades, "[]"),
        )

    def _depth(self, market: CoinMarket, first_id: int, last_id: int, levels: Sequence[tuple[int, int, int]]) -> str:
        coin, hub = market.coin, self._hub
        bids: list[str] = []
        asks: list[str] = []
        for side, tick, lots in levels:
            (bids if side == BID else asks).append(f'["{coin.price_text(tick)}","{coin.amount_text(lots)}"]')
        return (
            f'{{"e":"depthUpdate","E":{hub.stamp_us(hub.now_us) // 1000},"s":"{coin.id}","U":{first_id},"u":{last_id},'
            f'"b":[{",".join(bids)}],"a":[{",".join(asks)}]}}'
        )

    def _is_topic(self, topic: str) -> bool:
        symbol, _, stream = topic.partition("@")
        return symbol in self._symbols and stream in {"trade", "aggTrade", "depth", "depth@100ms"}


def _topics_of(request: web.Request) -> list[str]:
    named: Any = request.query.get("streams", "") or request.match_info.get("streams", "")
    return [topic for topic in named.split("/") if topic]
