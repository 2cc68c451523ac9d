"""Keeps subscriptions alive: one waiting call for each, renewed whenever ccxt gives it up. Imports ccxt."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from guard.model import Channel, Status
from guard_ccxt.backoff import Backoff
from guard_ccxt.faults import Fault, classify
from guard_ccxt.repair import repair
from guard_ccxt.sequence import leave_first
from guard_ccxt.subscription import Phase, Subscription

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from guard.model.ports import Clock, Random
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.pump import Connection
    from guard_ccxt.rest import Rest
    from guard_ccxt.tap import Tap

__all__ = ["Supervisor"]

_BOOK_STARTS_MAX = 8
_TRIES_MAX = 3
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
        self._book_starts = asyncio.Semaphore(_BOOK_STARTS_MAX)
        self._repairs: set[asyncio.Task[None]] = set()
        self.is_closed = False

    async def run(self, subscriptions: Iterable[Subscription]) -> None:
        """Keep `subscriptions` alive until cancelled."""
        ours = list(subscriptions)
        for subscription in ours:
            self._tap.subscriptions[subscription.channel, subscription.symbol] = subscription
        # Trades first: books cost a snapshot each.
        ours.sort(key=lambda subscription: subscription.channel)
        tasks = [asyncio.create_task(self._keep(subscription)) for subscription in ours]
        tasks.append(asyncio.create_task(self._watch_over(ours)))
        try:
            await asyncio.gather(*tasks)
        finally:
            await _cancelled(tasks)
            await _cancelled(list(self._repairs))
            for subscription in ours:
                self._tap.subscriptions.pop((subscription.channel, subscription.symbol), None)
            if not self._tap.subscriptions:
                await self._tap.close()

    def start_repair(self, subscription: Subscription) -> None:
        """Fetch what `subscription` missed, in the background."""

        async def fetch(since_ms: int | None) -> Any:
            await self._clock.sleep(self._options.repair_delay_s)
            market_type = (self._exchange.markets.get(subscription.symbol) or {}).get("type") or ""
            parameters = self._options.repair_parameters(market_type)
            doing = f"fetching missed trades of {subscription.symbol}"
            return await self._rest.page(doing, self._exchange.fetch_trades, subscription.symbol, since_ms, parameters=parameters)

        task = asyncio.create_task(repair(subscription, fetch, clock=self._clock, counters=self._counters))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def restart(self, subscription: Subscription) -> None:
        """Subscribe again to a stream that missed trades though its connection looks well."""
        connection = subscription.connection
        if subscription.phase is not Phase.LIVE or connection is None:
            return
        is_whole = subscription.restarted_arrivals == subscription.arrivals
        subscription.restarted_arrivals = subscription.arrivals
        self._counters.note(f"stalled: {subscription.symbol} trades: the ticker moved and nothing came; subscribed again")
        subscription.lose(Status.STALLED, last_good_us=subscription.last_trade_us)
        self._renew(subscription, connection, f"{subscription.symbol}: trades were missed", is_whole=is_whole)

    async def _keep(self, subscription: Subscription) -> None:
        backoff = Backoff(self._random)
        failures = 0
        while not self.is_closed and subscription.phase is not Phase.PARKED:
            error = await self._live(subscription)
            if error is None:
                continue
            self._counters.reconnects += 1
            failures = 0 if subscription.is_delivering else failures + 1
            if self._gave_up(subscription, error, failures):
                return
            await self._clock.sleep(backoff.next_s(delivered_s=subscription.delivered_s))

    async def _live(self, subscription: Subscription) -> Exception | None:
        # One life of a subscription: returns how it ended, None where ccxt handed over plain data.
        task = asyncio.current_task()
        assert task is not None
        self._tap.callers[task] = subscription
        is_new = subscription.phase in (Phase.IDLE, Phase.LOST)
        has_slot = subscription.channel is Channel.BOOK and is_new
        if has_slot:
            await self._book_starts.acquire()

        def let_next() -> None:
            nonlocal has_slot
            if has_slot:
                has_slot = False
                self._book_starts.release()

        subscription.on_first = let_next
        try:
            if has_slot:  # a snapshot could not be had before
                await self._rest.quiet()
            if is_new:
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

    async def _watch_over(self, subscriptions: list[Subscription]) -> None:
        tick_s = min(_TICK_MAX_S, self._options.stall_after_s / 4, self._options.first_event_s / 4)
        while not self.is_closed:
            await self._clock.sleep(tick_s)
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
                connection.pinged_us = now_us
                self._background(connection, _ping(connection))
            return
        self._counters.note(f"stalled: {why}; connected again")
        for subscription in subscriptions:
            if subscription.connection is connection:
                subscription.lose(Status.STALLED, last_good_us=connection.heard_at_us)
        self._tap.drop(connection, why)

    def _judge_start(self, subscription: Subscription) -> None:
        connection = subscription.connection
        waited_us = self._clock.monotonic_us() - subscription.started_us
        is_answered = connection.data_us > subscription.started_us and connection.frames > 0
        # Thin coins are silent for hours: their trades count as live once the connection answered the request in any way.
        if subscription.channel is Channel.TRADES and is_answered and waited_us > _SETTLE_US and connection.state == "live":
            now_us = self._clock.now_us()
            subscription.confirm(at_us=now_us, received_us=now_us)
            subscription.presumed_us = now_us
        elif self._rest.left_s() > 0:
            subscription.started_us = self._clock.monotonic_us()  # no snapshot can come now
        elif waited_us <= self._options.first_event_s * 1e6:
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


async def _ping(connection: Connection) -> None:
    try:
        await connection.client.connection.ping()
    except (OSError, RuntimeError):
        return  # closing: the pump will say so


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _is_expected(error: Exception) -> bool:
    # Connections come and go; people are told of what does not.
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith("ccxt")
