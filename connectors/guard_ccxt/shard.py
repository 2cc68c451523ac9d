"""One ccxt instance with its connections: as many streams as the exchange's limits allow it. Imports ccxt."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from guard_ccxt.supervisor import Supervisor
from guard_ccxt.tap import Tap, missing_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.model.ports import ConnectorContext
    from guard_ccxt.counters import Counters
    from guard_ccxt.limits import Limits
    from guard_ccxt.options import Options
    from guard_ccxt.pace import Pace
    from guard_ccxt.rest import Rest
    from guard_ccxt.subscription import Subscription

__all__ = ["Shard"]

_REPAIRS_S = 6.0


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

    Notes
    -----
    `run` may be called once. `born_us` is when, monotonic.
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
        self._limits = limits
        self._clock = context.clock
        self._running: asyncio.Task[None] | None = None

    @property
    def room(self) -> int:
        """How many streams it can still take; what was let go and may still be sent counts."""
        return self._limits.streams - len(self.tap.subscriptions.keys() | self.tap.ghosts)

    @property
    def is_empty(self) -> bool:
        """Whether it has no stream."""
        return not self.tap.subscriptions

    def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Keep `subscriptions` alive from now on."""
        self.supervisor.add(subscriptions)

    def let_go(self, subscriptions: Iterable[Subscription]) -> None:
        """End `subscriptions`."""
        self.supervisor.let_go(subscriptions)

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends with an error only where guard made a mistake."""
        assert self._running is None
        self.born_us = self._clock.monotonic_us()
        self._running = asyncio.create_task(self.supervisor.run())
        return self._running

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
