"""A long life in a short time: messages, lost connections, renewed ones, markets that come and go; and what all that leaves behind.

Run it for as long as you like (`make soak`): PYTHONPATH=tests/connectors/guard_ccxt:connectors:. python -m soak ROUNDS MESSAGES
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ccxt_support import FrameServer, MovedClock, context, until
from small_binance import SmallBinance

from guard.model import Kind, Market
from guard_ccxt import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

AAA, BBB = Market("small", "AAA/USDT"), Market("small", "BBB/USDT")
TRADES, BOOK = "aaausdt@trade", "aaausdt@depth@100ms"
_COUNTED = (
    *("Task", "Future", "Client", "Connection", "Subscription", "Understudy", "Overlap", "Shard", "Handover", "Supervisor", "Tap"),
    *("ClientSession", "TCPConnector", "OrderBook", "ArrayCache", "WebSocketResponse", "Event", "Pace", "Backoff", "Throttler"),
)


class Tally:
    """A sink that only counts; it knows which trades it has seen."""

    def __init__(self) -> None:
        self.kinds: Counter[int] = Counter()
        self.last_key = 0
        self.doubled = 0
        self.missing = 0

    def append(self, kind: int, market: int, *, key: int = 0, **_: Any) -> None:
        self.kinds[int(kind)] += 1
        if kind == Kind.TRADE and market == 0:
            self.doubled += key <= self.last_key
            self.missing += max(0, key - self.last_key - 1)
            self.last_key = max(self.last_key, key)


class Left(NamedTuple):
    """What is there after a round: bytes that Python holds, tasks, and objects by type."""

    size: int
    tasks: int
    objects: Mapping[str, int]


class Soak:
    """One connector on a small server; each round of its life has everything in it."""

    def __init__(self, server: FrameServer, messages: int) -> None:
        clock = MovedClock()
        self.exchange = SmallBinance(server, clock)
        self.messages = messages
        self.reports: list[str] = []
        options = self.exchange.options(recycle_after_s=3600.0, dials_per_minute=1000, first_event_s=3.0, stall_after_s=5.0)
        self.connector = CcxtConnector(context("small", options, clock, reports=self.reports, chance=0.02))
        self.rows = Tally()
        self.sent = 0

    @property
    def fleet(self) -> Any:
        session = self.connector._session
        assert session is not None
        return session.fleet

    async def run(self, rounds: int, *, every: int = 1) -> list[Left]:
        """Live for so many rounds; return what was left after each `every`th."""
        await self.connector.open()
        streaming = asyncio.create_task(self.connector.stream({AAA: 0}, self.rows))
        await self.exchange.until_subscribed(TRADES, BOOK)
        left = []
        for number in range(rounds):
            await self._round()
            if number % every == 0:
                left.append(measured())
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        await self.connector.close()
        return left

    async def _round(self) -> None:
        await self._talk()
        for _ in range(3):
            self.connector.follow({AAA: 0, BBB: 1})
            await until(lambda: self._live() == 4)
            self.connector.follow({AAA: 0})
            await until(lambda: self._live() == 2)
        before = self.connector.health().reconnects
        for socket in self.exchange.listeners(TRADES) + self.exchange.listeners(BOOK):
            socket._req.transport.abort()  # type: ignore[union-attr]
        await until(lambda: self.connector.health().reconnects > before and self._live() == 2)
        done = self.connector.health().details["recycled"]
        for shard in self.fleet.shards:
            shard.due_us = 0
        await until(lambda: self.connector.health().details["recycled"] > done, seconds=20)
        await until(lambda: len(self.fleet.shards) == 1 and not self.fleet._closing and self._live() == 2)
        await until(lambda: not any(type(one).__name__ == "Handover" for one in gc.get_objects()))
        await self._talk()
        # What the server remembers of the past is no leak of guard's.
        for kept in (*self.exchange.past.values(), self.exchange.subscribes, self.exchange.unsubscribes):
            del kept[:-50]
        self.exchange.server.asked.clear()
        self.exchange.server.dials.clear()
        self.exchange.server.sockets = [socket for socket in self.exchange.server.sockets if not socket.closed]
        for stream, sockets in self.exchange.subscribers.items():
            self.exchange.subscribers[stream] = [socket for socket in sockets if not socket.closed]

    def _live(self) -> int:
        return int(self.connector.health().details["subscriptions"].get("live", 0))

    async def _talk(self) -> None:
        await until(lambda: bool(self.exchange.listeners(TRADES)) and bool(self.exchange.listeners(BOOK)))
        for number in range(self.messages):
            self.sent += 1
            await self.exchange.send_trade(self.sent, 1.0 + self.sent % 50 / 100)
            if number % 10 == 0:
                await self.exchange.send_diff([[f"0.{self.sent % 90 + 10}", str(self.sent % 7)]], [])
            if number % 100 == 0:
                await asyncio.sleep(0)
        await until(lambda: self.rows.last_key == self.sent)


def measured() -> Left:
    """Return what there is now."""
    gc.collect()
    objects = Counter(type(one).__name__ for one in gc.get_objects())
    return Left(tracemalloc.get_traced_memory()[0], len(asyncio.all_tasks()), {name: objects[name] for name in _COUNTED})


async def main(rounds: int, messages: int) -> None:
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, given: failures.append(given))
    server = FrameServer()
    await server.start()
    tracemalloc.start()
    soak = Soak(server, messages)
    every = max(1, rounds // 20)
    left = await soak.run(rounds, every=every)
    for number, one in enumerate(left):
        print(number * every, one.size // 1024, "kB", one.tasks, "tasks", {key: n for key, n in one.objects.items() if n})  # noqa: T201
    print("sent", soak.sent, "doubled", soak.rows.doubled, "missing", soak.rows.missing, dict(soak.rows.kinds))  # noqa: T201
    print("reports", soak.reports[:20], "failures", failures[:5])  # noqa: T201
    await server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
