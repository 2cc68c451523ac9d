"""A guard that watches itself, with each stage broken in turn: the heartbeat must stop, and for whom."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from alerts.support import MovedClock, settle
from runtime.feeds import Script
from runtime.test_live import RULE, bench, program, until

from guard.client import Guard
from guard.client.clock import Clocks
from guard.errors import Unavailable
from guard.model import AddQuarantine, Target, TargetKind
from guard.model.alert import CANARY
from guard.model.validation import Failed, Validated
from guard.quarantine import AllowEntry
from guard.runtime.canary import Canary, NullSink
from guard.runtime.proof import HeartbeatFile, HeartbeatUnreadable, Stage, read_heartbeat
from guard.runtime.publish import CannotPublish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from runtime.test_live import Bench

    from guard.client.payload import Snapshot
    from guard.model import Clearance, Delivery
    from guard.model.ports import Outcome

HEARTBEAT = "heartbeat"


class Watched:
    """A running guard whose canary flies, on a clock that the test moves."""

    def __init__(self, at_work: Bench, clock: MovedClock) -> None:
        self.live, self.clock, self.messenger = at_work.live, clock, at_work.messenger
        self.file = at_work.folder / HEARTBEAT
        self.folder = at_work.folder

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in steps, and the threads of the ledger and of reading back keep up."""
        for _ in range(int(seconds * 4)):
            await self.clock.advance(0.25)
            await asyncio.sleep(0.002)
            reading = self.live.vigil.validation._reading
            if reading is not None:
                await asyncio.wait([reading], timeout=0.05)

    @property
    def is_whole(self) -> bool:
        return self.live.vigil.proof.is_whole

    @property
    def beats_for_bots(self) -> bool:
        return self._bot().check("x", "NOBODY/KNOWS").reason != "guard_silent"

    @property
    def clearance(self) -> Clearance:
        """What a bot is told of the one market."""
        return self._bot().check("x", "A/USDT")

    def _bot(self) -> Guard:
        return Guard(self.folder, clocks=Clocks(lambda: self.clock.monotonic_us() * 1000, self.clock.now_us, ""))


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    clock = MovedClock()
    async with bench(folder, clock=clock) as at_work:
        live = at_work.live
        sink = NullSink(at_work.messenger)
        live.outbox._notifier = sink
        live.outbox.add([CANARY])
        live.vigil.canary = Canary(live.vigil.proof, settled=live.committer.settled, sink=sink, clock=clock)
        live.vigil.file = HeartbeatFile(folder / HEARTBEAT)
        at_work.feed(Script())
        stop = asyncio.Event()
        running = asyncio.create_task(at_work.run(stop))
        try:
            here = Watched(at_work, clock)
            async with asyncio.timeout(20):
                while not here.is_whole:
                    await here.pass_time(0.25)
            yield here
        finally:
            stop.set()
            while not running.done():
                await clock.advance(0.5)
                await asyncio.sleep(0.002)
            await asyncio.gather(running, return_exceptions=True)


