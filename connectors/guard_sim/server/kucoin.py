"""KuCoin's spot streams: a token from REST, a welcome, topics of several symbols, and pings that are messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guard.model import BID, BUY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from guard_sim.book import Diff, Fill
    from guard_sim.coins import Coin
    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.hub import Hub
    from guard_sim.server.reader import Reader

__all__ = ["BATCH_MAX", "TOPICS_MAX", "KucoinSpeech", "kucoin_id"]

TOPICS_MAX = 300
BATCH_MAX = 100
_SAID_MAX = 100
_SAID_US = 10_000_000
_TOKENS_MAX = 1000
_CHANNELS = ("/market/match", "/market/level2")


def kucoin_id(coin: Coin) -> str:
    """Return KuCoin's name of a coin's market, ``BTC-USDT``."""
    return coin.symbol.replace("/", "-")


class KucoinSpeech:
    """Topics: ``/market/match:BTC-USDT`` and ``/market/level2:BTC-USDT``; one request may name up to 100 symbols.

    Notes
    -----
    As on KuCoin: a connection takes 300 topics and 100 messages in 10 s; what goes beyond is refused with an ``error`` message of
    code 509 and the connection stays. A token that is unknown or has expired is told so and the connection ends.
    """

    paths: tuple[str, ...] = ("/endpoint",)

    def __init__(self, hub: Hub, coins: Sequence[Coin]) -> None:
        self._hub = hub
        self._ids = frozenset(kucoin_id(coin) for coin in coins)
        self._tokens: dict[str, bool] = {}
        self._issued = 0

    def issue(self) -> str:
        """Return a new token."""
        self._issued += 1
        token = f"embedded-{self._issued:08d}"
        self._tokens[token] = True
        if len(self._tokens) > _TOKENS_MAX:
            del self._tokens[next(iter(self._tokens))]
        return token

    def expire(self) -> int:
        """Let every token expire and return how many did."""
        count = sum(self._tokens.values())
        self._tokens = dict.fromkeys(self._tokens, False)
        return count

    def admit(self, request: web.Request, reader: Reader) -> None:
        """Welcome a connection with a good token, send others away."""
        number = request.query.get("connectId", "")
        is_good = self._tokens.get(request.query.get("token", ""))
        if is_good:
            reader.send(json.dumps({"id": number, "type": "welcome"}))
            return
        why = "token is invalid" if is_good is None else "token is expired"
        reader.send(_error(number, 401, why))
        reader.close_soon(1000)

    def answer(self, reader: Reader, text: str) -> None:
        """Carry out one command and send the reply."""
        try:
            command = json.loads(text)
            number, kind = str(command.get("id", "")), command.get("type")
        except (ValueError, AttributeError):
            reader.send(_error("", 400, "invalid message"))
            return
        if self._is_too_much(reader):
            reader.send(_error(number, 509, "exceed max permits per second"))
        elif kind == "ping":
            reader.send(json.dumps({"id": number, "type": "pong", "timestamp": self._hub.stamp_us(self._hub.now_us)}))
        elif kind in ("subscribe", "unsubscribe"):
            self._change(reader, number, kind, str(command.get("topic", "")), is_answered=bool(command.get("response")))
        else:
            reader.send(_error(number, 415, "type is not supported"))

    def _change(self, reader: Reader, number: str, kind: str, topic: str, *, is_answered: bool) -> None:
        channel, _, names = topic.partition(":")
        symbols = names.split(",")
        topics = [f"{channel}:{name}" for name in symbols]
        unknown = next((name for name in symbols if name not in self._ids), None)
        new = [name for name in topics if name not in reader.topics]
        if channel not in _CHANNELS or unknown is not None:
            reader.send(_error(number, 404, f"topic {topic} is not found"))
        elif kind == "unsubscribe":
            self._hub.unsubscribe(reader, topics)
            reader.send(json.dumps({"id": number, "type": "ack"}))
        elif len(symbols) > BATCH_MAX:
            reader.send(_error(number, 509, f"exceed max subscription count limitation of {BATCH_MAX} per time"))
        elif len(reader.topics) + len(new) > TOPICS_MAX:
            reader.send(_error(number, 509, f"exceed max subscription count limitation of {TOPICS_MAX} per session"))
        elif self._hub.takes([self.symbol_of(name) for name in topics]):
            if is_answered:
                reader.send(json.dumps({"id": number, "type": "ack"}))
            self._hub.subscribe(reader, topics)

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Send the trades of one order."""
        coin, hub = market.coin, self._hub
        name = kucoin_id(coin)
        topic = f"/market/match:{name}"
        if not hub.is_heard(topic):
            return
        stamp, taker = hub.stamp_us(at_us) * 1000, "buy" if side == BUY else "sell"
        for trade_id, fill in enumerate(fills, first_id):
            hub.publish(
                topic,
                f'{{"topic":"{topic}","type":"message","subject":"trade.l3match","data":{{"makerOrderId":"{trade_id:024x}",'
                f'"price":"{coin.price_text(fill.tick)}","sequence":"{trade_id}","side":"{taker}",'
                f'"size":"{coin.amount_text(fill.lots)}","symbol":"{name}","takerOrderId":"{first_id:024x}",'
                f'"time":"{stamp}","tradeId":"{trade_id}","type":"match"}}}}',
            )

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Send a book change."""
        del at_us
        coin, hub = market.coin, self._hub
        name = kucoin_id(coin)
        topic = f"/market/level2:{name}"
        if not hub.is_heard(topic) or hub.faults.skips(coin.id):
            return
        sides: tuple[list[str], list[str]] = ([], [])
        for side, tick, lots in diff.levels:
            amount = coin.amount_text(lots) if lots else "0"
            sides[side == BID].append(f'["{coin.price_text(tick)}","{amount}","{diff.last_id}"]')
        hub.publish(
            topic,
            f'{{"topic":"{topic}","type":"message","subject":"trade.l2update","data":{{"changes":{{"asks":[{",".join(sides[0])}],'
            f'"bids":[{",".join(sides[1])}]}},"sequenceEnd":{diff.last_id},"sequenceStart":{diff.first_id},"symbol":"{name}",'
            f'"time":{hub.stamp_us(hub.now_us) // 1000}}}}}',
        )

    def flush_slow(self) -> None:
        """Send nothing: there are no slow streams."""

    def forget(self, market: CoinMarket) -> None:
        """Forget nothing: changes are sent as they come."""

    def symbol_of(self, topic: str) -> str:
        """Return the symbol of a topic as ``BTCUSDT``."""
        return topic.partition(":")[2].replace("-", "")

    def is_trades(self, topic: str) -> bool:
        """Whether a topic brings trades."""
        return topic.startswith("/market/match:")

    def null_frames(self, symbol: str) -> Sequence[tuple[str, str]]:
        """Return frames about a symbol that lack what they should carry, or carry nonsense."""
        name = next(known for known in self._ids if known.replace("-", "") == symbol)
        match, level2 = f"/market/match:{name}", f"/market/level2:{name}"
        trade: dict[str, Any] = {"symbol": name, "type": "match", "side": None, "price": None, "size": "1", "time": None}
        book = {"symbol": name, "sequenceStart": None, "sequenceEnd": None, "changes": {"asks": [[None, None]], "bids": None}}
        return (
            (match, _message(match, "trade.l3match", trade)),
            (match, _message(match, "trade.l3match", {**trade, "price": "NaN", "size": {}, "time": "soon"})),
            (match, _message(match, "trade.l3match", None)),
            (level2, _message(level2, "trade.l2update", book)),
            (match, "null"),
        )

    def _is_too_much(self, reader: Reader) -> bool:
        if self._hub.now_us - reader.window_us > _SAID_US:
            reader.window_us, reader.said = self._hub.now_us, 0
        reader.said += 1
        return reader.said > _SAID_MAX


def _message(topic: str, subject: str, data: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps({"topic": topic, "type": "message", "subject": subject, "data": data})


def _error(number: str, code: int, data: str) -> str:
    return json.dumps({"id": number, "type": "error", "code": code, "data": data})
