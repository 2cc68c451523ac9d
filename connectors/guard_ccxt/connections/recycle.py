"""Renews shards before the exchange cuts their connections. Imports ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard_ccxt.connections.handover import Handover

if TYPE_CHECKING:
    from guard.model.ports import Clock
    from guard_ccxt.connections.fleet import Fleet
    from guard_ccxt.connections.shard import Shard
    from guard_ccxt.counters import Counters
    from guard_ccxt.options import Options
    from guard_ccxt.rest.client import Rest

__all__ = ["Recycler"]

_TICK_MAX_S = 1.0
_LATE_S = 10.0
_AGAIN_MAX_S = 600.0
_PATIENCE_FACTOR = 4


class Recycler:
    """Renews one shard after the other as each comes of age, or when the exchange says that it closes a connection.

    Parameters
    ----------
    fleet
        Whose shards.
    clock, counters, rest, options
        Shared parts of the connector.

    Notes
    -----
    One at a time; the ages at which shards are due differ by chance, within and among exchanges. A fresh shard that does not
    deliver within four times `first_event_s` is given up: the old one goes on, people are told once, and it is tried again within
    ten minutes.
    """

    def __init__(self, fleet: Fleet, *, clock: Clock, counters: Counters, rest: Rest, options: Options) -> None:
        self._fleet = fleet
        self._clock = clock
        self._counters = counters
        self._rest = rest
        self._options = options

    async def run(self) -> None:
        """Renew until cancelled."""
        every_s = self._options.recycle_after_s
        tick_s = min(_TICK_MAX_S, every_s / 4) if every_s else _TICK_MAX_S
        while True:
            await self._clock.sleep(tick_s)
            await self._renew_due()  # which keeps no shard while this sleeps

    async def _renew_due(self) -> None:
        for shard in list(self._fleet.shards):
            if shard in self._fleet.shards and shard.is_due:
                await self._renew(shard)

    async def _renew(self, old: Shard) -> None:
        fresh = self._fleet.launch()
        handover = Handover(
            old,
            fresh,
            clock=self._clock,
            rest=self._rest,
            patience_s=_PATIENCE_FACTOR * self._options.first_event_s,
        )
        self._fleet.handover = handover
        try:
            is_whole = await handover.run()
        finally:
            self._fleet.handover = None
        if is_whole:
            self._counters.recycled += 1
            self._fleet.drop(old)
            await self._clock.sleep(min(_LATE_S, self._options.recycle_after_s or _LATE_S))
        else:
            if fresh.is_empty:
                self._fleet.drop(fresh)
            every_s = self._options.recycle_after_s or _AGAIN_MAX_S
            old.due_us = self._clock.monotonic_us() + int(min(_AGAIN_MAX_S, every_s) * 1e6)
            self._counters.note(
                f"{old.exchange.id}: connections could not be renewed, fresh ones do not deliver: the old ones go on until they are"
            )
        handover.end()