async def test_a_whole_guard_proves_each_stage_again_and_again(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        first = read_heartbeat(guard.file)
        await guard.pass_time(40)
        last = read_heartbeat(guard.file)
        assert guard.is_whole
        assert guard.beats_for_bots
        assert last.beat > first.beat
        assert last.proved_us is not None
        assert guard.clock.now_us() - last.proved_us <= 20_000_000
        assert guard.live.vigil.record()["whole"]
        assert not guard.messenger.sent
    assert read_heartbeat(guard.file).state == "stopped"


async def test_the_canary_is_seen_by_nobody(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        await guard.pass_time(20)
        live = guard.live
        assert not live.image().blocks
        assert not any("canary" in name.lower() for name in live.image().markets)
        assert live.seq == 0
        assert CANARY not in await live.outbox.counts()
        assert CANARY not in live.outbox.health()
        assert not guard.messenger.sent


def _deaf_feed(guard: Watched) -> None:
    assert guard.live.vigil.canary is not None
    guard.live.vigil.canary.inlet.flush = lambda: None  # type: ignore[method-assign]
    guard.live.vigil.canary.inlet._call_soon = lambda _function: None


def _silent_rule(guard: Watched) -> None:
    assert guard.live.vigil.canary is not None
    # Other rules run in its place: none speaks of so few trades.
    guard.live.vigil.canary.pipeline.load(program(RULE.replace(">= 3", ">= 300")), guard.clock.now_us())


def _no_quarantine(guard: Watched) -> None:
    assert guard.live.vigil.canary is not None
    base = Target(TargetKind.BASE, "CANARY")
    guard.live.vigil.canary.pipeline.isolation.allow([AllowEntry(base, reason="a door left open")])


def _no_ledger(guard: Watched) -> None:
    async def fail(*_: object, **__: object) -> int:
        raise Unavailable("disk full")

    guard.live.committer._store.commit = fail  # type: ignore[method-assign]


def _no_outbox(guard: Watched) -> None:
    guard.live.outbox._tasks[CANARY].cancel()


def _no_sink(guard: Watched) -> None:
    async def fail(_: Delivery) -> Outcome:
        raise OSError("no thread left")

    guard.live.outbox._notifier = type("Broken", (), {"send": staticmethod(fail)})()


@pytest.mark.parametrize(
    ("breaks", "stage", "is_silent"),
    [
        (_deaf_feed, Stage.FEED, True),
        (_silent_rule, Stage.RULE, True),
        (_no_quarantine, Stage.QUARANTINE, True),
        (_no_ledger, Stage.LEDGER, False),
        (_no_outbox, Stage.OUTBOX, False),
        (_no_sink, Stage.OUTBOX, False),
    ],
)
async def test_a_broken_stage_stops_the_proof_within_45_s(
    tmp_path: Path, breaks: Callable[[Watched], None], stage: Stage, *, is_silent: bool
) -> None:
    async with watched(tmp_path) as guard:
        breaks(guard)
        broken_us = guard.clock.now_us()
        await guard.pass_time(45)
        told = read_heartbeat(guard.file)
        assert str(stage) in told.missing
        assert told.proved_us is not None
        assert told.proved_us <= broken_us
        # Bots lose their answer only where no danger would be seen; trouble of ledger or outbox is people's.
        assert guard.beats_for_bots is not is_silent


async def test_an_engine_that_stands_stops_the_proof(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        heartbeat = next(task for task in asyncio.all_tasks() if task.get_name() == "heartbeat")
        heartbeat.cancel()
        await settle()
        await guard.clock.advance(45)
        assert guard.live.vigil.proof.missing[0] is Stage.ENGINE
        assert not guard.beats_for_bots


async def test_a_process_that_stood_still_for_an_hour_proves_itself_anew_and_wakes_nobody(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        flight = guard.live.vigil.canary
        assert flight is not None
        guard.clock._now_us += 3_600_000_000
        assert not guard.beats_for_bots
        feed, flight._feed = flight._feed, lambda: None  # type: ignore[method-assign]
        await guard.pass_time(2)
        assert not guard.beats_for_bots
        assert "stood still" in str(guard.live.vigil.silence)
        flight._feed = feed  # type: ignore[method-assign]
        await guard.pass_time(25)
        assert guard.beats_for_bots
        assert guard.is_whole
        assert not guard.messenger.sent


async def test_people_are_told_past_the_outbox_once_and_when_it_is_over(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        _no_outbox(guard)
        await guard.pass_time(60)
        assert guard.messenger.titles == ["[CRITICAL] guard: the outbox does not send"]


async def test_a_state_that_cannot_be_published_silences_guard_until_a_reader_finds_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        publisher = guard.live.publisher
        write = publisher._fill

        def fail(*_: object) -> None:
            raise CannotPublish("no space left")

        publisher._fill = fail  # type: ignore[method-assign]
        order = asyncio.create_task(guard.live.operate(AddQuarantine(Target(TargetKind.MARKET, "x:A/USDT"), 10**9, "news", "ann")))
        await guard.pass_time(3)
        assert order.done()
        assert not guard.beats_for_bots
        assert "publish" in str(guard.live.vigil.silence)
        publisher._fill = write  # type: ignore[method-assign]
        await guard.pass_time(3)
        assert guard.beats_for_bots
        assert guard.live.vigil.silence is None
        clocks = Clocks(lambda: guard.clock.monotonic_us() * 1000, guard.clock.now_us, "")
        assert Guard(guard.folder, clocks=clocks).check("x", "A/USDT").status == "blocked"


async def test_a_late_proof_of_the_state_before_ends_no_silence_about_one_that_is_not_published(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        live, slow, told = guard.live, asyncio.Event(), []
        read, take = live.vigil.validation._read, live.vigil.validation._tell

        async def reading() -> tuple[int, Snapshot | None]:
            found = await read()
            await slow.wait()
            return found

        def tell(outcome: Validated | Failed) -> None:
            take(outcome)
            live.vigil.turn()
            told.append((type(outcome), live.vigil.silence, guard.beats_for_bots))

        def fail(*_: object) -> None:
            raise CannotPublish("no space left")

        live.vigil.validation._read, live.vigil.validation._tell = reading, tell  # type: ignore[method-assign] # a slow disk
        await asyncio.gather(live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann")), guard.pass_time(1))
        live.publisher._fill = fail  # type: ignore[method-assign]
        await asyncio.gather(live.operate(AddQuarantine(Target(TargetKind.BASE, "B"), 10**9, "news", "ann")), guard.pass_time(1))
        slow.set()
        await guard.pass_time(2)
        assert set(told) == {(Validated, "publish: no space left", False)}
        del live.publisher._fill
        await guard.pass_time(3)
        assert (live.vigil.silence, guard.beats_for_bots) == (None, True)


async def test_a_file_that_lost_a_block_is_written_anew(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        live = guard.live
        image = live.image
        live.image = lambda: image()._replace(blocks=())  # type: ignore[method-assign] # a bug between decision and file
        told = live.vigil.validation.published

        def expected(_: object, **rest: object) -> None:
            told(image(), **rest)  # type: ignore[arg-type]

        live.vigil.validation.published = expected  # type: ignore[method-assign]
        await asyncio.gather(live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann")), guard.pass_time(2))
        assert not guard.beats_for_bots
        assert "mismatch" in str(live.vigil.silence)
        live.image = image  # type: ignore[method-assign]
        await guard.pass_time(8)
        assert guard.beats_for_bots
        assert live.vigil.record()["validated"]["failed"]["mismatch"] >= 1
        assert any("bots can read again" in title or "something else" in title for title in guard.messenger.titles)


async def test_a_file_that_cannot_be_read_is_written_anew(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        (tmp_path / "snapshot" / "guard.snapshot").unlink()
        await asyncio.gather(
            guard.live.operate(AddQuarantine(Target(TargetKind.BASE, "A"), 10**9, "news", "ann")), guard.pass_time(2)
        )
        assert guard.beats_for_bots
        assert guard.live.vigil.validation.health.seq == guard.live.seq


async def test_each_block_is_read_back(tmp_path: Path) -> None:
    async with watched(tmp_path) as guard:
        for number in range(3):
            target = Target(TargetKind.BASE, f"A{number}")
            await asyncio.gather(guard.live.operate(AddQuarantine(target, 10**9, "news", "ann")), guard.pass_time(1))
            await until(lambda: guard.live.vigil.validation.health.seq == guard.live.seq)
        assert guard.live.vigil.validation.health.failed == {}


def test_a_heartbeat_file_that_is_damaged_says_so(tmp_path: Path) -> None:
    file = tmp_path / HEARTBEAT
    with pytest.raises(HeartbeatUnreadable, match="cannot be read"):
        read_heartbeat(file)
    file.write_bytes(b"00000000 {}")
    with pytest.raises(HeartbeatUnreadable, match="damaged"):
        read_heartbeat(file)


def test_a_heartbeat_that_cannot_be_written_is_told_and_raises_nothing(tmp_path: Path) -> None:
    writer = HeartbeatFile(tmp_path / "gone" / HEARTBEAT)
    writer.write({"state": "running"})
    assert "cannot be written" in str(writer.problem)
