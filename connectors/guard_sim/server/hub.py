"""The websocket side: who listens to what, and what they are sent."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from guard.model import BID, SELL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard_sim.book import Diff, Fill
    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.faults import Faults

__all__ = ["Hub", "Reader"]

QUEUE_MAX = 4096
_TOPICS_MAX = 1024
_HEARTBEAT_S = 20.0


class Reader:
    """One connection: its topics and a bounded queue. A reader that lets the queue fill is cut, as exchanges do."""

    def __init__(self, request: web.Request, *, has_envelope: bool) -> None:
        self.has_envelope = has_envelope
        self.topics: set[str] = set()
        self.is_cut = False
        self._request = request
        self._queue: asyncio.Queue[str] = asyncio.Queue(QUEUE_MAX)

    def send(self, text: str) -> None:
        """Queue a frame; a full queue cuts the connection."""
        try:
            self._queue.put_nowait(text)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """Close the connection without a word."""
        self.is_cut = True
        if self._request.transport is not None:
            self._request.transport.abort()

    async def write(self, socket: web.WebSocketResponse) -> None:
        """Send what is queued until the connection ends."""
        try:
            while True:
                await socket.send_str(await self._queue.get())
        except ConnectionError:
            self.cut()


class Hub:
    """Sends trades and book changes to the readers that asked for them.

    Topics: ``<symbol>@trade``, ``@aggTrade``, ``@depth@100ms`` and ``@depth`` (once a second). `sent` and `cut` count frames
    handed to readers and readers that were too slow or cut by a fault.
    """

    def __init__(self, faults: Faults, symbols: Sequence[str]) -> None:
        self._faults = faults
        self._symbols = frozenset(symbol.lower() for symbol in symbols)
        self._by_topic: dict[str, set[Reader]] = {}
        self._slow: dict[str, tuple[CoinMarket, int, int, dict[tuple[int, int], int]]] = {}
        self.readers: set[Reader] = set()
        self.now_us = 0
        self.sent = 0
        self.cut = 0

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Speak with one reader until it leaves."""
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=1 << 16)
        await socket.prepare(request)
        reader = Reader(request, has_envelope=request.path.startswith("/stream"))
        self.readers.add(reader)
        writer = asyncio.create_task(reader.write(socket))
        try:
            self._subscribe(reader, _topics_of(request))
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    reader.send(self.answer(reader, message.data))
        finally:
            writer.cancel()
            self._leave(reader)
        return socket

    def answer(self, reader: Reader, text: str) -> str:
        """Carry out one command and return the reply."""
        try:
            command = json.loads(text)
            method, number = command["method"], command.get("id")
            topics = [str(topic) for topic in command.get("params") or ()]
        except (ValueError, TypeError, KeyError, AttributeError):
            return json.dumps({"error": {"code": 2, "msg": "Invalid request: a command is {method, params, id}"}, "id": None})
        match method:
            case "SUBSCRIBE":
                unknown = [topic for topic in topics if not self._is_topic(topic)]
                if unknown:
                    return json.dumps({"error": {"code": 2, "msg": f"no stream {', '.join(unknown[:5])}"}, "id": number})
                if len(reader.topics) + len(topics) > _TOPICS_MAX:
                    return json.dumps({"error": {"code": 4, "msg": f"at most {_TOPICS_MAX} streams"}, "id": number})
                self._subscribe(reader, topics)
            case "UNSUBSCRIBE":
                for topic in topics:
                    reader.topics.discard(topic)
                    self._by_topic.get(topic, set()).discard(reader)
            case "LIST_SUBSCRIPTIONS":
                return json.dumps({"result": sorted(reader.topics), "id": number})
            case _:
                return json.dumps({"error": {"code": 2, "msg": f"no method {str(method)[:50]}"}, "id": number})
        return json.dumps({"result": None, "id": number})

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Send the trades of one order."""
        coin = market.coin
        name = coin.id.lower()
        if self._is_silent(market) or not self._heard(f"{name}@trade", f"{name}@aggTrade"):
            return
        stamp, event, sold = at_us // 1000, self.now_us // 1000, "true" if side == SELL else "false"
        for trade_id, fill in enumerate(fills, first_id):
            start = f'"E":{event},"s":"{coin.id}"'
            end = f'"p":"{coin.price_text(fill.tick)}","q":"{coin.amount_text(fill.lots)}","T":{stamp},"m":{sold},"M":true}}'
            self._publish(f"{name}@trade", f'{{"e":"trade",{start},"t":{trade_id},{end}')
            self._publish(f"{name}@aggTrade", f'{{"e":"aggTrade",{start},"a":{trade_id},"f":{trade_id},"l":{trade_id},{end}')

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Send a book change at once to the fast stream and keep it for the slow one."""
        del at_us
        name = market.coin.id.lower()
        if self._is_silent(market):
            self._slow.pop(name, None)
            return
        if self._heard(f"{name}@depth@100ms") and not self._faults.skips(market.coin.id):
            self._publish(f"{name}@depth@100ms", self._depth(market, diff.first_id, diff.last_id, diff.levels))
        if self._heard(f"{name}@depth"):
            _, first_id, _, levels = self._slow.get(name, (market, diff.first_id, 0, {}))
            levels.update({(side, tick): lots for side, tick, lots in diff.levels})
            self._slow[name] = (market, first_id, diff.last_id, levels)

    def flush_slow(self) -> None:
        """Send what the once-a-second book stream has gathered."""
        for name, (market, first_id, last_id, levels) in self._slow.items():
            rows = [(side, tick, lots) for (side, tick), lots in levels.items()]
            self._publish(f"{name}@depth", self._depth(market, first_id, last_id, rows))
        self._slow.clear()

    def break_frame(self, symbol: str | None) -> int:
        """Send one frame that is no JSON to those who listen to `symbol` (None = all) and return to how many."""
        readers = self._listening(symbol)
        for reader in readers:
            reader.send('{"e":"trade","p":')
        return len(readers)

    def drop(self, symbol: str | None) -> int:
        """Cut those who listen to `symbol` (None = all) and return how many."""
        readers = self._listening(symbol)
        for reader in readers:
            reader.cut()
        return len(readers)

    def _depth(self, market: CoinMarket, first_id: int, last_id: int, levels: Sequence[tuple[int, int, int]]) -> str:
        coin = market.coin
        bids: list[str] = []
        asks: list[str] = []
        for side, tick, lots in levels:
            (bids if side == BID else asks).append(f'["{coin.price_text(tick)}","{coin.amount_text(lots)}"]')
        return (
            f'{{"e":"depthUpdate","E":{self.now_us // 1000},"s":"{coin.id}","U":{first_id},"u":{last_id},'
            f'"b":[{",".join(bids)}],"a":[{",".join(asks)}]}}'
        )

    def _publish(self, topic: str, text: str) -> None:
        readers = self._by_topic.get(topic)
        if not readers:
            return
        wrapped = f'{{"stream":"{topic}","data":{text}}}'
        for reader in readers:
            reader.send(wrapped if reader.has_envelope else text)
        self.sent += len(readers)

    def _heard(self, *topics: str) -> bool:
        return any(self._by_topic.get(topic) for topic in topics)

    def _is_silent(self, market: CoinMarket) -> bool:
        return market.is_silent or self._faults.is_silent(market.coin.id, self.now_us)

    def _is_topic(self, topic: str) -> bool:
        symbol, _, stream = topic.partition("@")
        return symbol in self._symbols and stream in {"trade", "aggTrade", "depth", "depth@100ms"}

    def _subscribe(self, reader: Reader, topics: Sequence[str]) -> None:
        for topic in topics:
            if self._is_topic(topic):
                reader.topics.add(topic)
                self._by_topic.setdefault(topic, set()).add(reader)

    def _listening(self, symbol: str | None) -> list[Reader]:
        prefix = "" if symbol is None else f"{symbol.lower()}@"
        return [reader for reader in self.readers if not prefix or any(topic.startswith(prefix) for topic in reader.topics)]

    def _leave(self, reader: Reader) -> None:
        self.readers.discard(reader)
        self.cut += reader.is_cut
        for topic in reader.topics:
            self._by_topic[topic].discard(reader)


def _topics_of(request: web.Request) -> list[str]:
    named: Any = request.query.get("streams", "") or request.match_info.get("streams", "")
    return [topic for topic in named.split("/") if topic]
