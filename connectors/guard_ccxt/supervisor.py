"""Keeps subscriptions alive: one waiting call for each, renewed whenever ccxt gives it up. Imports ccxt."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from guard.model import Channel, Status
from guard_ccxt.backoff import Backoff
from guard_ccxt.faults import Fault, classify
from guard_ccxt.leaving import leave
from guard_ccxt.repair import repair
from guard_ccxt.sequence import leave_first
from guard_ccxt.starts import Starts, nothing
from guard_ccxt.subscription import Phase, Subscription
from guard_ccxt.tap import ASKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from guard.model.ports import Clock, Random
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.pump import Connection
    from guard_ccxt.rest import Rest
    from guard_ccxt.tap import Key, Tap

__all__ = ["Supervisor"]

_TRIES_MAX = 3
_UNASKED_FACTOR = 4
_TICK_MAX_S = 1.0
_SETTLE_US = 1_000_000
_QUIET_FACTOR = 3
_REPAIR_MAX_S = 5.0  # live trades are held back that long at most
_QUIET_FRAMES_MIN = 1000
_QUIET_STREAMS_MIN = 10  # fewer streams may all be quiet by nature
_BUSY_SHARE = 0.05  # but not those that in a thousand frames never paused this part of the time that counts as a stall


class Supervisor:
    """Runs the subscriptions of one exchange until closed.

    Notes
    -----
    A permanent error (BadSymbol, NotSupported, AuthenticationError) parks a symbol where it names the symbol or comes before
    anything was sent, else on the third failure in a row: an exchange's error frame may fail every waiting call at once.
    A refused depth is dropped for the exchange's own default. A rate limit stops REST for Retry-After. A connection that is silent
    for `stall_after_s` (it is pinged at half of that), or that was busy and sends no data for three times its longest pause, is
    rebuilt. A book without a first event by `first_event_s` is subscribed again, then its connection rebuilt.
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
        self._starts = Starts(rest)
        self._repairs: set[asyncio.Task[None]] = set()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._leaving: dict[Key, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] | None = None
        self.on_loss: Callable[[Subscription], bool] | None = None
        self.is_closed = False

    async def run(self) -> None:
        """Keep alive what was added, and what will be, until cancelled."""
        broken = self._failure()
        watching = asyncio.create_task(self._watch_over())
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

    def fetch_of(self, subscription: Subscription) -> Callable[[int | None], Awaitable[Any]]:
        """Return what fetches the trades of a stream's market, since a time in milliseconds or the last ones."""

        async def fetch(since_ms: int | None) -> Any:
            await self._clock.sleep(self._options.repair_delay_s)
            market_type = (self._exchange.markets.get(subscription.symbol) or {}).get("type") or ""
            parameters = self._options.repair_parameters(market_type)
            doing = f"fetching missed trades of {subscription.symbol}"
            request, rank = self._exchange.fetch_trades, float(subscription.arrivals)  # a hole of a busy market holds most
            return await self._rest.page(doing, request, subscription.symbol, since_ms, parameters=parameters, rank=rank)

        return fetch

    def start_repair(self, subscription: Subscription) -> None:
        """Fetch what `subscription` missed, in the background."""
        work = repair(subscription, self.fetch_of(subscription), clock=self._clock, counters=self._counters)
        task = asyncio.create_task(work)
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    async def repaired(self) -> None:
        """Wait until no missed trades are being fetched."""
        while self._repairs:
            await asyncio.wait(self._repairs)

    def restart(self, subscription: Subscription) -> None:
        """Subscribe again to a stream that missed trades though its connection looks well."""
        connection = subscription.connection
        if subscription.phase not in (Phase.LIVE, Phase.SUSPECT) or connection is None:
            return
        is_whole = subscription.restarted_arrivals == subscription.arrivals
        subscription.restarted_arrivals = subscription.arrivals
        self._counters.note(f"stalled: {subscription.symbol} trades: the ticker moved and nothing came; subscribed again")
        subscription.lose(Status.STALLED, last_good_us=subscription.last_trade_us)
        self._renew(subscription, connection, f"{subscription.symbol}: trades were missed", is_whole=is_whole)

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
        self._tap.callers[task] = subscription
        is_new = subscription.phase in (Phase.IDLE, Phase.LOST)
        has_slot = subscription.channel is Channel.BOOK and is_new
        let_next = await self._starts.turn() if has_slot else nothing
        subscription.on_first = let_next
        try:
            if has_slot:  # a snapshot could not be had before
                await self._rest.quiet()
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
        if fault is Fault.NETWORK and not _is_expected(error):
            self._counters.note(
                f"{subscription.symbol} {subscription.channel.name.lower()}: {type(error).__name__}: {str(error)[:200]}"
            )
        return False

    def _is_final(self, subscription: Subscription, error: Exception, failures: int) -> bool:
        market_id = str((self._exchange.markets.get(subscription.symbol) or {}).get("id") or subscription.symbol)
        is_named = subscription.symbol in str(error) or market_id in str(error)
        return failures >= _TRIES_MAX or is_named or not subscription.hashes

    async def _watch_over(self) -> None:
        tick_s = min(_TICK_MAX_S, self._options.stall_after_s / 4, self._options.first_event_s / 4)
        while not self.is_closed:
            await self._clock.sleep(tick_s)
            subscriptions = list(self._tap.subscriptions.values())
            for connection in list(self._tap.connections.values()):
                if connection.state == "live":
                    self._judge(connection, subscriptions)
            for subscription in subscriptions:
                if subscription.phase is Phase.WAITING and subscription.connection is not None:
                    self._judge_start(subscription)
                elif subscription.phase is Phase.REPAIRING and subscription.live_s() > _REPAIR_MAX_S:
                    subscription.settle((), is_closed=False)

    def _judge(self, connection: Connection, subscriptions: list[Subscription]) -> None:
        now_us = self._clock.monotonic_us()
        stall_us = int(self._options.stall_after_s * 1e6)
        silent_us, quiet_us = now_us - connection.heard_us, now_us - connection.data_us
        quiet_max_us = max(stall_us, _QUIET_FACTOR * connection.longest_quiet_us)
        if silent_us > stall_us:
            why = f"{connection.url} was silent for {silent_us / 1e6:.0f} s"
        elif (
            connection.frames >= _QUIET_FRAMES_MIN
            and quiet_us > quiet_max_us
            and (_carries_many(connection, subscriptions) or connection.longest_quiet_us < stall_us * _BUSY_SHARE)
        ):
            why = f"{connection.url} sent no data for {quiet_us / 1e6:.0f} s"
        else:
            if silent_us > stall_us // 2 and now_us - connection.pinged_us > stall_us // 2:
                self.ping(connection)
            return
        self._counters.note(f"stalled: {why}; connected again")
        for subscription in subscriptions:
            if subscription.connection is connection:
                subscription.lose(Status.STALLED, last_good_us=connection.heard_at_us)
        self._tap.drop(connection, why)

    def _judge_start(self, subscription: Subscription) -> None:
        connection = subscription.connection
        asked_us = self._tap.asked_us.get(subscription.key)
        started_us = max(subscription.started_us, asked_us or 0)
        waited_us = self._clock.monotonic_us() - started_us
        # A request that was never sent: ccxt holds it back to keep its pace, or knows that the stream is there already.
        deadline_s = self._options.first_event_s * (1 if asked_us is not None else _UNASKED_FACTOR)
        is_asked = asked_us is not None or subscription.key in self._tap.ghosts
        is_answered = is_asked and connection.data_us > started_us and connection.frames > 0
        # Thin coins are silent for hours: their trades count as live once the connection answered the request in any way.
        if subscription.channel is Channel.TRADES and is_answered and waited_us > _SETTLE_US and connection.state == "live":
            now_us = self._clock.now_us()
            subscription.confirm(at_us=now_us, received_us=now_us)
            subscription.presumed_us = now_us
        elif self._rest.left_s() > 0 or self._tap.is_queued(connection):
            subscription.started_us = self._clock.monotonic_us()  # no snapshot can come now, or nothing at all
        elif waited_us <= deadline_s * 1e6:
            return
        elif subscription.channel is Channel.TRADES and subscription.misses and connection.heard_us > subscription.started_us:
            # Asked twice on a connection that pongs: the exchange acknowledges nothing. The ticker poll would find it deaf.
            self._counters.note(f"{self._exchange.id} does not answer requests for trades: taken for live")
            now_us = self._clock.now_us()
            subscription.confirm(at_us=now_us, received_us=now_us)
            subscription.presumed_us = now_us
        else:
            self._start_again(subscription, connection)

    def _start_again(self, subscription: Subscription, connection: Connection) -> None:
        subscription.misses += 1
        subscription.started_us = self._clock.monotonic_us()
        what = f"{subscription.symbol} {subscription.channel.name.lower()}"
        self._counters.note(f"{what}: nothing came within {self._options.first_event_s:g} s; subscribed again")
        self._renew(subscription, connection, f"{what}: no first event", is_whole=subscription.misses > 1)

    def _renew(self, subscription: Subscription, connection: Connection, why: str, *, is_whole: bool) -> None:
        # First this stream alone; where that did not help, its whole connection.
        if is_whole or not subscription.hashes:
            self._tap.drop(connection, why)
            return
        subscription.stale_on = connection
        for message_hash in subscription.hashes:
            connection.client.subscriptions.pop(message_hash, None)
            connection.client.reject(TimeoutError(why), message_hash)

    def _background(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)


def _carries_many(connection: Connection, subscriptions: list[Subscription]) -> bool:
    return sum(subscription.connection is connection for subscription in subscriptions) >= _QUIET_STREAMS_MIN


async def _ping(connection: Connection, token: bytes) -> None:
    try:
        await connection.client.connection.ping(token)
    except (OSError, RuntimeError):
        return  # closing: the pump will say so


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_expected(error: Exception) -> bool:
    # Connections come and go; people are told of what does not.
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("ccxt")
