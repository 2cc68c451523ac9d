"""One ccxt instance with its connections: as many streams as the exchange's limits allow it. Imports ccxt."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from guard_ccxt.connections.instance import spread
from guard_ccxt.connections.supervisor import Supervisor
from guard_ccxt.connections.tap import Tap, missing_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.model.ports import ConnectorContext
    from guard_ccxt.connections.limits import Limits
    from guard_ccxt.connections.pace import Pace
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.rest.client import Rest
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Shard"]

_REPAIRS_S = 6.0
_JITTER = 0.1


class Shard:
    """A ccxt instance that only streams, its tap and its supervisor.

    Parameters
    ----------
    exchange
        A sibling of the session's instance, which is closed with the shard.
    context, options, counters, rest
        Shared with the session and all its shards.
    limits, dials
        What the exchange allows, and the pace of all shards' dials.

    Attributes
    ----------
    born_us, due_us
        When it started, and when its connections should be renewed (None: never). Monotonic microseconds.
    """

    def __init__(
        self,
        exchange: Any,
        context: ConnectorContext,
        options: Options,
        *,
        counters: Counters,
        rest: Rest,
        limits: Limits,
        dials: Pace,
    ) -> None:
        self.exchange = exchange
        self.born_us = context.clock.monotonic_us()
        self.tap = Tap(
            exchange,
            clock=context.clock,
            counters=counters,
            levels_max=options.levels_max,
            bad_frames_max=options.bad_frames_max,
            dials=dials,
            messages=limits.messages,
            batch=limits.batch,
            tier=options.tier,
        )
        self.supervisor = Supervisor(
            exchange,
            self.tap,
            clock=context.clock,
            random=context.random,
            counters=counters,
            rest=rest,
            options=options,
        )
        self.missing = missing_names(exchange)
        if not self.missing:
            self.tap.install()
        self.due_us: int | None = None
        self.tap.on_farewell = self._hurry
        self._options = options
        self._random = context.random
        self._counters = counters
        self._limits = limits
        self._clock = context.clock
        self._running: asyncio.Task[None] | None = None

    @property
    def is_retiring(self) -> bool:
        """Whether a fresh shard is taking its streams."""
        return self.tap.is_retiring

    @is_retiring.setter
    def is_retiring(self, value: bool) -> None:
        self.tap.is_retiring = value

    @property
    def is_due(self) -> bool:
        """Whether its connections should be renewed."""
        return self.due_us is not None and self._clock.monotonic_us() >= self.due_us

    @property
    def room(self) -> int:
        """How many streams it can still take; what was let go and may still be sent counts."""
        return 0 if self.is_retiring else self._limits.streams - len(self.tap.subscriptions.keys() | self.tap.ghosts)

    @property
    def is_empty(self) -> bool:
        """Whether it has no stream."""
        return not self.tap.subscriptions

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Keep `subscriptions` alive from now on."""
        fresh = list(subscriptions)
        spread(self.exchange, self._options, self._limits, len(self.tap.subscriptions) + len(fresh))
        self.supervisor.add(fresh)

    def let_go(self, subscriptions: Iterable[Subscription]) -> None:
        """End `subscriptions`."""
        self.supervisor.let_go(subscriptions)

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends with an error only where guard made a mistake."""
        assert self._running is None
        self.born_us = self._clock.monotonic_us()
        age_s = self._options.recycle_after_s * (1.0 - _JITTER * self._random.random())
        self.due_us = self.born_us + int(age_s * 1e6) if age_s else None
        self._running = asyncio.create_task(self.supervisor.run())
        return self._running

    def _hurry(self) -> None:
        self._counters.note(f"{self.exchange.id} announces that it closes connections: they are renewed first")
        self.due_us = self._clock.monotonic_us()

    async def retire(self) -> None:
        """Close it once trades it is about to fetch have come, or 6 s are over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.supervisor.repaired(), _REPAIRS_S)
        await self.close()

    async def close(self) -> None:
        """Close streams and sockets. Safe to call twice."""
        self.supervisor.is_closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.tap.close()
        await self.exchange.close()
