"""``guard record``: streams to disk, without rules, ledger or anything that decides."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.errors import ConfigurationError, GuardError, Problem
from guard.model import Kind, Market
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.feed import Feed
from guard.runtime.inlet import Inlet
from guard.runtime.record import recorder
from guard.runtime.settings import connector_factory, feed_plan
from guard.runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from guard.dsl import ExchangeSettings
    from guard.model import Batch, MarketFacts

__all__ = ["RecordingRun", "by_exchange"]

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 0.25
_BEGIN_MAX_S: Final = 60.0


def by_exchange(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the patterns of symbols by exchange, out of ``exchange:SYMBOL``. Raises ValueError where one is written otherwise."""
    found: dict[str, list[str]] = {}
    for name in names:
        market = Market.parse(name)
        found.setdefault(market.exchange, []).append(market.symbol)
    return found


class RecordingRun:
    """Records markets of some exchanges until stopped.

    Parameters
    ----------
    exchanges
        What is streamed, by the names of the exchanges.
    out
        X.parquet, or a folder of segments.
    options
        Of the recorder: when a segment ends, what is kept.

    Notes
    -----
    Backfill is not asked for: a recording holds what happened while it ran. Raises ConfigurationError and StateError as the
    recorder and the connectors do.
    """

    def __init__(self, exchanges: Mapping[str, ExchangeSettings], out: Path, **options: Any) -> None:  # noqa: ANN401 - the recorder's
        self.clock = SystemClock()
        self.writer = recorder(out, clock=self.clock, **options)
        self.started_us = self.clock.now_us()
        self.rows: dict[Market, int] = {}
        self._rows_received = 0
        # When the first row came; an exchange that does not deliver ends nothing sooner.
        self._began_s = _BEGIN_MAX_S
        self._inlet = Inlet(
            self._take,
            call_soon=lambda function: asyncio.get_running_loop().call_soon(function),
            now_us=self.clock.now_us,
            monotonic_us=self.clock.monotonic_us,
            resync=self._resync,
        )
        state = StateFolder((out.parent if out.suffix else out) / ".guard")
        self.feeds = [
            Feed(
                feed_plan(name, exchange, history_us=0),
                connect=connector_factory(
                    name, exchange, state=state, clock=self.clock, random=seeded_random(), report=self._reporter(name)
                ),
                open_market=self._open,
                sink=self._inlet,
                clock=self.clock,
                random=seeded_random(),
            )
            for name, exchange in exchanges.items()
        ]

    @staticmethod
    def _reporter(name: str) -> Callable[[str], None]:
        return lambda text: _log.warning("connector", exchange=name, note=text)

    def _take(self, batch: Batch) -> None:
        if not self._rows_received:
            self._began_s = self._seconds
        self._rows_received += len(batch)
        self.writer.append(batch)

    def _open(self, facts: MarketFacts) -> int:
        if facts.market not in self.rows:
            self.rows[facts.market] = self.writer.market(facts)
        return self.rows[facts.market]

    def _resync(self, row: int) -> None:
        market = next(market for market, number in self.rows.items() if number == row)
        for feed in self.feeds:
            if market in feed.rows:
                feed.resync(market)

    async def run(self, *, for_s: float | None, progress: Callable[[Mapping[str, Any]], None], every_s: float) -> dict[str, Any]:
        """Record until a signal asks to stop, or for `for_s` seconds, and return the summary; `progress` is told every `every_s`.

        Seconds count from the first row on, of which it waits a minute at most.
        Raises ConfigurationError where no exchange can be asked at all.
        """
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        tasks = [asyncio.create_task(feed.run(), name=f"feed {feed.plan.name}") for feed in self.feeds]
        is_whole = False
        try:
            await self._wait(stop, for_s, progress, every_s)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._inlet.flush()
            is_whole = await asyncio.to_thread(self.writer.close)
        return {**self.record(), "type": "summary", "is_whole": is_whole}

    async def _wait(
        self, stop: asyncio.Event, for_s: float | None, progress: Callable[[Mapping[str, Any]], None], every_s: float
    ) -> None:
        told_s = 0.0
        while not stop.is_set() and (for_s is None or self._seconds < for_s + self._began_s):
            self._end_if_hopeless()
            if self._seconds - told_s >= every_s:
                told_s = self._seconds
                progress({**self.record(), "type": "progress"})
            try:
                async with asyncio.timeout(_LOOK_S):
                    await stop.wait()
            except TimeoutError:
                continue

    def _end_if_hopeless(self) -> None:
        if all(feed.is_misconfigured for feed in self.feeds):
            texts = [f"{feed.plan.name}: {feed.problem}" for feed in self.feeds]
            raise ConfigurationError(Problem("guard record", 1, 1, "E403", "nothing-to-record", "error", "; ".join(texts)))
        missing = [feed for feed in self.feeds if feed.problem and "none matches" in feed.problem]
        if len(missing) == len(self.feeds):
            raise GuardError("; ".join(str(feed.problem) for feed in missing))

    @property
    def _seconds(self) -> float:
        return (self.clock.now_us() - self.started_us) / 1e6

    def record(self) -> dict[str, Any]:
        """Return how it goes, JSON-able."""
        health = self.writer.health()
        return {
            "to": str(self.writer.path),
            "seconds": round(self._seconds, 1),
            "markets": len(self.rows),
            "received": self._rows_received,
            "kinds": {kind.name.lower(): health.kinds.get(int(kind), 0) for kind in Kind if health.kinds.get(int(kind), 0)},
            "bytes": health.bytes,
            "compacted": health.compacted,
            "segments": health.segments,
            "lost": health.lost,
            "holes": health.holes,
            "let_go": health.let_go,
            "problem": health.problem,
            "notes": list(health.notes),
            "feeds": {feed.plan.name: feed.trouble for feed in self.feeds},
        }
