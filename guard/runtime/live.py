"""A running guard: owns the loop's tasks, from the first published answer to the last drained message."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import structlog

from guard.client.clock import MACHINE
from guard.errors import GuardError, OperationRefused
from guard.model import Decision, Level
from guard.model.decision import NOTHING
from guard.model.validation import Failed, Fallback, IsolationStep
from guard.runtime.bot_watch import BotWatch
from guard.runtime.bypass_watch import BypassWatch
from guard.runtime.commit import Committer
from guard.runtime.detector_watch import DetectorWatch
from guard.runtime.feed_watch import FeedWatch
from guard.runtime.inlet import Inlet
from guard.runtime.overload import Overload
from guard.runtime.pager import Pager
from guard.runtime.publish import CannotPublish
from guard.runtime.shown import Scores, WatchedNames, shown_image
from guard.runtime.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from guard.alerts.outbox import Outbox
    from guard.dsl import Program
    from guard.model import Batch, BotPolicy, Command, Delivery, Image, MarketFacts
    from guard.model.ports import Clock, LedgerState, Outcome, Random, Store
    from guard.pipeline import Pipeline
    from guard.runtime.feed import Feed
    from guard.runtime.keeper import Keeper
    from guard.runtime.publish import SnapshotPublisher
    from guard.runtime.watchlist import Watchlist

__all__ = ["Live"]

_log = structlog.get_logger(__name__)
HEARTBEAT_S = 0.25
_PUBLISH_US = 1_000_000
# A loop that turns this late is told; bots would see guard as silent at two seconds.
_LAG_TOLD_US = 1_000_000
_RATE_WINDOW_S = 20
_DRAIN_S = 5.0
_COMMIT_LOOK_S = 0.05
# A guard that lasts this long after a start has got over what ended it before.
_SETTLED_US = 120_000_000


class Live:
    """Joins the pipeline with what feeds it and what carries its decisions out.

    Parameters
    ----------
    pipeline
        Decides.
    store, ledger
        The ledger, open, and what it remembers.
    notify
        Sends one message past the outbox, for the trouble that stops the outbox.
    on_decision
        Told of every decision at once, for the console.

    Notes
    -----
    Order of a decision: submitted to the committer, COMMIT, published to bots, operators answered, outbox woken. The heartbeat is
    written by the loop itself, so that it stops when the loop does.

    Whatever goes wrong in the pipeline ends guard: a guard that lost rows must not look alive. A console that raises does not; it
    is counted in `console_failures`.
    """

    lag_max_us = 0
    console_failures = 0
    _is_settled = False
    _published_us = 0

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        store: Store,
        ledger: LedgerState,
        publisher: SnapshotPublisher,
        outbox: Outbox,
        watchlist: Watchlist,
        clock: Clock,
        random: Random,
        notify: Callable[[Delivery], Coroutine[None, None, Outcome]],
        on_decision: Callable[[Decision], None],
    ) -> None:
        self.pipeline = pipeline
        self.publisher = publisher
        self.outbox = outbox
        self.watchlist = watchlist
        self.clock = clock
        self.epoch = ledger.epoch
        self.seq = ledger.seq
        self.is_durable = True
        self.feeds: Sequence[Feed] = ()
        self.keeper: Keeper | None = None
        self.inlet = Inlet(
            self._process,
            call_soon=self._call_soon,
            now_us=clock.now_us,
            monotonic_us=clock.monotonic_us,
            resync=self._show_book_anew,
        )
        self.committer = Committer(
            store,
            self.committed,
            clock,
            random,
            epoch=ledger.epoch,
            seq=ledger.seq,
            held=ledger.quarantines,
            on_committed=lambda _deliveries: outbox.wake(),
            on_outage=self._announce_outage,
        )
        self.started_us = clock.now_us()
        self.detectors = DetectorWatch(pipeline.engine, self.inlet, clock, self.announce, self._break)
        self.bots: Mapping[str, BotPolicy] = {}
        self.bypass = BypassWatch(publisher.path, MACHINE)
        self._ended: Exception | None = None
        self.bot_watch = BotWatch(pipeline.isolation.covering, clock, self.announce)
        self._feed_watch = FeedWatch(pipeline, clock, self.announce, self._show_book_anew)
        self.overload = Overload(self.inlet, monotonic_us=clock.monotonic_us, announce=self.announce)
        self.names = WatchedNames(self)
        self.scores = Scores(self)
        self.engine_problem: str | None = None
        self._on_decision = on_decision
        self._pager = Pager(notify, clock, outbox.arrived)
        self.vigil = Vigil(publisher, clock, recovery=pipeline.isolation.recovery, announce=self._announced, page=self._pager.page)
        self.vigil.publish = self.publish
        # Keeps what guard was doing when it ended by itself, and returns where.
        self.dump: Callable[[str], object] = lambda _why: None
        self._rates: deque[tuple[int, int]] = deque(maxlen=_RATE_WINDOW_S * 4)

    @staticmethod
    def _call_soon(function: Callable[[], None]) -> object:
        return asyncio.get_running_loop().call_soon(function)

    def open_market(self, facts: MarketFacts) -> int:
        """Return the row of a market, opening it the first time."""
        row = self.pipeline.engine.markets.get(facts.market)
        if row is None:
            row = self.pipeline.open(facts)
            if self.keeper is not None:
                self.keeper.warm(row)
        return row

    def _show_book_anew(self, row: int) -> None:
        """Ask the exchange's connector for the whole book of a market."""
        market = self.pipeline.engine.watched[row].facts.market
        for feed in self.feeds:
            if market in feed.rows:
                feed.resync(market)

    def _process(self, batch: Batch) -> None:
        # It is called by the loop itself and by connectors: neither would end guard for an exception, so the heartbeat does.
        if self._ended is not None:
            return
        try:
            self.take(self.pipeline.process(batch))
        except Exception as error:  # noqa: BLE001 - the heartbeat raises it
            self._break("events cannot be processed, guard ends", error)

    def _break(self, what: str, error: Exception) -> None:
        """Let the heartbeat end guard: whoever caught `error` would go on with a pipeline that is not whole."""
        self._ended = self._ended or error
        _log.critical(what, error=str(error))

    def take(self, decision: Decision) -> None:
        """Send a decision on its way: console, ledger, bots, people."""
        self.detectors.look()
        if decision is not NOTHING and not decision.is_empty:
            decision = self.bot_watch.told(decision)
            self._show(decision)
            self.committer.submit(decision)

    def _show(self, decision: Decision) -> None:
        try:
            self._on_decision(decision)
        except Exception:  # noqa: BLE001 - what people watch must never stop what protects bots
            self.console_failures += 1
            if self.console_failures == 1:
                _log.exception("the console failed; further failures are only counted")

    async def operate(self, command: Command) -> tuple[Decision, int]:
        """Carry out a person's order and return after COMMIT with the sequence number.

        Raises OperationRefused, and Unavailable where too much waits for the ledger. Any other error ends guard.
        """
        self.committer.make_sure_of_room()
        try:
            decision = self.bot_watch.told(self.pipeline.operate(command, self._moment_us()))
        except OperationRefused:
            raise
        except Exception as error:
            self._break("an order failed halfway, guard ends", error)
            raise
        self._show(decision)
        return decision, await self.committer.settled(decision)

    def _moment_us(self) -> int:
        """Return the pipeline's time: rows that wait come first, and it must not pass them."""
        return min(now_us := self.clock.now_us(), self.inlet.oldest_us or now_us)

    def swap(self, program: Program) -> None:
        """Run new rules. An error ends guard: half of the old must not run beside half of the new."""
        self.scores.forget()
        try:
            self.take(self.pipeline.load(program, self._moment_us()))
        except Exception as error:
            self._break("new rules could not take over, guard ends", error)
            raise

    def announce(self, key: str, title: str, body: str, level: Level = Level.DANGER) -> None:
        """Tell people about guard itself."""
        self._announced(key, title, body, level)

    def _announced(self, key: str, title: str, body: str, level: Level) -> tuple[Delivery, ...]:
        decision = self.pipeline.announce(key, title, body, level, self.clock.now_us())
        self.take(decision)
        return decision.deliveries

    async def all_committed(self) -> bool:
        """Wait until the ledger has all that was decided so far, at most 5 s, and return whether it has."""
        health = self.committer.health
        wanted = health.committed + health.waiting
        for _ in range(int(_DRAIN_S / _COMMIT_LOOK_S)):
            if self.committer.health.committed >= wanted:
                return True
            await self.clock.sleep(_COMMIT_LOOK_S)
        return False

    def _announce_outage(self, problem: str | None) -> None:
        if problem is None:
            self._pager.stop()
            self.announce("ledger", "the ledger is written again", "Blocks are durable again.", Level.NORMAL)
        else:
            body = f"{problem}. New blocks hold in memory and are shown to bots as not durable; releases wait.\nguard status"
            fallbacks = self.vigil.take(Failed(IsolationStep.COMMIT, problem))
            sent = self._announced("ledger", "the ledger cannot be written", body, Level.CRITICAL)
            if Fallback.PAGE in fallbacks:
                # Past the outbox: that one waits for the very ledger that cannot be written.
                self._pager.page(sent)

    def committed(self, seq: int, *, durable: bool, decisions: int) -> None:
        """Publish what the ledger now holds, or, where it cannot be written, the blocks that only memory has."""
        del decisions
        self.seq = seq
        self.is_durable = durable
        self.publish()

    def image(self) -> Image:
        """Return what bots may see."""
        return shown_image(self, look=not self.scores.are_fresh)

    def publish(self) -> None:
        """Write the snapshot; where that fails bots get no sign of life until it succeeds. Raises StateError."""
        self._published_us = self.clock.monotonic_us()
        image = self.image()
        try:
            self.publisher.publish(image, epoch=self.epoch, seq=self.seq, durable=self.is_durable)
        except CannotPublish as error:
            self.vigil.not_published(error)
        else:
            self.vigil.published(image, epoch=self.epoch, seq=self.seq, durable=self.is_durable)

    def _look_around(self) -> None:
        self.names.keep()
        self._feed_watch.look(self.feeds)
        self.overload.look()
        self.bot_watch.look()
        if not self._is_settled and self.clock.now_us() - self.started_us >= _SETTLED_US:
            self._is_settled = True
            self.announce("guard", "guard runs again", "Bots are answered again.", Level.NORMAL)

    async def heartbeat(self) -> None:
        """Let time pass in the pipeline and prove to bots that the loop turns, four times a second."""
        expected_us = self.clock.monotonic_us()
        while True:
            lag_us = self.clock.monotonic_us() - expected_us
            self.lag_max_us = max(self.lag_max_us, lag_us)
            if lag_us > _LAG_TOLD_US:
                _log.warning("the loop was late", lag_ms=lag_us // 1000)
            self.inlet.flush()
            if self._ended is not None:
                raise self._ended
            self.take(self.pipeline.advance(self._moment_us()))
            self._rates.append((self.clock.monotonic_us(), self.inlet.received))
            if self.clock.monotonic_us() - self._published_us >= _PUBLISH_US:
                await self.scores.look()
                self._look_around()
                await asyncio.sleep(0)
                self.publish()
            elif self.bypass.has_changed():
                self.publish()
            self.vigil.turn()
            expected_us = self.clock.monotonic_us() + int(HEARTBEAT_S * 1e6)
            await self.clock.sleep(HEARTBEAT_S)

    @property
    def events_per_second(self) -> float:
        """Rows received a second, over the last 20 seconds."""
        if len(self._rates) < 2:  # noqa: PLR2004 - a rate needs two points
            return 0.0
        (first_us, first), (last_us, last) = self._rates[0], self._rates[-1]
        return (last - first) / max(1e-6, (last_us - first_us) / 1e6)

    async def run(
        self,
        stop: asyncio.Event,
        *,
        also: Sequence[asyncio.Task[None]],
        before_close: Callable[[], Awaitable[None]],
    ) -> None:
        """Run until `stop` is set, then drain, call `before_close`, stop the streams and mark the snapshot stopped.

        A task that dies ends guard: people are told, what killed it is raised, and bots see a guard that is silent.
        """
        self.publish()
        self.outbox.start()
        commit = asyncio.create_task(self.committer.run(), name="commit")
        heartbeat = asyncio.create_task(self.heartbeat(), name="heartbeat")
        feeds = [asyncio.create_task(feed.run(), name=f"feed {feed.plan.name}") for feed in self.feeds]
        kept = [] if self.keeper is None else [asyncio.create_task(self.keeper.run(), name="keeper")]
        watch = self.vigil.tasks()
        waiter = asyncio.create_task(_until(stop), name="stop")
        try:
            done, _ = await asyncio.wait(
                [commit, heartbeat, *feeds, *also, *kept, *watch, waiter], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {waiter}:
                await self._end(task)
            await self.committer.drain(_DRAIN_S)
            await self.outbox.drain(_DRAIN_S)
            if self.keeper is not None:
                await self.keeper.keep()
            await before_close()
        finally:
            await _cancelled([*feeds, *also, *kept, *watch, waiter, heartbeat])
            await self.committer.drain(_DRAIN_S)
            await _cancelled([commit])
            self._pager.stop()
            self.publisher.stop()
            self.vigil.stop()

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Tell people that guard ends because a task died, and raise what killed it."""
        error = None if task.cancelled() else task.exception()
        cause = error or GuardError(f"{task.get_name()} ended by itself")
        _log.critical(
            "a task died, guard ends", task=task.get_name(), error=str(cause), dump=str(self.dump(f"{task.get_name()}: {cause}"))
        )
        if self.keeper is not None and task.get_name() == "heartbeat":
            # Events could not be processed: the state itself may be why, and must not end the next start too.
            self.keeper.discard()
        body = (
            f"{task.get_name()}: {cause}\nBots get 'unknown', by default open nothing; blocks stay, exits pass. Start it: guard run"
        )
        # Not through the pipeline: it may be what died.
        now_us = self.clock.now_us()
        sent = self.pipeline.alerts.system("guard", "guard ended by itself", body, Level.CRITICAL, now_us)
        decision = Decision(now_us, deliveries=sent)
        try:
            self.committer.submit(decision)
            is_kept = await self.committer.drain(_DRAIN_S) == 0
        except Exception as problem:  # noqa: BLE001 - the ledger may be what died
            _log.error("the end is not in the ledger", error=str(problem))
            is_kept = False
        if is_kept:
            await self.outbox.drain(_DRAIN_S)
        else:
            self._pager.page(decision.deliveries)
        await self._pager.drain(_DRAIN_S)
        raise cause


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
