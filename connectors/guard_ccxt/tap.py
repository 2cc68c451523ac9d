"""Takes trades and books at ccxt's `Client.resolve`, for every exchange alike. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ccxt import ChecksumError, NetworkError
from ccxt.async_support.base.ws.cache import ArrayCache
from ccxt.async_support.base.ws.client import Client
from ccxt.async_support.base.ws.order_book import OrderBook

from guard.model import Channel, Status
from guard_ccxt import recording
from guard_ccxt.pump import Connection, pump
from guard_ccxt.sequence import begin_anew, watch_book_numbers

if TYPE_CHECKING:
    from guard.model.ports import Clock
    from guard_ccxt.counters import Counters
    from guard_ccxt.subscription import Subscription

__all__ = ["Tap", "missing_names"]

_CLIENT_NAMES = ("resolve", "reject", "future", "receive_loop", "handle_message", "on_close", "on_error", "closed", "close")
_EXCHANGE_NAMES = ("client", "fetch", "order_book", "indexed_order_book", "counted_order_book")
_CACHE_NAMES = ("clear", "append")
_CLOSE_S = 1.0
_CONNECTIONS_MAX = 64


def missing_names(exchange: Any) -> list[str]:
    """Return the names of ccxt that the tap needs and this ccxt does not have; a contract test pins them."""
    wanted = [(Client, _CLIENT_NAMES), (exchange, _EXCHANGE_NAMES), (ArrayCache, _CACHE_NAMES)]
    return [
        f"{getattr(owner, '__name__', owner.__class__.__name__)}.{name}"
        for owner, names in wanted
        for name in names
        if not hasattr(owner, name)
    ]


class Tap:
    """Hooks of one ccxt exchange, all set as attributes of instances.

    Parameters
    ----------
    exchange
        An instance of any ccxt.pro class.
    clock, counters
        Shared parts of the connector.
    levels_max
        Levels kept on each side of a book. > 0.
    bad_frames_max
        Bad frames in a row that end a connection. > 0.

    Notes
    -----
    The future of a `watch_*` call that the tap serves stays pending for the life of its connection and fails when ccxt tears it
    down. ccxt's cache of trades is emptied at once: it costs 2 kB for each trade.
    """

    def __init__(self, exchange: Any, *, clock: Clock, counters: Counters, levels_max: int, bad_frames_max: int) -> None:
        self.exchange = exchange
        self.subscriptions: dict[tuple[Channel, str], Subscription] = {}
        self.callers: dict[asyncio.Task[Any], Subscription] = {}
        self.connections: dict[str, Connection] = {}
        self._clock = clock
        self._counters = counters
        self._levels_max = levels_max
        self._bad_frames_max = bad_frames_max
        self._stock_client = exchange.client
        self._closing: set[asyncio.Task[Any]] = set()

    def install(self) -> None:
        """Put the hooks in place."""
        self.exchange.client = self._client
        watch_book_numbers(self.exchange, self._book_hole)
        self.exchange.order_book = recording.order_book
        self.exchange.indexed_order_book = recording.indexed_order_book
        self.exchange.counted_order_book = recording.counted_order_book

    def drop(self, connection: Connection, why: str) -> None:
        """Give up a connection: its subscriptions fail and are made anew on another socket."""
        client = connection.client
        error = NetworkError(why)
        client.error = client.error or error
        url, clients = client.url, self.exchange.clients or {}
        if clients.get(url) is client:
            del clients[url]
        client.reject(error)
        task = asyncio.ensure_future(_close(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every connection, within about a second."""
        for connection in list(self.connections.values()):
            self.drop(connection, "closed by guard")
        tasks = {task for connection in self.connections.values() for task in connection.tasks}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._closing, return_exceptions=True)
        self.connections.clear()

    def take_book(self, book: Any, received_us: int) -> bool:
        """Hand a book to its subscription; False where nobody asked for it."""
        subscription = self.subscriptions.get((Channel.BOOK, book.get("symbol") or ""))
        if subscription is None:
            return False
        is_cut = recording.trim(book["bids"], self._levels_max) | recording.trim(book["asks"], self._levels_max)
        subscription.on_book(book, received_us, drain=recording.drain, is_cut=is_cut)
        return True

    def take_trades(self, trades: Any, received_us: int) -> None:
        """Hand trades to their subscriptions."""
        for trade in trades:
            subscription = self.subscriptions.get((Channel.TRADES, trade.get("symbol") or ""))
            if subscription is None:
                self._counters.reject("symbol_not_watched")
            else:
                subscription.on_trades((trade,), received_us)

    def _book_hole(self, symbol: str) -> None:
        subscription = self.subscriptions.get((Channel.BOOK, symbol))
        if subscription is None or not subscription.is_live or subscription.connection is None:
            return  # it is being made anew already
        subscription.lose(Status.LOST)
        subscription.stale_on = subscription.connection
        why = ChecksumError(f"{symbol}: changes of the book were left out")
        begin_anew(self.exchange, subscription.connection.client, symbol, subscription.hashes, why)

    def _client(self, url: str) -> Any:
        client = self._stock_client(url)
        connection = self.connections.get(url)
        if connection is None or connection.client is not client:
            self._forget_lost()
            connection = self.connections[url] = self._hook(client)
        subscription = self._caller()
        if subscription is not None:
            subscription.connection = connection
        return client

    def _forget_lost(self) -> None:
        # Some exchanges put a token into the url: each connection has a new one.
        if len(self.connections) >= _CONNECTIONS_MAX:
            self.connections = {url: connection for url, connection in self.connections.items() if connection.state != "lost"}

    def _caller(self) -> Subscription | None:
        task = asyncio.current_task()
        return None if task is None else self.callers.get(task)

    def _hook(self, client: Any) -> Connection:
        connection = Connection(client, self._clock)
        stock_resolve, stock_future = client.resolve, client.future

        def resolve(outcome: Any, message_hash: Any) -> Any:
            received_us = connection.received_us or self._clock.now_us()
            if isinstance(outcome, OrderBook):
                return outcome if self.take_book(outcome, received_us) else stock_resolve(outcome, message_hash)
            if type(outcome) is ArrayCache:
                trades = list(outcome)
                outcome.clear()
                self.take_trades(trades, received_us)
                return outcome
            return stock_resolve(outcome, message_hash)

        def future(message_hash: Any) -> Any:
            subscription = self._caller()
            if subscription is not None:
                subscription.hashes.add(message_hash)
            return stock_future(message_hash)

        def receive_loop() -> None:
            if client.error is not None:  # given up while it was still being opened
                task = asyncio.ensure_future(_close(client))
            else:
                task = asyncio.ensure_future(pump(connection, self._counters, bad_frames_max=self._bad_frames_max))
            connection.tasks.add(task)
            task.add_done_callback(connection.tasks.discard)

        client.resolve, client.future, client.receive_loop = resolve, future, receive_loop
        return connection


async def _close(client: Any) -> None:
    try:
        await asyncio.wait_for(client.close(), _CLOSE_S)
    except (TimeoutError, OSError, RuntimeError, ValueError):
        # A peer that does not answer the close frame; the session's end takes the socket down.
        return
