"""Takes trades and books at ccxt's `Client.resolve`, for every exchange alike. Imports ccxt."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ccxt import ChecksumError, NetworkError
from ccxt.async_support.base.ws.cache import ArrayCache, ArrayCacheBySymbolById
from ccxt.async_support.base.ws.client import Client
from ccxt.async_support.base.ws.order_book import OrderBook

from guard.model import Channel, Status
from guard_ccxt.connections.batches import Batches
from guard_ccxt.connections.beat import Beat
from guard_ccxt.connections.farewell import is_farewell
from guard_ccxt.connections.pace import Pace
from guard_ccxt.connections.pump import Connection, pump
from guard_ccxt.connections.shield import Shielded, Stuck
from guard_ccxt.connections.spawned import watch_spawned
from guard_ccxt.connections.twins import twins_of, whole
from guard_ccxt.fast import Desk, decoder_of
from guard_ccxt.stream import recording
from guard_ccxt.stream.sequence import begin_anew, watch_book_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model.ports import Clock
    from guard_ccxt.connections.limits import Window
    from guard_ccxt.counters import Counters
    from guard_ccxt.fast import Decoder
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["ASKING", "Key", "Tap", "missing_names"]

Key = tuple[Channel, str]
ASKING: ContextVar[Key | None] = ContextVar("guard_ccxt_asking", default=None)

_CLIENT_NAMES = (
    *("resolve", "reject", "future", "receive_loop", "handle_message", "on_close", "on_error", "closed", "close"),
    *("open", "send", "on_message_callback"),
)
_EXCHANGE_NAMES = ("client", "fetch", "order_book", "indexed_order_book", "counted_order_book")
_CACHE_NAMES = ("clear", "append")
_CACHES = (ArrayCache, ArrayCacheBySymbolById)  # of public trades; the second is Coinbase's
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
    dials
        Whoever opens a connection waits here for a turn.
    messages
        Limits of requests to subscribe, for each connection.
    batch
        Symbols that one such request may name.
    tier
        ``auto`` or ``generic``, see `Options`.

    Attributes
    ----------
    asked_us
        When the request of each subscription was sent, monotonic: ccxt holds requests back to keep its own pace.

    is_retiring
        Whether another shard has its streams: what comes is dropped, not counted.
    on_farewell
        Told when the exchange announces the end of a connection.

    Notes
    -----
    A book that cannot be synchronised fails alone: stock ccxt closes its whole connection.
    The future of a `watch_*` call that the tap serves stays pending for the life of its connection and fails when ccxt tears it
    down. ccxt's cache of trades is emptied at once: it costs 2 kB for each trade.
    """

    def __init__(
        self,
        exchange: Any,
        *,
        clock: Clock,
        counters: Counters,
        levels_max: int,
        bad_frames_max: int,
        tier: str = "auto",
        dials: Pace | None = None,
        messages: tuple[Window, ...] = (),
        batch: int = 1,
    ) -> None:
        self.exchange = exchange
        self.subscriptions: dict[tuple[Channel, str], Subscription] = {}
        self._twins = twins_of(exchange, self.subscriptions)
        self.callers: dict[asyncio.Task[Any], Subscription] = {}
        self.connections: dict[str, Connection] = {}
        self.asked_us: dict[Key, int] = {}
        self._ghosts: dict[Key, Connection] = {}
        self.is_retiring = False
        self.on_farewell: Callable[[], None] | None = None
        self._dials = dials or Pace((), clock)
        self._messages = messages
        self._batch = batch
        self._clock = clock
        self._counters = counters
        self._levels_max = levels_max
        self._bad_frames_max = bad_frames_max
        self._stock_client = exchange.client
        self._stock_load_order_book = getattr(exchange, "load_order_book", None)
        self._closing: set[asyncio.Task[Any]] = set()
        self._dialling: dict[Any, asyncio.Task[Any]] = {}
        self._dialled: set[Any] = set()
        self._beat = Beat()
        self._make_decoder = None if tier == "generic" else _decoder(exchange.id, counters)

    @property
    def tier(self) -> str:
        """``fast`` where frames are read by a typed decoder first, else ``generic``."""
        return "generic" if self._make_decoder is None else "fast"

    def install(self) -> None:
        """Put the hooks in place."""
        self.exchange.client = self._client
        watch_book_numbers(self.exchange, self._book_hole)
        watch_spawned(self.exchange, self._counters.note)
        self.exchange.order_book = recording.order_book
        self.exchange.indexed_order_book = recording.indexed_order_book
        self.exchange.counted_order_book = recording.counted_order_book
        if self._stock_load_order_book is not None:
            self.exchange.load_order_book = self._load_order_book

    def is_queued(self, connection: Connection) -> bool:
        """Whether a connection has not been dialled yet, to keep the pace."""
        return connection.client in self._dialling and connection.client not in self._dialled

    def haunt(self, key: Key, connection: Connection) -> None:
        """Note that a stream was let go which the exchange may still send."""
        self._ghosts[key] = connection

    @property
    def ghosts(self) -> set[Key]:
        """Streams that were let go and that the exchange may still send."""
        self._ghosts = {key: connection for key, connection in self._ghosts.items() if connection.state != "lost"}
        return set(self._ghosts)

    def drop(self, connection: Connection, why: str) -> None:
        """Give up a connection: its subscriptions fail and are made anew on another socket."""
        client = connection.client
        error = NetworkError(why)
        client.error = client.error or error
        if client in self._dialling and client.connectionStarted is None:
            self._dialling[client].cancel()  # it waits for its turn, or because it was refused before
        url, clients = client.url, self.exchange.clients or {}
        if clients.get(url) is client:
            del clients[url]
        client.reject(error)
        if connection.batches is not None:
            connection.batches.close()
        self._see_off(asyncio.ensure_future(_close(client)))

    def retire(self, connection: Connection, why: str) -> None:
        """Give up a connection that no subscription needs, and forget it: it is not lost."""
        self.drop(connection, why)
        if self.connections.get(connection.url) is connection:
            del self.connections[connection.url]
        for task in connection.tasks:
            self._see_off(task)

    def _see_off(self, task: asyncio.Task[Any]) -> None:
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
        symbol = book.get("symbol") or ""
        subscription = self.subscriptions.get((Channel.BOOK, symbol))
        twin = None if self._twins is None else self._twins.of(Channel.BOOK, symbol)
        if subscription is None and twin is None:
            return False
        recording.take_back(book)
        is_cut = recording.trim(book["bids"], self._levels_max) | recording.trim(book["asks"], self._levels_max)
        if subscription is not None:
            subscription.on_book(book, received_us, drain=recording.drain, is_cut=is_cut)
        if twin is not None:
            twin.on_book(book, received_us, drain=whole, is_cut=is_cut)
        return True

    def take_trades(self, trades: Any, received_us: int) -> None:
        """Hand trades to their subscriptions."""
        for trade in trades:
            symbol = trade.get("symbol") or ""
            subscription = self.subscriptions.get((Channel.TRADES, symbol))
            twin = None if self._twins is None else self._twins.of(Channel.TRADES, symbol)
            if subscription is not None:
                subscription.on_trades((trade,), received_us)
            if twin is not None:
                twin.on_trades((trade,), received_us)
            elif subscription is None and not self.is_retiring:
                self._counters.reject("symbol_not_watched")

    def _take_unresolved(self, received_us: int) -> None:
        # What ccxt had read of a frame before it raised would wait for the next frame of its market that ccxt is given.
        for cache in (self.exchange.trades or {}).values():
            if cache and type(cache) in _CACHES:
                trades = list(cache)
                cache.clear()
                self.take_trades(trades, received_us)

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
        connection = Connection(client, self._clock, name=self.exchange.id)
        connection.beat = self._beat
        if self._make_decoder is not None:
            connection.decoder = self._make_decoder(Desk(self.exchange, client, self.subscriptions, levels_max=self._levels_max))
        stock_resolve, stock_future = client.resolve, client.future
        self._hold_to_pace(connection)

        def resolve(outcome: Any, message_hash: Any) -> Any:
            received_us = connection.received_us or self._clock.now_us()
            if isinstance(outcome, OrderBook):
                return outcome if self.take_book(outcome, received_us) else stock_resolve(outcome, message_hash)
            if type(outcome) in _CACHES:
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

    def _hold_to_pace(self, connection: Connection) -> None:
        client = connection.client
        stock_open, stock_send = client.open, client.send
        messages = Pace(self._messages, self._clock)
        batches = connection.batches = Batches(stock_send, messages.turn, self._clock.sleep, self._batch)

        async def dial(session: Any, backoff_delay: float = 0) -> None:
            ASKING.set(None)  # its pings are nobody's request
            task = asyncio.current_task()
            assert task is not None
            self._dialling[client] = task
            try:
                await self._dials.turn()
                self._dialled.add(client)
                if client.error is None:
                    await stock_open(session, backoff_delay)
            finally:
                del self._dialling[client]
                self._dialled.discard(client)

        async def send(message: Any) -> Any:
            # ccxt sends a request in a task that was made while the subscription called it, so in its context.
            key = ASKING.get()
            if key is None:
                return await stock_send(message)
            subscription = self.subscriptions.get(key)
            is_first = subscription is None or not subscription.misses  # what was asked in vain is asked alone
            if self._batch > 1 and is_first and batches.takes(message):
                await batches.put(message)
                self.asked_us[key] = self._clock.monotonic_us()
                return None
            await messages.turn()
            self.asked_us[key] = self._clock.monotonic_us()
            return await stock_send(message)

        stock_message = client.on_message_callback

        def on_message(sender: Any, message: Any) -> None:
            if is_farewell(message) and self.on_farewell is not None:
                self.on_farewell()
            for each in batches.answers(message):
                try:
                    stock_message(sender, each)
                except Exception:
                    self._take_unresolved(connection.received_us or self._clock.now_us())
                    raise

        client.open, client.send, client.on_message_callback = dial, send, on_message

    def free_book(self, symbol: str) -> None:
        """Let ccxt try again to synchronise a book that it failed to."""
        books = self.exchange.orderbooks or {}
        if isinstance(getattr(books.get(symbol), "cache", None), Stuck):
            books[symbol] = self.exchange.order_book()

    async def _load_order_book(self, client: Any, message_hash: str, symbol: str, *arguments: Any, **named: Any) -> None:
        assert self._stock_load_order_book is not None
        shielded = Shielded(client)
        await self._stock_load_order_book(shielded, message_hash, symbol, *arguments, **named)
        if shielded.error is None:
            return
        subscription = self.subscriptions.get((Channel.BOOK, symbol))
        for subscribed in {message_hash, *(() if subscription is None else subscription.hashes)}:
            client.subscriptions.pop(subscribed, None)  # so that the next call asks the exchange again
        book = self.exchange.orderbooks.get(symbol)
        if book is not None:
            book.cache = Stuck()


async def _close(client: Any) -> None:
    try:
        await asyncio.wait_for(client.close(), _CLOSE_S)
    except (TimeoutError, OSError, RuntimeError, ValueError):
        # A peer that does not answer the close frame; the session's end takes the socket down.
        return


def _decoder(exchange_id: str, counters: Counters) -> Callable[[Desk], Decoder] | None:
    try:
        return decoder_of(exchange_id)
    except ImportError:
        counters.note(f"{exchange_id} is read by ccxt alone: msgspec is not installed (pip install 'trading-guard[fast]')")
        return None
