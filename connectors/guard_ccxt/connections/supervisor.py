"""Keeps subscriptions alive: one waiting call for each, renewed whenever ccxt gives it up. Imports ccxt."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from guard.model import Channel, Status
from guard_ccxt.connections.backoff import Backoff
from guard_ccxt.connections.faults import Fault, classify, is_expected
from guard_ccxt.connections.judge import Judge
from guard_ccxt.connections.leaving import leave
from guard_ccxt.connections.snapshots import Snapshots, nothing
from guard_ccxt.connections.still_start import begin_still, begins_by_messages
from guard_ccxt.connections.tap import ASKING
from guard_ccxt.rest.budget import Priority
from guard_ccxt.stream.repair import repair
from guard_ccxt.stream.sequence import leave_first
from guard_ccxt.stream.subscription import Phase, Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from guard.model.ports import Clock, Random
    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.connections.tap import Key, Tap
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.rest.client import Rest

__all__ = ["Supervisor"]

_TRIES_MAX = 3


class Supervisor:
    """Runs the subscriptions of one exchange until closed.

    Notes
    -----
    A permanent error (BadSymbol, NotSupported, AuthenticationError) parks a symbol where it names the symbol or comes before
    anything was sent, else on the third failure in a row: an exchange's error frame may fail every waiting call at once.
    A refused depth is dropped for the exchange's own default. A rate limit stops REST for Retry-After. What does not
    flow though nothing failed is the `Judge`'s to find.
    """

    def __init__(
        self,
        exchange: Any,
        tap: Tap,
        *,
        clock: Clock,
        random: Random,
        counters: Counters,
        rest: Rest,
        options: Options,
    ) -> None:
        self._exchange = exchange
        self._tap = tap
        self._clock = clock
        self._random = random
        self._counters = counters
        self._rest = rest
        self._options = options
        self._book_limit: int | None = options.book_limit
        self._snapshots = Snapshots(exchange, rest)
        self._repairs: set[asyncio.Task[None]] = set()
        self._beginning: set[Subscription] = set()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._leaving: dict[Key, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] | None = None
        self._judge = Judge(
            exchange.id,
            tap,
            self.ping,
            begin_still=self._begin_still,
            snapshots=self._snapshots,
            clock=clock,
            counters=counters,
            options=options,
        )
        self.on_loss: Callable[[Subscription], bool] | None = None
        self.is_closed = False

    async def run(self) -> None:
        """Keep alive what was added, and what will be, until cancelled."""
        broken = self._failure()
        watching = asyncio.create_task(self._judge.run(lambda: self.is_closed))
        try:
            await asyncio.wait({watching, broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._broken = None
            tasks = [watching, *self._tasks.values(), *self._leaving.values(), *self._repairs]
            self._tasks.clear()
            await _cancelled(tasks)
            self._tap.subscriptions.clear()
            await self._tap.close()
        for ended in (broken, watching):
            if ended.done() and not ended.cancelled():
                ended.result()

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Subscribe to `subscriptions`, which `run` then keeps alive; trades first: books cost a snapshot each."""
        self._failure()
        for subscription in sorted(subscriptions, key=lambda one: one.channel):
            key = subscription.key
            assert key not in self._tasks
            self._tap.subscriptions[key] = subscription
            task = self._tasks[key] = asyncio.create_task(self._keep(key))
            task.add_done_callback(self._ended)

    def let_go(self, subscriptions: Iterable[Subscription]) -> None:
        """End `subscriptions`, with STATUS LOST; the exchange is told in the background."""
        ours = list(subscriptions)
        for subscription in ours:
            self.forget(subscription)
            subscription.park()
        self.unsubscribe(ours)

    def unsubscribe(self, subscriptions: Iterable[Subscription]) -> None:
        """Tell the exchange, in the background, that these are not wanted here any more."""
        for subscription in subscriptions:
            leaving = asyncio.create_task(leave(self._exchange, self._tap, subscription, self._counters))
            self._leaving[subscription.key] = leaving
            leaving.add_done_callback(partial(self._left, subscription.key))

    def adopt(self, subscription: Subscription) -> None:
        """Let `subscription` take the place of its understudy, whose call goes on."""
        understudy = self._tap.subscriptions[subscription.key]
        self._tap.subscriptions[subscription.key] = subscription
        for task, caller in self._tap.callers.items():
            if caller is understudy:
                self._tap.callers[task] = subscription

    def forget(self, subscription: Subscription) -> None:
        """End the care for `subscription`, which lives on elsewhere; nothing is said to anyone."""
        task = self._tasks.pop(subscription.key, None)
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        self._tap.subscriptions.pop(subscription.key, None)

    def ping(self, connection: Connection) -> bytes:
        """Ask a connection whether it is alive; return what its `echo` will be once all that was sent before has been read."""
        connection.pinged_us = self._clock.monotonic_us()
        token = b"guard %d" % connection.pinged_us
        self._background(connection, _ping(connection, token))
        return token

    def _failure(self) -> asyncio.Future[None]:
        if self._broken is None:
            self._broken = asyncio.get_running_loop().create_future()
        return self._broken

    def _left(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._leaving.get(key) is task:
            del self._leaving[key]
        self._ended(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # A mistake of ours, not of the exchange: whoever runs this must hear of it.
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)

    def fetch_of(self, subscription: Subscription, priority: Priority = Priority.REPAIR) -> Callable[[int | None], Awaitable[Any]]:
        """Return what fetches the trades of a stream's market, since a time in milliseconds or the last ones."""

        async def fetch(since_ms: int | None) -> Any:
            if priority is Priority.REPAIR:
                await self._clock.sleep(self._options.repair_delay_s)
            market_type = (self._exchange.markets.get(subscription.symbol) or {}).get("type") or ""
            parameters = self._options.repair_parameters(market_type)
            doing = f"fetching missed trades of {subscription.symbol}"
            request, rank = self._exchange.fetch_trades, float(subscription.arrivals)  # a hole of a busy market holds most
            arguments = (doing, request, subscription.symbol, since_ms)
            return await self._rest.page(*arguments, parameters=parameters, priority=priority, rank=rank)

        return fetch

    def start_repair(self, subscription: Subscription) -> None:
        """Fetch what `subscription` missed, in the background."""
        work = repair(subscription, self.fetch_of(subscription), clock=self._clock, counters=self._counters)
        task = asyncio.create_task(work)
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _begin_still(self, subscription: Subscription) -> None:
        if begins_by_messages(self._exchange.id) and subscription not in self._beginning:
            self._beginning.add(subscription)
            work = begin_still(self._exchange, subscription, rest=self._rest, counters=self._counters, limit=self._book_limit)
            task = asyncio.create_task(work)
            self._repairs.add(task)
            task.add_done_callback(self._repairs.discard)
            task.add_done_callback(self._ended)
            task.add_done_callback(lambda _: self._beginning.discard(subscription))

    async def repaired(self) -> None:
        """Wait until no missed trades are being fetched."""
        while self._repairs:
            await asyncio.wait(self._repairs)

    def restart(self, subscription: Subscription) -> None:
        """Subscribe again to a stream that missed trades though its connection looks well."""
        self._judge.restart(subscription)

    async def _keep(self, key: Key) -> None:
        backoff = Backoff(self._random)
        failures = 0
        if key in self._leaving:  # ccxt would take the end of the former stream for the end of this one
            await asyncio.wait({self._leaving[key]})
        while not self.is_closed:
            subscription = self._tap.subscriptions.get(key)
            if subscription is None or subscription.phase is Phase.PARKED:
                return
            error = await self._live(subscription)
            subscription = self._tap.subscriptions.get(key)  # which may be the successor of an understudy
            if error is None or subscription is None:
                continue
            if self.on_loss is not None and self.on_loss(subscription):
                return
            self._counters.reconnects += 1
            failures = 0 if subscription.is_delivering else failures + 1
            if self._gave_up(subscription, error, failures):
                return
            await self._clock.sleep(backoff.next_s(delivered_s=subscription.delivered_s))

    async def _live(self, subscription: Subscription) -> Exception | None:
        # One life of a subscription: returns how it ended, None where ccxt handed over plain data.
        task = asyncio.current_task()
        assert task is not None
        ASKING.set(subscription.key)
        self._tap.asked_us.pop(subscription.key, None)
        is_new = subscription.phase in (Phase.IDLE, Phase.LOST)
        has_slot = subscription.channel is Channel.BOOK and is_new
        let_next = await self._snapshots.turn(subscription.symbol) if has_slot else nothing
        subscription.on_first = let_next
        try:
            self._tap.callers[task] = subscription
            if is_new:
                self._tap.free_book(subscription.symbol)
                subscription.begin()
            await self._call(subscription)
        except asyncio.CancelledError:
            # ccxt cancels its futures when a client closes; only our own cancellation ends the task.
            if task.cancelling() or self.is_closed:
                raise
            return ConnectionError("ccxt cancelled the call")
        except Exception as error:  # noqa: BLE001  # the supervisor of a worker: counted, told, renewed
            return error
        else:
            return None
        finally:
            let_next()
            self._tap.callers.pop(task, None)

    async def _call(self, subscription: Subscription) -> None:
        symbol = subscription.symbol
        if subscription.channel is Channel.TRADES:
            trades = await self._exchange.watch_trades(symbol)
            self._tap.take_trades(trades, self._clock.now_us())
        else:
            stale, subscription.stale_on = subscription.stale_on, None
            if stale is not None and stale.state == "live":
                await leave_first(self._exchange, symbol)
            book = await self._exchange.watch_order_book(symbol, self._book_limit)
            self._tap.take_book(book, self._clock.now_us())

    def _gave_up(self, subscription: Subscription, error: Exception, failures: int) -> bool:
        fault = classify(error)
        self._rest.heed(error)
        connection = subscription.connection
        if fault is Fault.RESYNC:
            subscription.stale_on = connection
        status = Status.MAINTENANCE if fault is Fault.MAINTENANCE else Status.LOST
        subscription.lose(status, last_good_us=None if fault is Fault.RESYNC or connection is None else connection.heard_at_us)
        if fault is Fault.REQUEST and subscription.channel is Channel.BOOK and self._book_limit is not None:
            self._counters.note(
                f"{self._exchange.id} refuses a book depth of {self._book_limit}, its default is used: {str(error)[:200]}"
            )
            self._book_limit = None
            return False
        if fault in (Fault.PERMANENT, Fault.REQUEST) and self._is_final(subscription, error, failures):
            subscription.park()
            self._counters.note(
                f"{subscription.symbol} {subscription.channel.name.lower()} parked: {type(error).__name__}: {str(error)[:200]}"
            )
            return True
        if fault is Fault.NETWORK and not is_expected(error):
            self._counters.note(
                f"{subscription.symbol} {subscription.channel.name.lower()}: {type(error).__name__}: {str(error)[:200]}"
            )
        return False

    def _is_final(self, subscription: Subscription, error: Exception, failures: int) -> bool:
        market_id = str((self._exchange.markets.get(subscription.symbol) or {}).get("id") or subscription.symbol)
        is_named = subscription.symbol in str(error) or market_id in str(error)
        return failures >= _TRIES_MAX or is_named or not subscription.hashes

    def _background(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)


async def _ping(connection: Connection, token: bytes) -> None:
    try:
        await connection.client.connection.ping(token)
    except (OSError, RuntimeError):
        return  # closing: the pump will say so


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
