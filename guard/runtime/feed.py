"""One connector under supervision: its markets chosen, warmed and streamed for as long as guard runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from guard.errors import ConfigurationError, Disconnected, GuardError
from guard.model import Channel, Kind, Status
from guard.runtime.selection import Chosen, Selection, Wanted
from guard.runtime.warming import Warming

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from guard.dsl.market_where import MarketWhere
    from guard.model import Market, MarketFacts
    from guard.model.ports import Clock, Connector, Random, Sink
    from guard.runtime.bots import Bots

__all__ = ["Feed", "FeedPlan"]

_log = structlog.get_logger(__name__)
_BACKOFF_FIRST_S, _BACKOFF_MAX_S = 1.0, 60.0
_OPEN_S, _CLOSE_S = 120.0, 10.0
_PROBLEM_MAX = 500
# Turnover is asked for by the connector once a minute; a bot that changed its mind is followed at once.
_LOOK_S = 60.0
_NEWS_MAX = 5


class FeedPlan(NamedTuple):
    """What guard.yaml says about one exchange.

    `history_us` is how far back baselines are warmed, `history_wait_s` how long the streams wait for a glance at the last minutes.
    """

    name: str
    markets: Sequence[str]
    exclude: Sequence[str]
    quotes: Sequence[str]
    markets_max: int
    history_us: int
    history_wait_s: float
    where: MarketWhere | None = None

    @property
    def wanted(self) -> Wanted:
        """What is asked for of the markets on offer."""
        return Wanted(self.markets, self.markets_max, self.exclude, self.quotes, self.where)


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
    bots
        What bots trade there, None where nobody says or it is not to be watched.
    asked
        Returns the symbols that bots asked guard about lately, watched or not.
    earlier
        The names of markets that were watched before a restart.
    is_held
        Tells of a market that must not be let go.
    has_past
        Tells of a market, by its row, that it needs no past.
    notice
        Given all that the exchange offers and what was chosen of it, whenever it was looked at, before new markets are opened.

    Attributes
    ----------
    chosen
        What was chosen last, with the reasons for all else.
    let_go
        Markets that were watched before and are not any more.

    Notes
    -----
    Once a minute, and whenever the bot's list changes, it looks at what is on offer and follows what is chosen: new markets stream
    at once and are warmed beside that, those that are no longer chosen are let go; their rows stay.

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
        bots: Bots | None = None,
        asked: Callable[[], frozenset[str]] = frozenset,
        earlier: Collection[str] = (),
        is_held: Callable[[Market], bool] = lambda _market: False,
        has_past: Callable[[int], bool] = lambda _row: False,
        notice: Callable[[Sequence[MarketFacts], Sequence[MarketFacts]], None] = lambda _offered, _chosen: None,
    ) -> None:
        self.plan = plan
        self.connector = connect()
        self.failures = 0
        self.problem: str | None = None
        self.chosen = Chosen([], 0, {})
        self.let_go: set[Market] = set()
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
        self.bots = bots
        self.asked = asked
        self._is_held = is_held
        self._notice = notice
        self._selection = Selection(plan.wanted, earlier=earlier)
        self.warming = Warming(plan.name, sink=sink, clock=clock, has_past=has_past)

    @property
    def unwarmed(self) -> set[str]:
        """Markets without their past so far."""
        return set(self.warming.missing)

    @property
    def left_out(self) -> int:
        """How many markets were asked for beyond the most that are watched."""
        return self.chosen.left_out

    @property
    def is_chosen(self) -> bool:
        """Whether it is known what is to be watched: a bot that was never heard may trade anything."""
        return self.chosen.is_made and (self.bots is None or self.bots.is_known)

    @property
    def is_unreached(self) -> bool:
        """Whether it was tried in vain to learn what is to be watched."""
        return not self.is_chosen and (self.failures > 0 or (self.bots is not None and self.bots.problem is not None))

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
        asking = None if self.bots is None else asyncio.create_task(self.bots.run(), name=f"bot of {self.plan.name}")
        try:
            await self._run()
        finally:
            await _ended([] if asking is None else [asking])

    async def _run(self) -> None:
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
        if self.bots is not None:
            await self.bots.ready()
        self._choose(offered)
        while self.bots is not None and not self.chosen.markets:
            self.problem = self._nothing(offered)
            await self._until_due()
            offered = await self.connector.markets()
            self._choose(offered)
        if not self.chosen.markets:
            raise GuardError(self._nothing(offered))
        self._notice(offered, self.chosen.markets)
        rows = self.rows = self._open(self.chosen.markets)
        self._let_go_of(set())
        beside = [self._warming_task(rows)]
        try:
            await self._glanced(beside[0])
            self.is_streaming = self.has_streamed = True
            self.problem = None
            self.is_misconfigured = False
            streaming = asyncio.create_task(self.connector.stream(rows, self._sink), name=f"streams of {plan.name}")
            beside.append(streaming)
            choosing = asyncio.create_task(self._keep_choosing(beside), name=f"markets of {plan.name}")
            beside.append(choosing)
            # Streams that nobody leads any more would miss every new market from then on.
            await asyncio.wait([streaming, choosing], return_when=asyncio.FIRST_COMPLETED)
            for task in (streaming, choosing):
                if task.done():
                    task.result()
        finally:
            await _ended(beside)
        raise GuardError(f"{plan.name} stopped streaming without saying why")

    async def _glanced(self, warming: asyncio.Task[None]) -> None:
        """Wait until markets know their last minutes, or all of their past, but not long."""
        waiting = [asyncio.create_task(self.warming.until_glanced())]
        try:
            await asyncio.wait([*waiting, warming], timeout=self.plan.history_wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(waiting)

    def _choose(self, offered: Sequence[MarketFacts]) -> None:
        if self._selection.wanted != self.plan.wanted:
            self._selection = Selection(self.plan.wanted)
        traded = () if self.bots is None else self.bots.traded(offered, most=self.plan.markets_max)
        self.chosen = self._selection.choose(offered, now_us=self._clock.now_us(), traded=traded, is_held=self._is_held)

    def _nothing(self, offered: Sequence[MarketFacts]) -> str:
        patterns = ", ".join(self.plan.markets) or "what its bot trades"
        why = f"; {self.bots.problem}" if self.bots is not None and self.bots.problem else ""
        return f"{self.plan.name} offers {len(offered)} markets, but none matches {patterns}{why}"

    def _open(self, markets: Sequence[MarketFacts]) -> dict[Market, int]:
        return {facts.market: self._open_market(facts) for facts in markets}

    def _let_go_of(self, markets: set[Market]) -> None:
        self.let_go = (self.let_go | markets) - set(self.rows)

    async def _keep_choosing(self, beside: list[asyncio.Task[None]]) -> None:
        """Follow what is chosen while it changes; what warms new markets joins the tasks beside."""
        while True:
            await self._until_due()
            try:
                offered = await self.connector.markets()
            except GuardError as error:
                _log.warning("markets not looked at", exchange=self.plan.name, error=_short(error))
                continue
            except Exception as error:  # noqa: BLE001 - a connector's mistake, which must not end what streams
                _log.error("markets not looked at", exchange=self.plan.name, error=_short(error), exc_info=True)
                continue
            come = self._follow(offered)
            beside[:] = [task for task in beside if not task.done()]
            if come:
                beside.append(self._warming_task(come))

    async def _until_due(self) -> None:
        """Wait for the next look: a minute, or until the bot's list changes."""
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._clock.sleep(_LOOK_S))]
        if self.bots is not None:
            waiting.append(asyncio.ensure_future(self.bots.changed.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _ended(waiting)
        if self.bots is not None:
            self.bots.changed.clear()

    def _follow(self, offered: Sequence[MarketFacts]) -> dict[Market, int]:
        """Choose anew, let the connector stream what was chosen, and return what is new."""
        self._choose(offered)
        self._notice(offered, self.chosen.markets)
        before = self.rows
        come = [facts for facts in self.chosen.markets if facts.market not in before]
        kept = {facts.market for facts in self.chosen.markets}
        gone = {market for market in before if market not in kept}
        if not come and not gone:
            return {}
        opened = self._open(come)
        self.rows = {**{market: row for market, row in before.items() if market in kept}, **opened}
        self._let_go_of(gone)
        self.warming.forget(gone)
        _log.info(
            "markets", exchange=self.plan.name, new=_some(each.market for each in come), let_go=_some(gone), now=len(self.rows)
        )
        self.connector.follow(self.rows)
        return opened

    def _warming_task(self, rows: Mapping[Market, int]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._warm(rows), name=f"history of {self.plan.name}")
        task.add_done_callback(_tell_failure)
        return task

    async def _warm(self, rows: Mapping[Market, int]) -> None:
        await self.warming.run(self.connector, rows, history_us=self.plan.history_us, is_wanted=lambda market: market in self.rows)


async def _ended(tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Cancel tasks and wait for their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("markets get no past any more", task=task.get_name(), error=repr(error)[:_PROBLEM_MAX])


def _some(markets: Iterable[Market]) -> str:
    names = sorted(map(str, markets))
    return ", ".join(names[:_NEWS_MAX]) + (f" and {len(names) - _NEWS_MAX} more" if len(names) > _NEWS_MAX else "")


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_PROBLEM_MAX]
