"""A clock that a test moves, connectors that fail on command, and a sink that writes down what it gets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from guard.model import Channel, Kind, Market, MarketFacts, Status
from guard.model.ports import ConnectorHealth
from guard.runtime.feed import Feed, FeedPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.model.ports import Clock, Sink

A, B = Market("x", "A/USDT"), Market("x", "B/USDT")


class Chance:
    def random(self) -> float:
        return 0.5


class Rows:
    """A sink."""

    def __init__(self) -> None:
        self.rows: list[tuple[Kind, int, int, int]] = []

    def append(self, kind: int, market: int, *, side: int = 0, key: int = 0, **_: float) -> None:
        self.rows.append((Kind(kind), market, side, key))

    def lost(self) -> set[int]:
        """Return the rows of markets that were told to be lost."""
        return {row for kind, row, side, key in self.rows if (kind, side, key) == (Kind.STATUS, Channel.ALL, Status.LOST)}


def say_live(markets: Mapping[Market, int], sink: Sink) -> None:
    for row in markets.values():
        sink.append(Kind.STATUS, row, at_us=1, received_us=1, side=Channel.ALL, key=Status.LIVE)


class Script:
    """What the connectors of a test do, one after the other; shared by all that a feed makes.

    Each of `open`, `history`, `stream`, `close` is an exception to raise, ``"hang"`` or None (all is well; a stream runs on).
    """

    def __init__(self, **first: object) -> None:
        self.does: dict[str, object] = {"open": None, "history": None, "stream": None, "close": None, **first}
        self.made = 0
        self.states: dict[str, str] = {"ws://x": "live"}
        self.fail = asyncio.Event()
        self.asked: list[Market] = []
        self.followed: list[dict[Market, int]] = []
        self.live: Callable[[Mapping[Market, int], Sink], None] = say_live

    def connect(self) -> ScriptedConnector:
        self.made += 1
        return ScriptedConnector(self)


class ScriptedConnector:
    """A connector that does what its script says."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def _do(self, what: str) -> None:
        order = self._script.does[what]
        if order == "hang":
            await asyncio.Event().wait()
        if isinstance(order, BaseException):
            raise order

    async def open(self) -> Sequence[MarketFacts]:
        await self._do("open")
        return [MarketFacts(A), MarketFacts(B)]

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        del row, sink, since_us
        if market == A:
            await self._do("history")

    async def stream(self, markets: Mapping[Market, int], sink: Sink) -> None:
        self._script.live(markets, sink)
        await self._do("stream")
        await self._script.fail.wait()
        self._script.fail.clear()
        raise RuntimeError("the stream broke")

    def follow(self, markets: Mapping[Market, int]) -> None:
        self._script.followed.append(dict(markets))

    def resync(self, market: Market) -> None:
        self._script.asked.append(market)

    async def close(self) -> None:
        await self._do("close")

    def health(self) -> ConnectorHealth:
        return ConnectorHealth(0, {}, 0, 0, 0, 0.0, dict(self._script.states), None)


def plan(name: str = "x", *, markets: Sequence[str] = ("*",)) -> FeedPlan:
    return FeedPlan(name, markets, (), (), 10, 0, 1.0)


def feed_of(
    script: Script, clock: Clock, *, sink: Sink | None = None, open_market: Callable[[MarketFacts], int] | None = None
) -> Feed:
    rows = {A: 0, B: 1}
    return Feed(
        plan(),
        connect=script.connect,
        open_market=open_market or (lambda facts: rows[facts.market]),
        sink=sink or Rows(),
        clock=clock,
        random=Chance(),
    )
