"""Keeps what reports are made of while guard runs: blocks and what prices did after them, orders of bots, uptime of feeds."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

from guard.analysis.report import RAN
from guard.errors import Unavailable
from guard.model import DataState
from guard.runtime.aftermaths import Aftermaths
from guard.store.past import HOUR_US, PastStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model import Decision
    from guard.model.aftermath import Aftermath
    from guard.model.ports import Clock
    from guard.pipeline import Pipeline

__all__ = ["ReportWatch"]

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 5.0
_WRITE_EVERY: Final = 2
_WAITING_MAX: Final = 20_000
_READY: Final = frozenset({DataState.OK, DataState.NEW, DataState.DEGRADED})
_LOST: Final = frozenset({DataState.STALE, DataState.MAINTENANCE})


class ReportWatch:
    """Collects for ``guard report``. What fails here is counted and shown; it never touches what protects bots.

    Parameters
    ----------
    pipeline, clock
        Of the running guard.
    store
        Where it is kept.
    """

    def __init__(self, pipeline: Pipeline, clock: Clock, store: PastStore) -> None:
        self._pipeline = pipeline
        self._clock = clock
        self._store = store
        self._aftermaths = Aftermaths(pipeline)
        self._waiting: dict[str, Aftermath] = {}
        self._sums: dict[tuple[int, str, str], float] = {}
        self._looked_us: int | None = None
        self._problem: str | None = None
        self.failures = 0
        self.dropped = 0

    def take(self, decision: Decision) -> None:
        """Note what a decision opens."""
        self._note(self._aftermaths.take(decision))

    def count(self, what: str, name: str, amount: float = 1.0) -> None:
        """Add to a sum of the present hour."""
        hour_us = self._clock.now_us() // HOUR_US * HOUR_US
        key = (hour_us, what, name[:200])
        if key in self._sums or len(self._sums) < _WAITING_MAX:
            self._sums[key] = self._sums.get(key, 0.0) + amount
        else:
            self.dropped += 1

    def record(self) -> dict[str, Any]:
        """Return how it fares, for the status document."""
        return {
            "followed": len(self._aftermaths),
            "passed_over": self._aftermaths.passed_over,
            "waiting": len(self._waiting) + len(self._sums),
            "dropped": self.dropped,
            "failures": self.failures,
            "problem": self._problem,
        }

    async def run(self) -> None:
        """Look around every five seconds and write every ten, until cancelled; then write what is left."""
        await self._open()
        try:
            turn = 0
            while True:
                await self._clock.sleep(_LOOK_S)
                self.look()
                turn += 1
                if turn % _WRITE_EVERY == 0:
                    await self._write()
        finally:
            await asyncio.shield(self._write())

    def look(self) -> None:
        """Note prices that are due, and how many markets have good data."""
        now_us, moment_us = self._clock.now_us(), self._clock.monotonic_us()
        self._note(self._aftermaths.advance(now_us))
        since_us, self._looked_us = self._looked_us, moment_us
        if since_us is None:
            return
        passed_s = (moment_us - since_us) / 1e6
        self.count(*RAN, passed_s)
        engine = self._pipeline.engine
        markets = Counter[tuple[str, str]]()
        for market, row in engine.markets.items():
            state = engine.data_state(row, now_us)
            markets["market_seconds", market.exchange] += 1
            markets["ready_seconds", market.exchange] += state in _READY
            markets["lost_seconds", market.exchange] += state in _LOST
        for (what, exchange), count in markets.items():
            self.count(what, exchange, passed_s * count)

    def _note(self, found: list[Aftermath]) -> None:
        for one in found:
            if one.id in self._waiting or len(self._waiting) < _WAITING_MAX:
                self._waiting[one.id] = one
            else:
                self.dropped += 1

    async def _open(self) -> None:
        kept = await self._try(self._opened)
        if self._store.was_bad:
            _log.warning("the past for reports could not be read and begins anew", path=str(self._store.path))
        self._aftermaths.restore(kept or ())

    def _opened(self) -> list[Aftermath]:
        self._store.open()
        return self._store.unfinished(self._clock.now_us())

    async def _write(self) -> None:
        waiting, sums = dict(self._waiting), dict(self._sums)
        if not waiting and not sums:
            return
        now_us = self._clock.now_us()
        if await self._try(partial(self._store.write, list(waiting.values()), sums, now_us)) is None:
            return
        self._waiting = {name: one for name, one in self._waiting.items() if waiting.get(name) is not one}
        left = {key: amount - sums.get(key, 0.0) for key, amount in self._sums.items()}
        self._sums = {key: amount for key, amount in left.items() if amount > 0}

    async def _try(self, work: Callable[[], T]) -> T | None:
        """Return what `work` returns, done in a thread; None where the file cannot be used, which is counted."""
        try:
            done = await asyncio.to_thread(work)
        except Unavailable as error:
            self.failures += 1
            if self._problem is None:
                _log.warning("the past for reports cannot be kept", error=str(error))
            self._problem = str(error)
            return None
        self._problem = None
        return done
