"""The composition root: everything a running guard consists of, made and joined here."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from guard.alerts.calls import Calls
from guard.alerts.dispatch import Dispatch
from guard.alerts.notification import NotificationHandler
from guard.alerts.outbox import Outbox
from guard.alerts.webhooks import Webhooks
from guard.api.server import OperatorServer
from guard.errors import Unavailable
from guard.model import Level
from guard.pipeline import Pipeline
from guard.runtime.acceleration import Acceleration
from guard.runtime.action_watch import ActionWatch, lanes_of
from guard.runtime.asked import AskedMarkets
from guard.runtime.bot_locks import LockPusher, LockPushers
from guard.runtime.canary import NullSink
from guard.runtime.clock import seeded_random
from guard.runtime.digest_watch import DigestWatch, report_maker
from guard.runtime.feeds import make_feeds
from guard.runtime.http import Http
from guard.runtime.interpreter import prefer_the_loop, settle
from guard.runtime.keeper import Keeper, Rows
from guard.runtime.ledger_desk import ledger_record, tell_of_start
from guard.runtime.ledger_keeper import LedgerKeeper
from guard.runtime.lists import ImportedLists
from guard.runtime.live import Live
from guard.runtime.maintenance import MaintenanceFile
from guard.runtime.native import NativeRules
from guard.runtime.notify import Supervisor
from guard.runtime.operators import Operators
from guard.runtime.record import RecordedPipeline
from guard.runtime.recording_watch import RecordingWatch, chosen_recorder
from guard.runtime.reloading import headline
from guard.runtime.report_watch import ReportWatch
from guard.runtime.rule_watch import RuleWatch, system_changes
from guard.runtime.rulebook import Rulebook
from guard.runtime.self_watch import watch_itself
from guard.runtime.settings import channel_urls, endpoints, pipeline_settings
from guard.runtime.summary import bot_lines
from guard.store.past import PastStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from guard.dsl import GuardConfig, Program
    from guard.dsl.bot_models import BotLocks
    from guard.model import Decision
    from guard.pipeline import Settings
    from guard.runtime.checkpoint import Entry
    from guard.runtime.opening import Opening
    from guard.runtime.summary import RunRecord

__all__ = ["RunningGuard"]

_log = structlog.get_logger(__name__)
_NATIVE_POLL_S: Final = 5.0
_NATIVE_MAX: Final = 1_000
# A reload may play the packs' tests first.
_HANDLE_S: Final = 80.0


class RunningGuard:
    """One guard, from its configuration to its last message.

    Parameters
    ----------
    opening
        Entered: holds lock, ledger and snapshot.
    path, env
        guard.yaml and the environment.
    on_decision
        Told of every decision at once.
    record
        Where all that goes into the pipeline is recorded, in place of what guard.yaml says about that.

    Notes
    -----
    Use it as an asynchronous context manager, then `run`. Entering loads the rules, publishes and opens the operator's door, all
    before any exchange is contacted. Raises ConfigurationError and StateError.
    """

    def __init__(
        self,
        opening: Opening,
        path: Path,
        env: Mapping[str, str],
        *,
        on_decision: Callable[[Decision], None],
        record: Path | None = None,
    ) -> None:
        self._opening = opening
        self._record = record
        self._path = path
        self._env = env
        self._on_decision = on_decision
        self._stack = AsyncExitStack()
        self.clock = opening.clock
        self.state = opening.state
        self.store = opening.store
        self.random = seeded_random()

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        state, ledger = self.state, self._opening.ledger
        self.rulebook = Rulebook(self._path, self._env, last_good=state.last_good_rules, now_us=self.clock.now_us)
        config = self.rulebook.config
        self.pipeline = self._pipeline(pipeline_settings(config))
        self.pipeline.recall(ledger, self.clock.now_us())
        maintenance = MaintenanceFile(state.maintenance)
        maintenance.open(self.pipeline, self.clock.now_us())
        self.notifier = NotificationHandler(channel_urls(config))
        self._stack.push_async_callback(self.notifier.close)
        webhooks = Webhooks(endpoints(config), self.clock)
        self._stack.push_async_callback(webhooks.close)
        carriers = NullSink(Dispatch(self.notifier, webhooks=webhooks, calls=Calls()))
        self.outbox = Outbox(self.store, carriers, list(config.alerts.channels), self.clock, self.random, _log.warning)
        self.outbox.add(lanes_of(self.pipeline.engine.program, config.webhooks, ledger.pending))
        self.report = ReportWatch(self.pipeline, self.clock, PastStore(state.past, keep_us=config.storage.keep_us))
        self.live = Live(
            self.pipeline,
            store=self.store,
            ledger=ledger,
            publisher=self._opening.publisher,
            outbox=self.outbox,
            watchlist=self._opening.watchlist,
            clock=self.clock,
            random=self.random,
            notify=self.notifier.send,
            on_decision=self._decided,
        )
        self._stack.callback(watch_itself(self.live, carriers, self.state, anchor=lambda: self.store.anchor))
        self.digest = DigestWatch(self.live, self.store, lambda: self.rulebook.config.alerts, report_maker(state))
        self.lists = ImportedLists(config.lists, self.live, self._path.parent)
        self.locks = LockPushers({name: bot.locks for name, bot in config.bots.items() if bot.locks is not None}, self._pusher)
        self.ledger_keeper = self._keeper_of_ledger(config)
        self.live.bots = config.bot_policies()
        self.live.bot_watch.follow(config.silent_after())
        self.live.bot_watch.count = self.report.count
        self.actions = ActionWatch(self.outbox, self.pipeline.orders, self.live.announce, self.clock)
        await self._remember_state()
        self.rulebook.connect(
            facts=lambda: [each.facts for each in self.pipeline.engine.watched],
            changed=self._rules_changed,
            needs_screens=lambda: self.pipeline.engine.kernel.needs_screens,
            follow=self.live.bot_watch.follow,
        )
        self.live.publish()
        self.live.publisher.beat()
        await self._open_doors(config, maintenance)
        self.asked = AskedMarkets(state.snapshot_folder, self.clock, self.live.bot_watch.hear)
        self.asked.open()
        self._stack.callback(self.asked.close)
        self.live.feeds = make_feeds(config, self.live, state=state, random=self.random, asked=self.asked)

    async def _open_doors(self, config: GuardConfig, maintenance: MaintenanceFile) -> None:
        """Let operators in, by the socket and over HTTP."""
        state = self.state
        self.operators = Operators(
            self.live,
            self.rulebook,
            self.store,
            bypass_path=str(state.bypass),
            jump_us=self.clock.jump_us,
            keep_windows=lambda: maintenance.keep(self.pipeline),
        )
        self.http = Http(config, state, self.live, self.operators, is_ruled=lambda: self.rulebook.active > 0)
        self._show_parts(self.operators)
        server = OperatorServer(state.socket, self.operators.handlers(), handle_s=_HANDLE_S)
        await self._stack.enter_async_context(server)

    def _show_parts(self, operators: Operators) -> None:
        """Let each part tell its section of the status document."""
        operators.recording = self.recording.record
        operators.sections |= {
            "lists": self.lists.records,
            "locks": self.locks.records,
            "ledger": lambda: ledger_record(self.live, self._opening.taken, self.ledger_keeper),
            "http": self.http.record,
            "start": self._opening.record,
            "report": self.report.record,
            "digest": self.digest.record,
        }

    def _decided(self, decision: Decision) -> None:
        self.report.take(decision)
        self._on_decision(decision)

    def _pipeline(self, settings: Settings) -> Pipeline:
        writer = chosen_recorder(self.rulebook.config, self._record, self.clock)
        self.recording = RecordingWatch(writer)
        if writer is None or isinstance(writer, str):
            return Pipeline(self.rulebook.program, settings)
        self._stack.callback(writer.close)
        return RecordedPipeline(self.rulebook.rules, self.rulebook.program, settings, writer=writer)

    def _keeper_of_ledger(self, config: GuardConfig) -> LedgerKeeper:
        backups = config.storage.backups
        keeper = LedgerKeeper(
            self.state.ledger,
            self.state.backups(keep=backups.keep, bytes_max=backups.size),
            self.clock,
            epoch=self._opening.ledger.epoch,
            every_us=backups.every_us,
            announce=self.live.announce,
        )
        self.store.on_written = keeper.written
        return keeper

    def _pusher(self, bot: str, settings: BotLocks) -> LockPusher:
        live, clock = self.live, self.clock
        return LockPusher(bot, settings, publisher=live.publisher, clock=clock, jump_us=clock.jump_us, announce=live.announce)

    def _finish_recording(self) -> None:
        if isinstance(self.pipeline, RecordedPipeline):
            self.recording.ended(is_whole=self.pipeline.finish())

    async def _remember_state(self) -> None:
        """Keep what is learnt for the next start, and read what the last run kept."""
        kernel = self.pipeline.engine.kernel
        if isinstance(kernel, Rows):
            keeper = Keeper(
                self.pipeline,
                kernel,
                self.state.checkpoint,
                clock=self.clock,
                committed=self.live.all_committed,
                on_warm=self._warmed if isinstance(self.pipeline, RecordedPipeline) else None,
            )
            await asyncio.to_thread(keeper.open)
            self.live.keeper = keeper

    def _warmed(self, row: int, entry: Entry, layout: int, now_us: int) -> None:
        assert isinstance(self.pipeline, RecordedPipeline)
        self.pipeline.warmed(row, entry, layout=layout, now_us=now_us)

    async def run(self, *, for_s: float | None, before_close: Callable[[], Awaitable[None]]) -> None:
        """Run until a signal asks to stop, or for `for_s` seconds; `before_close` runs while the feeds are still open.

        Raises what killed a task.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        hangup = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
        extra = [
            asyncio.create_task(self._watch_rules(), name="rules"),
            asyncio.create_task(self._reload_on(hangup), name="reload"),
            asyncio.create_task(self._open_channels(), name="channels"),
            asyncio.create_task(self._accelerate(), name="acceleration"),
            asyncio.create_task(self.actions.run(), name="actions"),
            asyncio.create_task(self.lists.run(), name="lists"),
            asyncio.create_task(self.locks.run(), name="locks"),
            asyncio.create_task(self.ledger_keeper.run(), name="ledger keeper"),
            asyncio.create_task(self.http.run(), name="http"),
            asyncio.create_task(Supervisor(self._env).run(self.clock), name="supervisor"),
            asyncio.create_task(self.recording.run(self.clock, self.live.announce), name="recording"),
            asyncio.create_task(self.report.run(), name="report"),
            asyncio.create_task(self.digest.run(), name="digest"),
        ]
        timer = asyncio.create_task(self._stop_after(stop, for_s), name="timer")
        # What was told before a restart ends here: both say nothing where nothing was told.
        self._rules_changed(None, self.rulebook.problem)
        self.rulebook.upgrade.tell(self.live.announce)
        if self._opening.clock_moved_us:
            _log.warning("the wall clock was set between two runs; ends moved with it", by_s=self._opening.clock_moved_us / 1e6)
        if self._opening.head_problem:
            _log.warning("the next start cannot answer before guard.yaml is read", problem=self._opening.head_problem)
        self.live.announce("ledger", "the ledger is written again", "Blocks are durable again.", Level.NORMAL)
        told = asyncio.create_task(tell_of_start(self._opening.taken, self.live), name="start of the ledger")
        try:
            await self.live.run(stop, also=extra, before_close=before_close)
        finally:
            timer.cancel()
            told.cancel()
            await self.ledger_keeper.finish()
            self._finish_recording()

    async def _stop_after(self, stop: asyncio.Event, for_s: float | None) -> None:
        if for_s is not None:
            await self.clock.sleep(for_s)
            stop.set()

    async def _open_channels(self) -> None:
        """Load Apprise, which takes most of a second; a channel that it does not know ends guard with its error."""
        await self.notifier.open()
        await asyncio.Event().wait()

    async def _accelerate(self) -> None:
        """Go over to compiled code once all else runs."""
        prefer_the_loop()
        acceleration = Acceleration(self.pipeline, is_idle=lambda: not self.live.inlet.waiting, clock=self.clock, env=self._env)
        await acceleration.run()
        self.live.engine_problem = acceleration.problem
        rules = NativeRules(self.pipeline, most=_NATIVE_MAX)
        rules.poll()
        await self.clock.sleep(_NATIVE_POLL_S)
        settle()
        while True:
            rules.poll()
            await self.clock.sleep(_NATIVE_POLL_S)

    async def _watch_rules(self) -> None:
        # Importing what tells of changed files takes long.
        watch = RuleWatch(self.rulebook, self.clock, changes=await asyncio.to_thread(system_changes))
        self.rulebook.way = lambda: watch.way
        await watch.run()

    async def _reload_on(self, hangup: asyncio.Event) -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            await self.rulebook.reload()

    def _rules_changed(self, program: Program | None, problem: str | None) -> None:
        if program is not None:
            self.outbox.add(lanes_of(program))
            if isinstance(self.pipeline, RecordedPipeline):
                self.pipeline.learn(self.rulebook.rules)
            self.live.swap(program)
        if problem is None:
            title = "the rules are whole again" if program is None else "new rules run"
            self.live.announce("rules", title, f"{self.rulebook.active} rules are active.", Level.NORMAL)
        elif program is not None:
            self.live.announce(
                "rules", "new rules run, but not all is well", f"{problem}\n{self.rulebook.active} rules are active."
            )
        else:
            body = f"{problem}\nThe last good rules run on: {self.rulebook.active} of them."
            # Another mistake makes another title, and is told.
            what = headline(problem, self.rulebook.problems)
            self.live.announce("rules", f"changes were not taken over: {what}", body)

    async def summary(self, record: RunRecord) -> dict[str, Any]:
        """Return what the run found; on the embedded exchange held against what was staged."""
        now_us = self.clock.now_us()
        health = self.outbox.health()
        found = record.summary(
            events=self.live.inlet.received,
            markets=len(self.pipeline.engine.markets),
            seconds=(now_us - self.live.started_us) / 1e6,
            now_us=now_us,
        )
        people = [channel for name, channel in health.items() if name in self.rulebook.config.alerts.channels]
        found["alerts_delivered"] = sum(channel.delivered for channel in people)
        found["alerts_undelivered"] = sum(channel.dead for channel in people)
        found |= self.actions.summary()
        for feed in self.live.feeds:
            # Only the embedded exchange knows what it staged; guard imports no connector, so it is asked for by name.
            embedded: Any = feed.connector
            if hasattr(embedded, "truth"):
                await embedded.stop_bot()
                found["bot"] = bot_lines(embedded.bot_log())
                try:
                    found |= record.against(await embedded.truth(), can_tell=self.pipeline.can_tell)
                except Unavailable as error:
                    _log.warning("the embedded exchange tells no truth", error=str(error))
        return found

    async def status(self) -> dict[str, Any]:
        """Return the status document."""
        return dict(await self.operators.status({}))
