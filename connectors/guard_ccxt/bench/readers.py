"""The two ways to read an exchange that are compared: stock ccxt's loop, and the connector. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from guard.model import RECORD, Batch, Flag, Kind, Market
from guard.model.ports import ConnectorContext
from guard_ccxt.bench.clock import MachineClock
from guard_ccxt.connector import CcxtConnector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model import MarketFacts

__all__ = ["Connected", "Reader", "Stock", "reader"]

_TRADE, _LAST = int(Kind.TRADE), int(Flag.LAST)
_GROUP = 200
_ROWS = 512
_write, _BYTES = RECORD.pack_into, RECORD.size


class Reader(Protocol):
    """Reads one exchange. `stall` holds its consumer up for so long, once, at the next message."""

    stall_s: float

    async def open(self) -> None:
        """Connect and begin to read."""
        ...

    def count(self) -> int:
        """Return how many of the trades, or of the messages of books, have arrived at the consumer."""
        ...

    def is_ready(self) -> bool:
        """Whether every stream is there."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


def _options(url: str, client: str) -> dict[str, Any]:
    base = url.replace("http", "ws", 1)
    return {"api": {"public": f"{url}/{client}/api/v3", "ws": {"spot": f"{base}/{client}/stream"}}}


class Counting:
    """A sink as guard's own: a row is packed into a batch, which is looked at when it is full and then used again."""

    def __init__(self) -> None:
        self.batch = Batch(_ROWS)
        self.trades = 0
        self.messages = 0
        self.stall_s = 0.0

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        """Take one row."""
        self.put(kind, market, at_us, received_us, price, amount, side, key, flags)

    def put(  # noqa: PLR0917 - as guard's own
        self,
        kind: int,
        market: int,
        at_us: int,
        received_us: int,
        price: float,
        amount: float,
        side: int,
        key: int,
        flags: int,
    ) -> None:
        """Take one row by place."""
        batch = self.batch
        at = batch.length
        if at == _ROWS:
            self.look()
            at = 0
        _write(batch.records, at * _BYTES, at_us, received_us, price, amount, key, market, kind, side, flags)
        batch.length = at + 1
        if self.stall_s:
            seconds, self.stall_s = self.stall_s, 0.0
            MachineClock().block(seconds)

    def levels(
        self, market: int, changes: Sequence[tuple[int, float, float]], *, at_us: int, received_us: int, key: int, flags: int
    ) -> None:
        """Take one message of a book."""
        if self.batch.length + len(changes) > _ROWS:
            self.look()
        self.batch.levels(market, changes, at_us=at_us, received_us=received_us, key=key, flags=flags)
        if self.stall_s:
            seconds, self.stall_s = self.stall_s, 0.0
            MachineClock().block(seconds)

    def look(self) -> None:
        """Count what is in the batch, and empty it."""
        batch = self.batch
        self.trades += bytes(batch.kind[: batch.length]).count(_TRADE)
        # A message whose last row has no other flag: not a whole book.
        self.messages += bytes(batch.flags[: batch.length]).count(_LAST)
        batch.clear()


class Connected:
    """The connector in one of its tiers."""

    def __init__(self, url: str, tier: str, what: str, markets: int) -> None:
        self._sink = Counting()
        self._what = what
        self._markets = markets
        self.reports: list[str] = []
        options = {
            "id": "binance",
            "urls": _options(url, tier),
            "types": ["spot"],
            "has": {"fetchTickers": False},
            "tier": "auto" if tier == "fast" else tier,
        }
        self.connector = CcxtConnector(
            ConnectorContext("binance", options, frozenset({what}), MachineClock(), _Even(), "", self.reports.append)
        )
        self._streaming: asyncio.Task[None] | None = None

    @property
    def stall_s(self) -> float:
        """How long the sink will stall."""
        return self._sink.stall_s

    @stall_s.setter
    def stall_s(self, seconds: float) -> None:
        self._sink.stall_s = seconds

    async def open(self) -> None:
        """Connect and begin to read."""
        facts: list[MarketFacts] = list(await self.connector.open())
        markets: dict[Market, int] = {fact.market: row for row, fact in enumerate(facts[: self._markets])}
        self._streaming = asyncio.create_task(self.connector.stream(markets, self._sink))

    def is_ready(self) -> bool:
        """Whether every stream is there."""
        phases = (self.connector.health().details or {}).get("subscriptions", {})
        return bool(sum(phases.values()) == phases.get("live") == self._markets)

    def count(self) -> int:
        """Return how many trades or messages of books arrived."""
        self._sink.look()
        return self._sink.messages if self._what == "book" else self._sink.trades

    async def close(self) -> None:
        """Let go."""
        if self._streaming is not None:
            self._streaming.cancel()
        await self.connector.close()


class Stock:
    """The loop that ccxt's manual shows, over all markets at once."""

    def __init__(self, url: str, what: str, markets: int) -> None:
        import ccxt.pro  # noqa: PLC0415 - seconds, for this one alone

        self.stall_s = 0.0
        self._what = what
        self._markets = markets
        self._received = 0
        self._books: dict[str, int] = {}
        self._exchange = ccxt.pro.binance({"newUpdates": True})
        self._exchange.urls = self._exchange.deep_extend(self._exchange.urls, _options(url, "stock"))
        self._exchange.options["fetchMarkets"] = {"types": ["spot"]}
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect and begin to read."""
        await self._exchange.load_markets()
        symbols = list(self._exchange.markets)[: self._markets]
        read: Callable[[list[str]], Any] = self._read_books if self._what == "book" else self._read_trades
        self._tasks = [asyncio.create_task(read(symbols[at : at + _GROUP])) for at in range(0, len(symbols), _GROUP)]

    def is_ready(self) -> bool:
        """Whether every stream is there."""
        if self._what == "book":
            books = self._exchange.orderbooks or {}
            return sum(book["nonce"] is not None for book in books.values()) == self._markets
        return bool(self._exchange.clients) and all(client.isConnected for client in self._exchange.clients.values())

    def count(self) -> int:
        """Return how many trades arrived, or how many times a book was shown."""
        return self._received

    async def close(self) -> None:
        """Let go."""
        for task in self._tasks:
            task.cancel()
        await self._exchange.close()

    async def _read_trades(self, symbols: list[str]) -> None:
        while True:
            trades = await self._exchange.watch_trades_for_symbols(symbols)
            self._received += len(trades)
            await self._stall()

    async def _read_books(self, symbols: list[str]) -> None:
        while True:
            await self._exchange.watch_order_book_for_symbols(symbols, 100)
            self._received += 1
            await self._stall()

    async def _stall(self) -> None:
        if self.stall_s:
            seconds, self.stall_s = self.stall_s, 0.0
            await MachineClock().sleep(seconds)


class _Even:
    def random(self) -> float:
        return 0.5


def reader(url: str, tier: str, what: str, markets: int) -> Reader:
    """Return the reader of a tier: ``stock``, ``generic`` or ``fast``."""
    return Stock(url, what, markets) if tier == "stock" else Connected(url, tier, what, markets)
