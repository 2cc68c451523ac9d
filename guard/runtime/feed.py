"""One connector under supervision: its markets chosen, warmed and streamed for as long as guard runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from guard.errors import ConfigurationError, Disconnected, GuardError
from guard.model import Channel, Kind, Status
from guard.runtime.selection import choose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model import Market, MarketFacts
    from guard.model.ports import Clock, Connector, Random, Sink

__all__ = ["Feed", "FeedPlan"]

_log = structlog.get_logger(__name__)
_HISTORY_AT_ONCE = 4
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 1.0, 60.0
_OPEN_S, _CLOSE_S = 120.0, 10.0
_PROBLEM_MAX = 500


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

    Notes
    -----
    When the connector fails, each of its markets gets a STATUS row LOST, whatever the connector itself has said: data that stopped
    is never taken for calm. Opening may take 120 s, closing 10 s. `trouble` tells what is wrong now.
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
    ) -> None:
        self.plan = plan
        self.connector = connect()
        self.failures = 0
        self.problem: str | None = None
        self.unwarmed: set[str] = set()
        self.left_out = 0
        self.is_streaming = False
        self.has_streamed = False
        self.is_misconfigured = False
        self.rows: dict[Market, int] = {}
        self._connect = connect
        self._open_market = open_market
        self._sink = sink
        self._clock = clock
        self._random = random
        self._is_used = False

    @property
    def trouble(self) -> str | None:
        """What keeps its data from arriving now; None where nothing does."""
        if not self.is_streaming:
            return self.problem or "its streams have not begun"
        states = self.connector.health().connections.values()
        lost = sum(state != "live" for state in states)
        return f"{lost} of {len(states)} connections do not deliver" if lost else None

    def resync(self, market: Market) -> None:
        """Ask for the whole book of a market that was dropped; one that does not stream shows it when it streams again."""
        if self.is_streaming:
            try:
                self.connector.resync(market)
            except Exception as error:  # noqa: BLE001 - a connector's mistake, which must not end the turn of the loop
                _log.error("no whole book", market=str(market), error=_short(error), exc_info=not isinstance(error, GuardError))

    async def run(self) -> None:
        """Run until cancelled."""
        backoff_s = _BACKOFF_FIRST_S
        while True:
            started_us = self._clock.monotonic_us()
            try:
                await self._watch()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self._failed(Disconnected("the connector gave up by itself"))
            except Exception as error:  # noqa: BLE001 - the supervisor of a worker: it logs, counts, restarts
                self._failed(error)
            finally:
                self.is_streaming = False
                await self._close()
            if self._clock.monotonic_us() - started_us > _BACKOFF_MAX_S * 1e6:
                backoff_s = _BACKOFF_FIRST_S
            await self._clock.sleep(backoff_s * (0.5 + self._random.random() / 2))
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self.connector.close()
        except Exception as error:  # noqa: BLE001 - likewise: what cannot be closed must not keep its successor from opening
            _log.warning("feed not closed", exchange=self.plan.name, error=_short(error))

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.problem = _short(error)
        self.is_misconfigured = isinstance(error, ConfigurationError)
        is_known = isinstance(error, GuardError)
        _log.error("feed failed", exchange=self.plan.name, failures=self.failures, error=self.problem, exc_info=not is_known)
        now_us = self._clock.now_us()
        for row in self.rows.values():
            self._sink.append(Kind.STATUS, row, at_us=now_us, received_us=now_us, side=Channel.ALL, key=Status.LOST)

    async def _watch(self) -> None:
        if self._is_used:
            self.connector = self._connect()
        self._is_used = True
        plan = self.plan
        try:
            async with asyncio.timeout(_OPEN_S) as limit:
                offered = await self.connector.open()
        except TimeoutError as error:
            if limit.expired():
                raise Disconnected(f"{plan.name} did not open within {_OPEN_S:g} s") from error
            raise
        chosen, self.left_out = choose(
            offered,
            markets=plan.markets,
            exclude=plan.exclude,
            quotes=plan.quotes,
            markets_max=plan.markets_max,
        )
        if not chosen:
            raise GuardError(f"{plan.name} offers {len(offered)} markets, but none matches {', '.join(plan.markets)}")
        rows = self.rows = {facts.market: self._open_market(facts) for facts in chosen}
        await self._warm(rows)
        self.is_streaming = self.has_streamed = True
        self.problem = None
        self.is_misconfigured = False
        await self.connector.stream(rows, self._sink)
        raise GuardError(f"{plan.name} stopped streaming without saying why")

    async def _warm(self, rows: dict[Market, int]) -> None:
        since_us = self._clock.now_us() - self.plan.history_us
        gate = asyncio.Semaphore(_HISTORY_AT_ONCE)
        self.unwarmed = {str(market) for market in rows}

        async def warm(market: Market, row: int) -> None:
            async with gate:
                try:
                    await self.connector.history(market, row, self._sink, since_us=since_us)
                    self.unwarmed.discard(str(market))
                except Exception as error:  # noqa: BLE001 - no past is a pity; no stream because of that would be a silent guard
                    is_known = isinstance(error, GuardError)
                    _log.warning("no history", market=str(market), error=_short(error), exc_info=not is_known)

        try:
            async with asyncio.timeout(self.plan.history_wait_s), asyncio.TaskGroup() as tasks:
                for market, row in rows.items():
                    tasks.create_task(warm(market, row))
        except TimeoutError:
            _log.warning("history took too long", exchange=self.plan.name, unwarmed=len(self.unwarmed))


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_PROBLEM_MAX]
