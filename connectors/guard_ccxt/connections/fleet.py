"""The shards of one exchange: which stream runs where, and what they do together. Imports ccxt."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from guard_ccxt.connections.instance import share, sibling
from guard_ccxt.connections.limits import limits_of
from guard_ccxt.connections.pace import Pace
from guard_ccxt.connections.recycle import Recycler
from guard_ccxt.connections.shard import Shard
from guard_ccxt.connections.understudy import Understudy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.model.ports import ConnectorContext
    from guard_ccxt.connections.handover import Handover
    from guard_ccxt.connections.tap import Key
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.rest.client import Rest
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Fleet"]


class Fleet:
    """As many shards as the streams of one exchange need.

    Parameters
    ----------
    exchange
        The session's ccxt instance, with the market table; it does all REST.
    context, options, counters, rest
        Shared with the session.

    Attributes
    ----------
    shards
        Those that run, oldest first.
    handover
        The one that is under way.
    """

    def __init__(self, exchange: Any, context: ConnectorContext, options: Options, *, counters: Counters, rest: Rest) -> None:
        self.shards: list[Shard] = []
        self._exchange = exchange
        self._context = context
        self._options = options
        self._counters = counters
        self._rest = rest
        self._limits = limits_of(options)
        self._dials = Pace(self._limits.dials, context.clock)
        self.handover: Handover | None = None
        self._broken: asyncio.Future[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._idle: Shard | None = None

    @property
    def subscriptions(self) -> dict[Key, Subscription]:
        """Every stream by its key."""
        return {
            key: one for shard in self.shards for key, one in shard.tap.subscriptions.items() if not isinstance(one, Understudy)
        }

    @property
    def tier(self) -> str:
        """``fast`` where frames are read by a typed decoder first, else ``generic``."""
        shard = self.shards[0] if self.shards else self._idle
        return "generic" if shard is None else shard.tap.tier

    def prepare(self) -> Shard:
        """Return a shard that does not run yet and will be the next to do so; the market tables must be there."""
        if self._idle is None:
            fresh = sibling(self._exchange, self._context.name, self._options, self._limits)
            self._idle = Shard(
                fresh,
                self._context,
                self._options,
                counters=self._counters,
                rest=self._rest,
                limits=self._limits,
                dials=self._dials,
            )
        return self._idle

    def share(self) -> None:
        """Give all shards the market table as it is now: after each load."""
        for shard in (*self.shards, *(() if self._idle is None else (self._idle,))):
            share(self._exchange, shard.exchange)

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Subscribe to `subscriptions`: all streams of a market on one shard, on a new one where none has room."""
        if self.handover is not None:
            self.handover.sync()
        markets: dict[str, list[Subscription]] = {}
        for subscription in subscriptions:
            markets.setdefault(subscription.symbol, []).append(subscription)
        placed: dict[int, tuple[Shard, list[Subscription]]] = {}
        for streams in markets.values():
            shard = self._with_room(streams, {number: len(held) for number, (_, held) in placed.items()})
            placed.setdefault(id(shard), (shard, []))[1].extend(streams)
        for shard, streams in placed.values():
            shard.add(streams)

    def let_go(self, subscriptions: Iterable[Subscription]) -> None:
        """End `subscriptions`; a shard without streams is closed."""
        ours = list(subscriptions)
        for shard in list(self.shards):
            shard.let_go([one for one in ours if shard.tap.subscriptions.get(one.key) is one])
            if shard.is_empty and len(self.shards) > 1 and self.handover is None:
                self.drop(shard)

    def shard_of(self, subscription: Subscription) -> Shard | None:
        """Return the shard that `subscription` runs on."""
        return next((one for one in self.shards if one.tap.subscriptions.get(subscription.key) is subscription), None)

    async def run(self) -> None:
        """Renew shards until cancelled or stopped; raises what guard did wrong. `stop` must follow."""
        broken = self._broken = self._broken or asyncio.get_running_loop().create_future()
        recycler = Recycler(self, clock=self._context.clock, counters=self._counters, rest=self._rest, options=self._options)
        recycling = asyncio.create_task(recycler.run())
        try:
            await asyncio.wait({broken, recycling}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            recycling.cancel()
            await asyncio.gather(recycling, return_exceptions=True)
        for ended in (broken, recycling):
            if ended.done() and not ended.cancelled():
                ended.result()

    def launch(self) -> Shard:
        """Start a fresh shard, the youngest of `shards`, and return it."""
        self._broken = self._broken or asyncio.get_running_loop().create_future()
        shard, self._idle = self.prepare(), None
        shard.start().add_done_callback(self._ended)
        self.shards.append(shard)
        return shard

    def drop(self, shard: Shard) -> None:
        """Close a shard, in the background."""
        if shard in self.shards:
            self.shards.remove(shard)
        task = asyncio.create_task(shard.retire())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def phases(self) -> dict[str, int]:
        """Return how many subscriptions stand in each phase."""
        return dict(Counter(subscription.phase.name.lower() for subscription in self.subscriptions.values()))

    def record(self) -> list[dict[str, Any]]:
        """Return how each shard stands, JSON-able."""
        now_us = self._context.clock.monotonic_us()
        return [
            {
                "streams": len(shard.tap.subscriptions),
                "connections": len(shard.tap.connections),
                "age_s": round((now_us - shard.born_us) / 1e6),
            }
            for shard in self.shards
        ]

    async def stop(self) -> None:
        """Close the shards that run. Safe to call twice."""
        shards, self.shards = self.shards, []
        await asyncio.gather(*(shard.close() for shard in shards), *self._closing)
        broken, self._broken = self._broken, None
        if broken is not None and not broken.done():
            broken.set_result(None)

    async def close(self) -> None:
        """Close all shards. Safe to call twice."""
        await self.stop()
        idle, self._idle = self._idle, None
        if idle is not None:
            await idle.close()

    def _with_room(self, streams: list[Subscription], taken: dict[int, int]) -> Shard:
        keys = {one.key for one in streams}
        for shard in self.shards:
            if not shard.is_retiring and keys & shard.tap.ghosts:  # the exchange still sends them there
                return shard
        for shard in self.shards:
            if shard.room - taken.get(id(shard), 0) >= len(streams):
                return shard
        return self.launch()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._broken is not None and not self._broken.done():
            self._broken.set_exception(error)
