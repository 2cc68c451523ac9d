"""Gate's spot streams: channels with a payload, books of 50 levels that begin with a full one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from guard.model import ASK, BID, BUY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

    from guard_sim.book import Diff, Fill
    from guard_sim.coins import Coin
    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.hub import Hub
    from guard_sim.server.reader import Reader

__all__ = ["GateSpeech", "gate_id"]

_DEPTHS = ("50", "400")
_Levels = dict[tuple[int, int], int]


def gate_id(coin: Coin) -> str:
    """Return Gate's name of a coin's market, ``BTC_USDT``."""
    return coin.symbol.replace("/", "_")


class GateSpeech:
    """Topics: ``spot.trades|BTC_USDT``, ``spot.order_book_update|BTC_USDT`` and ``spot.obu|ob.BTC_USDT.50`` (or ``.400``).

    Notes
    -----
    As on Gate: ``spot.obu`` begins with all its levels and goes on with what changed among them, numbered from one to the next
    (``U``, ``u``); a second subscription to the same book on one connection is refused with code 2. Trades carry ``id_market``,
    which counts up by one within a market.
    """

    paths: tuple[str, ...] = ("/ws/v4/",)

    def __init__(self, hub: Hub, markets: Sequence[CoinMarket]) -> None:
        self._hub = hub
        self._markets = {gate_id(market.coin): market for market in markets}
        self._shown: dict[str, tuple[int, _Levels]] = {}

    def admit(self, request: web.Request, reader: Reader) -> None:
        """Say nothing: Gate waits for the first request."""

    def answer(self, reader: Reader, text: str) -> None:
        """Carry out one command and send the reply."""
        try:
            command = json.loads(text)
            channel, event = str(command.get("channel")), command.get("event")
            payload = [str(word) for word in command.get("payload") or ()]
        except (ValueError, AttributeError, TypeError):
            reader.send(self._reply({}, error=(1, "invalid request")))
            return
        if channel == "spot.ping":
            reader.send(json.dumps({**self._times(), "channel": "spot.pong", "event": "", "result": None}))
            return
        topics = self._topics(channel, payload)
        unknown = next((topic for topic in topics if not self.symbol_of(topic)), None)
        if not topics:
            reader.send(self._reply(command, error=(1, f"unknown channel or empty payload: {channel}")))
        elif unknown is not None:
            reader.send(self._reply(command, error=(2, f"unknown currency pair: {unknown.partition('|')[2]}")))
        elif event == "unsubscribe":
            self._hub.unsubscribe(reader, topics)
            reader.send(self._reply(command))
        elif event != "subscribe":
            reader.send(self._reply(command, error=(1, f"unknown event: {event}")))
        elif channel == "spot.obu" and reader.topics.intersection(topics):
            reader.send(self._reply(command, error=(2, f"Alert sub {payload[0]}")))
        elif self._hub.takes([self.symbol_of(topic) for topic in topics]):
            reader.send(self._reply(command))
            self._hub.subscribe(reader, topics)
            for topic in topics if channel == "spot.obu" else ():
                reader.send(self._full(topic))

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Send the trades of one order."""
        coin, hub = market.coin, self._hub
        name = gate_id(coin)
        topic = f"spot.trades|{name}"
        if not hub.is_heard(topic):
            return
        stamp, now_ms, taker = hub.stamp_us(at_us), hub.stamp_us(hub.now_us) // 1000, "buy" if side == BUY else "sell"
        for trade_id, fill in enumerate(fills, first_id):
            hub.publish(
                topic,
                f'{{"time":{now_ms // 1000},"time_ms":{now_ms},"channel":"spot.trades","event":"update","result":{{"id":{trade_id},'
                f'"id_market":{trade_id},"create_time":{stamp // 1_000_000},'
                f'"create_time_ms":"{stamp // 1000}.{stamp % 1000:03d}000","side":"{taker}",'
                f'"currency_pair":"{name}","amount":"{coin.amount_text(fill.lots)}",'
                f'"price":"{coin.price_text(fill.tick)}","range":"{trade_id}-{trade_id}"}}}}',
            )

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Send a book change."""
        del at_us
        coin, hub = market.coin, self._hub
        name = gate_id(coin)
        plain = f"spot.order_book_update|{name}"
        books = [topic for topic in (f"spot.obu|ob.{name}.{depth}" for depth in _DEPTHS) if self._is_shown(topic)]
        if not books and not hub.is_heard(plain):
            return
        is_lost = hub.faults.skips(coin.id)
        for topic in books:
            before_id, before = self._shown[topic]
            now = self._shown[topic] = self._levels(topic)
            levels = _changes(before, now[1])
            if not is_lost and now[0] > before_id:
                hub.publish(topic, self._book(topic, levels, first_id=before_id + 1, last_id=now[0]))
        if hub.is_heard(plain) and not is_lost:
            now_ms = hub.stamp_us(hub.now_us) // 1000
            bids, asks = _texts(coin, list(diff.levels))
            hub.publish(
                plain,
                f'{{"time":{now_ms // 1000},"time_ms":{now_ms},"channel":"spot.order_book_update","event":"update","result":{{'
                f'"t":{now_ms},"e":"depthUpdate","E":{now_ms // 1000},"s":"{name}","U":{diff.first_id},"u":{diff.last_id},'
                f'"b":[{bids}],"a":[{asks}]}}}}',
            )

    def flush_slow(self) -> None:
        """Send nothing: there are no slow streams."""

    def forget(self, market: CoinMarket) -> None:
        """Count what is not sent as sent, so that the numbers show the hole."""
        for depth in _DEPTHS:
            topic = f"spot.obu|ob.{gate_id(market.coin)}.{depth}"
            if self._is_shown(topic):
                self._shown[topic] = self._levels(topic)

    def symbol_of(self, topic: str) -> str:
        """Return the symbol of a topic as ``BTCUSDT``, nothing for an unknown one."""
        market = self._markets.get(_name(topic))
        return "" if market is None else market.coin.id

    def is_trades(self, topic: str) -> bool:
        """Whether a topic brings trades."""
        return topic.startswith("spot.trades|")

    def null_frames(self, symbol: str) -> Sequence[tuple[str, str]]:
        """Return frames about a symbol that lack what they should carry, or carry nonsense."""
        name = next(gate_id(market.coin) for market in self._markets.values() if market.coin.id == symbol)
        trades, book = f"spot.trades|{name}", f"spot.obu|ob.{name}.50"
        trade: dict[str, Any] = {"id": None, "currency_pair": name, "side": None, "amount": "1", "price": None}
        levels = {"s": f"ob.{name}.50", "U": None, "u": None, "b": [[None, None]], "a": None}
        return (
            (trades, _update("spot.trades", trade)),
            (trades, _update("spot.trades", {**trade, "price": "NaN", "amount": {}, "create_time_ms": "soon"})),
            (trades, _update("spot.trades", None)),
            (book, _update("spot.obu", levels)),
            (trades, "null"),
        )

    def _topics(self, channel: str, payload: Sequence[str]) -> list[str]:
        match channel:
            case "spot.trades" | "spot.obu":
                return [f"{channel}|{word}" for word in payload]
            case "spot.order_book_update":
                return [f"{channel}|{word}" for word in payload[:1]]
        return []

    def _is_shown(self, topic: str) -> bool:
        if self._hub.is_heard(topic):
            return topic in self._shown
        self._shown.pop(topic, None)
        return False

    def _levels(self, topic: str) -> tuple[int, _Levels]:
        market, depth = self._markets[_name(topic)], int(topic.rpartition(".")[2])
        levels = {(side, tick): lots for side in (BID, ASK) for tick, lots in market.book.levels(side, depth)}
        return market.book.update_id, levels

    def _full(self, topic: str) -> str:
        # Readers of one book share what was shown last, so that the next change fits all of them.
        last_id, levels = self._shown.setdefault(topic, self._levels(topic))
        return self._book(topic, [(side, tick, lots) for (side, tick), lots in levels.items()], first_id=None, last_id=last_id)

    def _book(self, topic: str, levels: list[tuple[int, int, int]], *, first_id: int | None, last_id: int) -> str:
        coin, now_ms = self._markets[_name(topic)].coin, self._hub.stamp_us(self._hub.now_us) // 1000
        bids, asks = _texts(coin, levels)
        start = '"full":true' if first_id is None else f'"U":{first_id}'
        return (
            f'{{"channel":"spot.obu","result":{{"t":{now_ms},{start},"s":"{topic.partition("|")[2]}","u":{last_id},'
            f'"b":[{bids}],"a":[{asks}]}},"time_ms":{now_ms},"event":"update"}}'
        )

    def _times(self) -> dict[str, int]:
        now_ms = self._hub.stamp_us(self._hub.now_us) // 1000
        return {"time": now_ms // 1000, "time_ms": now_ms}

    def _reply(self, command: dict[str, Any], *, error: tuple[int, str] | None = None) -> str:
        document = {**self._times(), "id": command.get("id"), "conn_id": "embedded", "trace_id": "embedded"}
        document |= {key: command.get(key) for key in ("channel", "event", "payload")}
        if error is not None:
            document["error"] = {"code": error[0], "message": error[1]}
        document["result"] = {"status": "fail" if error else "success"}
        return json.dumps({**document, "requestId": "embedded"})


def _name(topic: str) -> str:
    word = topic.partition("|")[2]
    if not word.startswith("ob."):
        return word
    name, _, depth = word.removeprefix("ob.").rpartition(".")
    return name if depth in _DEPTHS else ""


def _changes(before: _Levels, now: _Levels) -> list[tuple[int, int, int]]:
    gone = [(*key, 0) for key in before if key not in now]
    return gone + [(*key, lots) for key, lots in now.items() if before.get(key) != lots]


def _texts(coin: Coin, levels: list[tuple[int, int, int]]) -> tuple[str, str]:
    sides: tuple[list[str], list[str]] = ([], [])
    for side, tick, lots in levels:
        amount = coin.amount_text(lots) if lots else "0"
        sides[side == BID].append(f'["{coin.price_text(tick)}","{amount}"]')
    return ",".join(sides[1]), ",".join(sides[0])


def _update(channel: str, content: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps({"time": 0, "time_ms": 0, "channel": channel, "event": "update", "result": content})
