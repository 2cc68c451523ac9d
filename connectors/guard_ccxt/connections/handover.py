"""Renews the connections of a shard: a fresh one delivers before the old one is dropped. Imports ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.model import Status
from guard_ccxt.connections.understudy import Understudy
from guard_ccxt.stream.subscription import Phase

if TYPE_CHECKING:
    from guard.model.ports import Clock
    from guard_ccxt.connections.pump import Connection
    from guard_ccxt.connections.shard import Shard
    from guard_ccxt.connections.tap import Key
    from guard_ccxt.rest.client import Rest
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Handover"]

_OVERLAP_S = 2.0
_TICK_S = 0.25
_DEAF_S = 10.0
_MOST_S = 1800.0
_REPAIR_S = 8.0


class _Probe(NamedTuple):
    token: bytes
    sent_us: int

    def is_answered(self, connection: Connection) -> bool:
        return connection.echo == self.token


def _half_way_us(live_since_us: int) -> int:
    return live_since_us + int(_OVERLAP_S / 2 * 1e6)


class Handover:
    """Takes the streams of a shard over to a fresh one, one by one, as the fresh one delivers them.

    Parameters
    ----------
    old, fresh
        Both run; the fresh one has no streams yet.
    clock, rest
        Shared parts of the connector.
    patience_s
        Seconds without another stream taken over after which the rest stays where it is. Quiet of REST does not count.

    Notes
    -----
    A stream is taken over once both connections have carried it for 2 s and the old one has answered a ping sent in the second half
    of them, so that whatever was under way has been read: nothing is lost and nothing said, but that a book comes as a SNAPSHOT.
    Where the old connection dies in the middle it is taken over at once, without a hole if that answer had come; otherwise with
    what any loss brings. A connection that answers no ping but brings data is taken over after 10 s.
    """

    def __init__(self, old: Shard, fresh: Shard, *, clock: Clock, rest: Rest, patience_s: float) -> None:
        self.old = old
        self.fresh = fresh
        self._clock = clock
        self._rest = rest
        self._patience_s = patience_s
        self._understudies: dict[Key, Understudy] = {}
        self._done: list[Understudy] = []
        self._probes: dict[Connection, _Probe] = {}

    @property
    def taken(self) -> int:
        """How many streams were taken over."""
        return len(self._done)

    async def run(self) -> bool:
        """Return whether all streams are on the fresh shard; where not, those that are not stay on the old one."""
        self.old.is_retiring = True
        self.old.supervisor.on_loss = self._lost
        self._add()
        began_us = moved_us = self._clock.monotonic_us()
        try:
            while self.old.tap.subscriptions:
                await self._clock.sleep(_TICK_S)
                before = len(self._understudies)
                self.sync()
                self._look()
                now_us = self._clock.monotonic_us()
                if len(self._understudies) != before or self._rest.left_s() > 0:
                    moved_us = now_us
                if now_us - moved_us > self._patience_s * 1e6 or now_us - began_us > _MOST_S * 1e6:
                    return False
            return True
        finally:
            self.old.supervisor.on_loss = None
            self.old.is_retiring = not self.old.tap.subscriptions
            left = list(self._understudies.values())
            self._understudies.clear()
            for understudy in left:
                understudy.released()
            self.fresh.let_go(left)
            if self.old.tap.subscriptions:  # it goes on, without what was taken
                self.old.supervisor.unsubscribe(self._done)

    def sync(self) -> None:
        """Let go of understudies whose stream is not wanted any more."""
        held = self.old.tap.subscriptions
        gone = [one for key, one in self._understudies.items() if held.get(key) is not one.subscription]
        for understudy in gone:
            del self._understudies[understudy.key]
        self.fresh.let_go(gone)

    def end(self) -> None:
        """Forget what was delivered twice, and what was left: what is late has come by now."""
        for understudy in self._done:
            understudy.released()
            understudy.connection = understudy.ours = None

    def _add(self) -> None:
        for key, subscription in self.old.tap.subscriptions.items():
            if subscription.phase is not Phase.PARKED:
                self._understudies[key] = Understudy(subscription, self._clock)
        for subscription in list(self.old.tap.subscriptions.values()):
            if subscription.phase is Phase.PARKED:
                self.old.supervisor.forget(subscription)
                self.fresh.tap.subscriptions[subscription.key] = subscription  # nobody cares for it, but it is shown
        self.fresh.add(self._understudies.values())

    def _look(self) -> None:
        for understudy in list(self._understudies.values()):
            if understudy.phase is not Phase.LIVE:
                continue
            subscription = understudy.subscription
            if understudy.is_needed_now and not self._is_overlapped(understudy):
                subscription.lose(Status.STALLED, last_good_us=getattr(subscription.connection, "heard_at_us", None))
            if subscription.phase in (Phase.IDLE, Phase.WAITING, Phase.LOST):
                self._take_over(understudy)
            elif self._is_overlapped(understudy):
                if subscription.phase is Phase.LIVE or understudy.live_s() > _REPAIR_S:
                    self._take_over(understudy)
            elif understudy.live_s() > _OVERLAP_S / 2:
                self._doubt(subscription, understudy)

    def _is_overlapped(self, understudy: Understudy) -> bool:
        # Whatever the exchange had sent on the old connection before the fresh one began has been read by now: an answer to a ping
        # comes behind it. That data is heard proves nothing: it may have waited here.
        connection = understudy.subscription.connection
        if understudy.live_s() < _OVERLAP_S or understudy.live_since_us is None:
            return False
        if connection is None:
            return True
        probe = self._probes.get(connection)
        return probe is not None and probe.is_answered(connection) and probe.sent_us > _half_way_us(understudy.live_since_us)

    def _doubt(self, subscription: Subscription, understudy: Understudy) -> None:
        connection = subscription.connection
        if connection is None or understudy.live_since_us is None:
            return
        now_us = self._clock.monotonic_us()
        probe = self._probes.get(connection)
        is_late = probe is None or (probe.is_answered(connection) and probe.sent_us <= _half_way_us(understudy.live_since_us))
        is_old = probe is not None and now_us - probe.sent_us > _DEAF_S / 4 * 1e6
        if connection.state == "live" and (is_late or is_old):
            self._probes[connection] = _Probe(self.old.supervisor.ping(connection), now_us)
        if understudy.live_s() <= _DEAF_S:
            return
        if connection.heard_us > understudy.live_since_us + int(_DEAF_S / 2 * 1e6):
            self._take_over(understudy)  # it does not answer pings, but has been heard long after the fresh one began
        else:
            subscription.lose(Status.STALLED, last_good_us=connection.heard_at_us)

    def _lost(self, subscription: Subscription) -> bool:
        understudy = self._understudies.get(subscription.key)
        if understudy is None or understudy.phase is not Phase.LIVE or not self._is_overlapped(understudy):
            return False
        self._take_over(understudy)
        return True

    def _take_over(self, understudy: Understudy) -> None:
        subscription = understudy.subscription
        del self._understudies[subscription.key]
        self._done.append(understudy)
        self.old.supervisor.forget(subscription)
        self.fresh.supervisor.adopt(subscription)
        connection, hashes = subscription.connection, subscription.hashes
        understudy.take_over()
        understudy.connection, understudy.hashes = connection, hashes  # it stands for what is left behind
