"""A running guard with a real ledger, snapshot and outbox, and connectors that fail on command."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import MovedClock, settle
from runtime.feeds import A, Chance, Script, feed_of

from guard.alerts.outbox import Outbox
from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.client import Guard
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import Unavailable
from guard.model import AddQuarantine, Flag, Kind, Target, TargetKind
from guard.model.ports import Outcome
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import SystemClock
from guard.runtime.live import Live
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.status import inlet_record as status_of
from guard.runtime.watchlist import Watchlist
from guard.store import LedgerStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from guard.dsl import Program
    from guard.model import Decision, Delivery, Market
    from guard.model.ports import Clock, Sink
    from guard.runtime.feed import Feed

RULE = "rules:\n  busy: {mode: enforce, when: trades(10s) >= 3, level: danger, actions: {danger: [alert, quarantine]}}\n"


def program(text: str = RULE) -> Program:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.errors
    return compile_rules(rules)


class Messenger:
    """Takes every message."""

    def __init__(self) -> None:
        self.sent: list[Delivery] = []

    async def send(self, delivery: Delivery) -> Outcome:
        self.sent.append(delivery)
        return Outcome(is_delivered=True)

    @property
    def titles(self) -> list[str]:
        return [each.title for each in self.sent]


class Bench:
    def __init__(self, live: Live, messenger: Messenger, store: LedgerStore, folder: Path) -> None:
        self.live = live
        self.messenger = messenger
        self.store = store
        self.folder = folder
        self.closed = 0

    def feed(self, script: Script) -> Feed:
        feed = feed_of(script, self.live.clock, sink=self.live.inlet, open_market=self.live.open_market)
        self.live.feeds = [feed]
        return feed

    async def before_close(self) -> None:
        self.closed += 1

    async def run(self, stop: asyncio.Event) -> None:
        await self.live.run(stop, also=[], before_close=self.before_close)


@asynccontextmanager
async def bench(
    folder: Path, *, clock: Clock | None = None, on_decision: Callable[[Decision], None] = lambda _: None
) -> AsyncIterator[Bench]:
    clock = clock or SystemClock()
    store = LedgerStore(folder / "ledger.sqlite", clock=clock)
    ledger = await store.open()
    (folder / "snapshot").mkdir(exist_ok=True)
    pipeline = Pipeline(program(), Settings(alerts=AlertPolicy((ChannelPolicy("people"),))))
    pipeline.recall(ledger, clock.now_us())
    messenger = Messenger()
    outbox = Outbox(store, messenger, ["people"], clock, Chance(), lambda _: None)
    live = Live(
        pipeline,
        store=store,
        ledger=ledger,
        publisher=SnapshotPublisher(folder / "snapshot", clock),
        outbox=outbox,
        watchlist=Watchlist(folder / "watched.json"),
        clock=clock,
        random=Chance(),
        notify=messenger.send,
        on_decision=on_decision,
    )
    try:
        yield Bench(live, messenger, store, folder)
    finally:
        await outbox.drain(0.1)
        await store.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a real ledger's thread is waited for
            await asyncio.sleep(0.01)


async def test_a_console_that_raises_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    def broken(_: Decision) -> None:
        raise KeyError("style")

    async with bench(tmp_path, on_decision=broken) as at_work:
        at_work.feed(Script())
        stop = asyncio.Event()
        running = asyncio.create_task(at_work.run(stop))
        decision, seq = await at_work.live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann"))
        assert decision.transitions
        assert seq > 0
        assert at_work.live.console_failures == 1
        stop.set()
        await running
    assert at_work.closed == 1
    assert any("base:A" in title for title in at_work.messenger.titles)


async def test_events_that_cannot_be_processed_end_guard_and_people_are_told(tmp_path: Path) -> None:
    def poison(markets: Mapping[Market, int], sink: Sink) -> None:
        del markets
        # A row of a market that was never opened: a mistake of a connector, which guard cannot survive with its state whole.
        sink.append(Kind.TRADE, 99, at_us=1, received_us=2, price=1.0, amount=1.0, side=1, key=1)

    async with bench(tmp_path) as at_work:
        script = Script()
        script.live = poison
        at_work.feed(script)
        with pytest.raises(IndexError):
            await at_work.run(asyncio.Event())
    assert at_work.messenger.titles == ["[CRITICAL] guard: guard ended by itself"]
    assert "heartbeat: " in at_work.messenger.sent[0].body
    assert Guard(tmp_path / "snapshot").check("x", "A/USDT", "buy").reason == "guard_silent"


async def test_an_order_that_fails_halfway_ends_guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(tmp_path) as at_work:
        at_work.feed(Script())
        running = asyncio.create_task(at_work.run(asyncio.Event()))

        def fire() -> None:
            raise ZeroDivisionError("a rule")

        # A deadline of the engine that comes due with the order: its verdict is lost, and nobody else would notice.
        monkeypatch.setattr(at_work.live.pipeline, "_fire", lambda _: fire())
        with pytest.raises(ZeroDivisionError):
            await at_work.live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann"))
        monkeypatch.undo()
        with pytest.raises(ZeroDivisionError):
            await running
    assert at_work.messenger.titles == ["[CRITICAL] guard: guard ended by itself"]


async def test_rules_that_fail_at_the_swap_end_guard(tmp_path: Path) -> None:
    async with bench(tmp_path) as at_work:
        at_work.feed(Script())
        running = asyncio.create_task(at_work.run(asyncio.Event()))
        await until(lambda: at_work.live.pipeline.engine.markets)
        broken: Any = object()
        with pytest.raises(AttributeError):
            at_work.live.swap(broken)
        with pytest.raises(AttributeError):
            await running


async def test_an_order_is_refused_before_it_is_decided_where_too_much_waits(tmp_path: Path) -> None:
    async with bench(tmp_path) as at_work:
        live = at_work.live
        live.committer._capacity = 0
        with pytest.raises(Unavailable, match="wait for the ledger"):
            await live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann"))
        assert live.pipeline.isolation.active() == ()


async def test_a_guard_that_dies_again_and_again_tells_once(tmp_path: Path) -> None:
    titles: list[str] = []
    for _ in range(3):
        async with bench(tmp_path) as at_work:
            at_work.feed(Script())
            at_work.live._ended = RuntimeError("a mistake of guard")
            with pytest.raises(RuntimeError, match="a mistake of guard"):
                await at_work.run(asyncio.Event())
            titles += at_work.messenger.titles
    assert titles == ["[CRITICAL] guard: guard ended by itself"]


async def test_a_ledger_that_is_gone_does_not_keep_the_end_from_being_told(tmp_path: Path) -> None:
    async with bench(tmp_path) as at_work:
        at_work.feed(Script())
        async with bench(tmp_path):
            # A second guard opened the ledger under a newer epoch: the first one may write no more.
            with pytest.raises(Exception, match="ledger"):
                await asyncio.gather(
                    at_work.run(asyncio.Event()),
                    at_work.live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann")),
                )
            await until(lambda: at_work.messenger.sent)
    assert "[CRITICAL] guard: guard ended by itself" in at_work.messenger.titles


def told(live: Live) -> list[str]:
    return [delivery.title for decision, _ in live.committer._waiting for delivery in decision.deliveries]


async def test_the_rate_is_that_of_the_last_seconds(tmp_path: Path) -> None:
    async with bench(tmp_path, clock=MovedClock()) as at_work:
        live: Any = at_work.live
        assert live.events_per_second == 0.0
        live._rates += [(0, 0), (2_000_000, 100)]
        assert live.events_per_second == 50.0


def crowd(live: Live, clock: Clock, rows: int) -> None:
    """Book messages of one market until some are dropped."""
    now_us = clock.now_us()
    for number in range(rows):
        flags = Flag.SNAPSHOT | Flag.LAST if number == 0 else Flag.LAST
        live.inlet.append(Kind.LEVEL, 0, at_us=now_us, received_us=now_us, price=1.0 + number, amount=1.0, side=-1, flags=flags)


async def test_a_dropped_book_makes_its_market_wait_is_asked_for_and_told_after_two_minutes(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        live = at_work.live
        task = asyncio.create_task(at_work.feed(script).run())
        await settle(60)
        crowd(live, clock, 33_000)
        found = status_of(live)
        assert found["books_unknown"] == 1
        assert found["book_rows_dropped"] > 16_000
        assert list(found["markets"]) == [str(A)]
        await settle(20)
        assert live.inlet.waiting == 0
        assert script.asked == []
        await clock.advance(2)
        live.inlet.flush()
        assert script.asked == [A]
        assert live.image().markets[str(A)].data == "warming"
        await overloaded_for(live, clock, 115)
        assert live.image().markets[str(A)].data == "stale"
        assert told(live) == []
        await overloaded_for(live, clock, 10)
        assert told(live) == ["[DANGER] guard: guard does not keep up"]
        now_us = clock.now_us()
        flags = Flag.SNAPSHOT | Flag.LAST
        live.inlet.append(Kind.LEVEL, 0, at_us=now_us, received_us=now_us, price=1.0, amount=1.0, side=1, flags=flags)
        await overloaded_for(live, clock, 40)
        assert told(live)[1:] == ["[NORMAL] guard: guard keeps up again"]
        assert live.image().markets[str(A)].data == "warming"
        task.cancel()


async def overloaded_for(live: Live, clock: MovedClock, seconds: int) -> None:
    for _ in range(0, seconds, 5):
        await clock.advance(5)
        live.inlet.flush()
        await settle(5)
        live.overload.look()


async def test_dropped_trades_are_told_at_once(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        live = at_work.live
        task = asyncio.create_task(at_work.feed(script).run())
        await settle(60)
        live.inlet._limits = live.inlet._limits._replace(others_max=1_000)
        now_us = clock.now_us()
        for _ in range(2_000):
            live.inlet.append(Kind.TRADE, 0, at_us=now_us, received_us=now_us, price=1.0, amount=1.0, side=1)
        live.overload.look()
        assert told(live) == ["[DANGER] guard: guard does not keep up"]
        assert status_of(live)["trades_dropped"] > 500
        task.cancel()


async def test_time_does_not_pass_rows_that_wait(tmp_path: Path) -> None:
    clock, script = MovedClock(), Script()
    async with bench(tmp_path, clock=clock) as at_work:
        live = at_work.live
        task = asyncio.create_task(at_work.feed(script).run())
        await settle(60)
        live.inlet._limits = live.inlet._limits._replace(turn_us=0)
        first_us = clock.now_us() + 1
        for number in range(2_000):
            live.inlet.append(Kind.TRADE, 0, at_us=first_us + number, received_us=first_us + number, price=1.0, amount=1.0, side=1)
        beat = asyncio.create_task(live.heartbeat())
        while not live._rates:  # noqa: ASYNC110 - one turn of the loop after the other
            await asyncio.sleep(0)
        assert 0 < live.inlet.waiting < 2_000
        assert live.pipeline.now_us <= (live.inlet.oldest_us or 0)
        beat.cancel()
        task.cancel()
