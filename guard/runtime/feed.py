"""One connector under supervision: its markets chosen, warmed and streamed for as long as guard runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from guard.errors import GuardError
from guard.runtime.selection import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model import Market, MarketFacts
    from guard.model.ports import Clock, Connector, Random, Sink

__all__ = ["Feed", "FeedPlan"]

_log = structlog.get_logger(__name__)
_HISTORY_AT_ONCE = 4
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 1.0, 60.0


class FeedPlan(NamedTuple):
    """What guard.yaml says about one exchange.

    `history_us` is how far back baselines are warmed, `history_wait_s` how long the streams wait for that.
    """

    name: str
    markets: Sequence[str]
    exclude: Sequence[str]
    quotes: Sequence[str]
    markets_max: int
    history_us: int
    history_wait_s: float


class Feed:
    """Keeps one connector running: opens it, warms its markets, streams them, and starts anew when it fails.

    Parameters
    ----------
    plan
        What guard.yaml says about the exchange.
    connect
        Makes a fresh connector.
    open_market
        Returns the row of a market, opening it the first time.
    sink
        Where the rows go.
    announce
        Tells people that the feed failed (text) or is back (None).
    """

    def __init__(
        self,
        plan: FeedPlan,
        *,
        connect: Callable[[], Connector],
        open_market: Callable[[MarketFacts], int],
        sink: Sink,
        clock: Clock,
        random: Random,
        announce: Callable[[str, str | None], None],
    ) -> None:
        self.plan = plan
        self.connector = connect()
        self.failures = 0
        self.problem: str | None = None
        self.unwarmed: list[str] = []
        self.left_out = 0
        self.is_streaming = False
        self._connect = connect
        self._open_market = open_market
        self._sink = sink
        self._clock = clock
        self._random = random
        self._announce = announce

    async def run(self) -> None:
        """Run until cancelled."""
        backoff_s = _BACKOFF_FIRST_S
        while True:
            started_us = self._clock.monotonic_us()
            try:
                await self._watch()
            except Exception as error:  # noqa: BLE001 - the supervisor of a worker: it logs, counts, restarts
                self._failed(error)
            finally:
                self.is_streaming = False
                await self.connector.close()
            if self._clock.monotonic_us() - started_us > _BACKOFF_MAX_S * 1e6:
                backoff_s = _BACKOFF_FIRST_S
            await self._clock.sleep(backoff_s * (0.5 + self._random.random() / 2))
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
            self.connector = self._connect()

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.problem = str(error) or type(error).__name__
        _log.error("feed failed", exchange=self.plan.name, error=self.problem, exc_info=not isinstance(error, GuardError))
        self._announce(self.plan.name, self.problem)

    async def _watch(self) -> None:
        offered = await self.connector.open()
        plan = self.plan
        chosen, self.left_out = choose(
            offered,
            markets=plan.markets,
            exclude=plan.exclude,
            quotes=plan.quotes,
            markets_max=plan.markets_max,
        )
        if not chosen:
            raise GuardError(f"{plan.name} offers {len(offered)} markets, but none matches {', '.join(plan.markets)}")
        rows = {facts.market: self._open_market(facts) for facts in chosen}
        await self._warm(rows)
        self.is_streaming = True
        if self.problem is not None:
            self.problem = None
            self._announce(plan.name, None)
        await self.connector.stream(rows, self._sink)
        raise GuardError(f"{plan.name} stopped streaming without saying why")

    async def _warm(self, rows: dict[Market, int]) -> None:
        since_us = self._clock.now_us() - self.plan.history_us
        gate = asyncio.Semaphore(_HISTORY_AT_ONCE)
        self.unwarmed = [str(market) for market in rows]

        async def warm(market: Market, row: int) -> None:
            async with gate:
                try:
                    await self.connector.history(market, row, self._sink, since_us=since_us)
                    self.unwarmed.remove(str(market))
                except GuardError as error:
                    _log.warning("no history", market=str(market), error=str(error))

        try:
            async with asyncio.timeout(self.plan.history_wait_s), asyncio.TaskGroup() as tasks:
                for market, row in rows.items():
                    tasks.create_task(warm(market, row))
        except TimeoutError:
            _log.warning("history took too long", exchange=self.plan.name, unwarmed=len(self.unwarmed))
