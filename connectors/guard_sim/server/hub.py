"""The websocket side that every dialect shares: who listens to what, and how that breaks."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from aiohttp import WSMsgType, web

from guard_sim.server.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from guard_sim.book import Diff, Fill
    from guard_sim.market_coin import CoinMarket
    from guard_sim.server.faults import Faults

__all__ = ["Hub", "Speech"]

_HEARTBEAT_S = 20.0
_REPEATED_MAX = 20


class Speech(Protocol):
    """How one exchange speaks over its websockets."""

    paths: tuple[str, ...]

    def admit(self, request: web.Request, reader: Reader) -> None:
        """Look at a connection that has been opened: greet, subscribe, or close it."""
        ...

    def answer(self, reader: Reader, text: str) -> None:
        """Carry out one command and send the replies."""
        ...

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Send the trades of one order."""
        ...

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Send a book change."""
        ...

    def flush_slow(self) -> None:
        """Send what once-a-second streams have gathered."""
        ...

    def forget(self, market: CoinMarket) -> None:
        """Drop what was gathered about `market`: it is silent."""
        ...

    def symbol_of(self, topic: str) -> str:
        """Return the symbol of a topic as ``BTCUSDT``."""
        ...

    def is_trades(self, topic: str) -> bool:
        """Whether a topic brings trades."""
        ...

    def null_frames(self, symbol: str) -> Sequence[tuple[str, str]]:
        """Return frames (topic, text) about a symbol that lack what they should carry, or carry nonsense."""
        ...


class Hub:
    """Sends trades and book changes to the readers that asked for them.

    `speech` must be set before anything else happens. `sent` and `cut` count frames handed to readers and readers that were too
    slow or cut by a fault.
    """

    speech: Speech

    def __init__(self, faults: Faults, now_us: Callable[[], int]) -> None:
        self.faults = faults
        self._clock_us = now_us
        self._by_topic: dict[str, set[Reader]] = {}
        self._newest: dict[str, deque[str]] = {}
        self._held: list[tuple[int, str, str]] = []
        self._counted = 0
        self.readers: set[Reader] = set()
        self.now_us = now_us()
        self.sent = 0
        self.cut = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Speak with one reader until it leaves."""
        refusal = self.faults.refusal(self._clock_us())
        if refusal is not None:
            return self._refused(*refusal)
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_S, max_msg_size=1 << 16, autoping=False)
        await socket.prepare(request)
        reader = Reader(request, born_us=self._clock_us(), has_envelope=request.path.startswith("/stream"))
        reader.socket = socket
        self.readers.add(reader)
        writer = asyncio.create_task(reader.write(self.faults, self._clock_us))
        try:
            self.speech.admit(request, reader)
            async for message in socket:
                if reader.is_dead or self.faults.is_mute(self._clock_us()):
                    continue
                if message.type is WSMsgType.TEXT:
                    self.speech.answer(reader, message.data)
                elif message.type is WSMsgType.PING:
                    await socket.pong(message.data)
        except ConnectionError:
            pass
        finally:
            writer.cancel()
            await reader.left()
            self._leave(reader)
        return socket

    def traded(self, market: CoinMarket, at_us: int, first_id: int, fills: Sequence[Fill], side: int) -> None:
        """Send the trades of one order."""
        if not self._is_silent(market) and not self.faults.skips(market.coin.id, "skip_trades"):
            self.speech.traded(market, at_us, first_id, fills, side)

    def changed(self, market: CoinMarket, at_us: int, diff: Diff) -> None:
        """Send a book change."""
        if self._is_silent(market):
            self.speech.forget(market)
        else:
            self.speech.changed(market, at_us, diff)

    def beat(self) -> None:
        """Do what comes with time: let go of late trades, close connections that are too old."""
        if self._held and self._held[0][0] <= self.now_us:
            due = [entry for entry in self._held if entry[0] <= self.now_us]
            self._held = [entry for entry in self._held if entry[0] > self.now_us]
            for _, topic, text in due:
                self._hand(topic, text)
        life_us = self.faults.life_us(self.now_us)
        if life_us is not None:
            for reader in self.readers:
                if self.now_us - reader.born_us > life_us:
                    reader.close(1001)

    def flush_slow(self) -> None:
        """Send what once-a-second streams have gathered."""
        self.speech.flush_slow()

    def publish(self, topic: str, text: str) -> None:
        """Send a frame to those who listen to `topic`."""
        if topic not in self._by_topic or not self._by_topic[topic]:
            return
        if self.speech.is_trades(topic):
            self._newest.setdefault(topic, deque(maxlen=_REPEATED_MAX)).append(text)
            if self._is_late(topic, text):
                return
        self._hand(topic, text)

    def is_heard(self, *topics: str) -> bool:
        """Whether somebody listens to one of `topics`."""
        return any(self._by_topic.get(topic) for topic in topics)

    def stamp_us(self, at_us: int) -> int:
        """Return `at_us` as the exchange's own clock shows it."""
        return at_us + self.faults.offset_us(self.now_us)

    def takes(self, symbols: Iterable[str]) -> bool:
        """Whether a subscription to `symbols` is heard at all."""
        now_us = self._clock_us()
        return not any(self.faults.left_us("unacknowledged", now_us, symbol) for symbol in symbols)

    def subscribe(self, reader: Reader, topics: Iterable[str]) -> None:
        """Let `reader` listen to `topics`."""
        for topic in topics:
            reader.topics.add(topic)
            self._by_topic.setdefault(topic, set()).add(reader)

    def unsubscribe(self, reader: Reader, topics: Iterable[str]) -> None:
        """Let `reader` listen to `topics` no more."""
        for topic in topics:
            reader.topics.discard(topic)
            self._by_topic.get(topic, set()).discard(reader)

    def send_to(self, symbol: str | None, text: str) -> int:
        """Send a frame as it is to those who listen to `symbol` (None = all) and return to how many."""
        readers = self._listening(symbol)
        for reader in readers:
            reader.send(text)
        return len(readers)

    def break_frame(self, symbol: str | None) -> int:
        """Send one frame that is no JSON."""
        return self.send_to(symbol, '{"e":"trade","p":')

    def send_nonsense(self, symbol: str) -> int:
        """Send frames with fields that are null, missing or of the wrong kind, and return how many."""
        frames = self.speech.null_frames(symbol)
        for topic, text in frames:
            self._hand(topic, text)
        return len(frames)

    def repeat(self, symbol: str | None) -> int:
        """Send the last trades again, up to 20 of each topic, and return how many."""
        count = 0
        for topic, frames in self._newest.items():
            if symbol in (None, self.speech.symbol_of(topic)):
                for text in list(frames):
                    self._hand(topic, text)
                    count += 1
        return count

    def drop(self, symbol: str | None) -> int:
        """Cut those who listen to `symbol` (None = all) and return how many."""
        readers = self._listening(symbol)
        for reader in readers:
            reader.cut()
        return len(readers)

    def close(self, symbol: str | None, code: int) -> int:
        """Close the connections of those who listen to `symbol` with a code, and return how many."""
        readers = self._listening(symbol)
        for reader in readers:
            reader.close(code)
        return len(readers)

    def strand(self, symbol: str | None) -> int:
        """Let those connections break without a word to either side, and return how many."""
        readers = self._listening(symbol)
        for reader in readers:
            reader.die()
        return len(readers)

    def _hand(self, topic: str, text: str) -> None:
        readers = self._by_topic.get(topic)
        if not readers:
            return
        wrapped = f'{{"stream":"{topic}","data":{text}}}'
        for reader in readers:
            reader.send(wrapped if reader.has_envelope else text)
        self.sent += len(readers)

    def _is_late(self, topic: str, text: str) -> bool:
        # Every other frame is held back until the fault ends, so that later ones overtake it.
        symbol = self.speech.symbol_of(topic)
        left_us = self.faults.left_us("late", self.now_us, symbol)
        if not left_us:
            return False
        self._counted += 1
        if self._counted % 2:
            self._held.append((self.now_us + left_us, topic, text))
        return bool(self._counted % 2)

    def _refused(self, status: int, left_us: int) -> web.Response:
        wait = {"Retry-After": str(max(1, round(left_us / 1e6)))} if self.faults.has_retry_after else {}
        return web.Response(status=status, headers=wait)

    def _is_silent(self, market: CoinMarket) -> bool:
        return market.is_silent or self.faults.is_silent(market.coin.id, self.now_us)

    def _listening(self, symbol: str | None) -> list[Reader]:
        name = self.speech.symbol_of
        return [reader for reader in self.readers if symbol is None or any(name(topic) == symbol for topic in reader.topics)]

    def _leave(self, reader: Reader) -> None:
        self.readers.discard(reader)
        self.cut += reader.is_cut
        for topic in reader.topics:
            self._by_topic[topic].discard(reader)
