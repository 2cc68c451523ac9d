"""Judges whether connections and streams are alive, and has those renewed that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Channel, Status
from guard_ccxt.stream.phase import Phase
from guard_ccxt.stream.standing import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model.ports import Clock
    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.connections.snapshots import Snapshots
    from guard_ccxt.connections.tap import Key, Tap
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Judge"]

_UNASKED_FACTOR = 4
_TICK_MAX_S = 1.0
_SETTLE_US = 1_000_000
_QUIET_FACTOR = 3
_ALONE_MAX = 4
_STILL_SHARE = 0.15
_REPAIR_MAX_S = 5.0  # live trades are held back that long at most
_QUIET_FRAMES_MIN = 1000
_QUIET_STREAMS_MIN = 10  # fewer streams may all be quiet by nature
_BUSY_SHARE = 0.05  # but not those that in a thousand frames never paused this part of the time that counts as a stall


class Judge:
    """Looks after the connections and streams of a `Tap`.

    Parameters
    ----------
    exchange_id
        Whose they are, for notes.
    tap
        What it looks after.
    ping
        Asks a connection whether it is alive.
    begin_still
        Shows a book that waits for messages which may not come for long; called once for each start.
    snapshots
        Tells of which books no snapshot can come.
    clock, counters, options
        Shared parts of the connector.

    Notes
    -----
    A connection that is silent for `stall_after_s` (it is pinged at half of that), or that was busy and sends no data for three
    times its longest pause, is rebuilt. A book without a first event by `first_event_s` is subscribed again, then its connection
    rebuilt.
    """

    def __init__(
        self,
        exchange_id: str,
        tap: Tap,
        ping: Callable[[Connection], object],
        *,
        begin_still: Callable[[Subscription], None],
        snapshots: Snapshots,
        clock: Clock,
        counters: Counters,
        options: Options,
    ) -> None:
        self._exchange_id = exchange_id
        self._tap = tap
        self._ping = ping
        self._begin_still = begin_still
        self._begun: dict[Key, int] = {}
        self._snapshots = snapshots
        self._clock = clock
        self._counters = counters
        self._options = options

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Judge every connection and every start, again and again, until it `is_over`."""
        tick_s = min(_TICK_MAX_S, self._options.stall_after_s / 4, self._options.first_event_s / 4)
        while not is_over():
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
                self._ping(connection)
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
            subscription.presumed_us = subscription.memory.since_us = now_us
        elif self._tap.is_queued(connection) or (
            subscription.channel is Channel.BOOK and self._snapshots.are_held_up(subscription.symbol)
        ):
            subscription.started_us = self._clock.monotonic_us()  # nothing can come now
        elif waited_us <= deadline_s * 1e6:
            is_slow = waited_us > _STILL_SHARE * deadline_s * 1e6 and is_asked and connection.state == "live"
            if subscription.channel is Channel.BOOK and is_slow and self._begun.get(subscription.key) != subscription.started_us:
                self._begun[subscription.key] = subscription.started_us
                self._begin_still(subscription)
        elif subscription.channel is Channel.TRADES and subscription.misses and connection.heard_us > subscription.started_us:
            # Asked twice on a connection that pongs: the exchange acknowledges nothing. The ticker poll would find it deaf.
            self._counters.note(f"{self._exchange_id} does not answer requests for trades: taken for live")
            now_us = self._clock.now_us()
            subscription.confirm(at_us=now_us, received_us=now_us)
            subscription.presumed_us = subscription.memory.since_us = now_us
        else:
            self._start_again(subscription, connection)

    def _start_again(self, subscription: Subscription, connection: Connection) -> None:
        subscription.misses += 1
        # Where others deliver, a book that says nothing may have nothing to say: they are not made to pay for it, but once.
        is_alone = connection.data_us > subscription.started_us and connection.frames > 0
        is_whole = subscription.misses == _ALONE_MAX if is_alone else subscription.misses > 1
        subscription.started_us = self._clock.monotonic_us()
        what = f"{subscription.symbol} {subscription.channel.name.lower()}"
        self._counters.note(f"{what}: nothing came within {self._options.first_event_s:g} s; subscribed again")
        self._renew(subscription, connection, f"{what}: no first event", is_whole=is_whole)

    def _renew(self, subscription: Subscription, connection: Connection, why: str, *, is_whole: bool) -> None:
        # First this stream alone; where that did not help, its whole connection.
        if is_whole or not subscription.hashes:
            self._tap.drop(connection, why)
            return
        subscription.stale_on = connection
        for message_hash in subscription.hashes:
            connection.client.subscriptions.pop(message_hash, None)
            connection.client.reject(TimeoutError(why), message_hash)

    def restart(self, subscription: Subscription) -> None:
        """Subscribe again to a stream that missed trades though its connection looks well."""
        connection = subscription.connection
        if subscription.phase not in (Phase.LIVE, Phase.SUSPECT) or connection is None:
            return
        is_whole = subscription.restarted_at == progress(subscription)
        subscription.restarted_at = progress(subscription)
        what = f"{subscription.symbol} {subscription.channel.name.lower()}"
        self._counters.note(f"stalled: {what}: the ticker moved and nothing came; subscribed again")
        subscription.lose(Status.STALLED, last_good_us=subscription.last_trade_us)
        self._renew(subscription, connection, f"{what}: something was missed", is_whole=is_whole)


def _carries_many(connection: Connection, subscriptions: list[Subscription]) -> bool:
    return sum(subscription.connection is connection for subscription in subscriptions) >= _QUIET_STREAMS_MIN
