"""The digest that guard sends by itself: over days, restarts and reloads, from a real ledger through a real channel."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from alerts.endpoint import receiving
from alerts.support import Half, MovedClock, settle

from guard.alerts.notification import NotificationHandler
from guard.alerts.outbox import Outbox
from guard.analysis.report import RAN
from guard.dsl import load_guard
from guard.errors import Unavailable
from guard.model.aftermath import Aftermath
from guard.pipeline import Pipeline
from guard.runtime.digest_watch import DigestWatch, report_maker
from guard.runtime.live import Live
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.rulebook import Rulebook
from guard.runtime.settings import channel_urls, pipeline_settings
from guard.runtime.state import StateFolder
from guard.runtime.watchlist import Watchlist
from guard.store import LedgerStore
from guard.store.past import HOUR_US, PastStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from alerts.endpoint import Receiver

    from guard.analysis.report import Report
    from guard.model import Decision

LOOK_S = 5.0
DAY_S = 86_400
DAY_US = 24 * HOUR_US
# A Wednesday, 14:30 UTC.
START_US = 1_799_830_800_000_000 + 30 * 60_000_000
MIDNIGHT_US = START_US - START_US % DAY_US + DAY_US
RULES = "rules:\n  busy: {mode: alert, when: trades(10s) > 3, level: danger}\n"
CHANNELS = """\
  channels:
    loud: {{url: "json://127.0.0.1:{port}/loud"}}
    grave: {{url: "json://127.0.0.1:{port}/grave", levels: [critical], rules: [other], daily_max: 1}}
    none: {{url: "json://127.0.0.1:{port}/none", digest: false}}
"""


class LeapClock(MovedClock):
    """`resting` has each task that sleeps, and for how long."""

    def __init__(self, now_us: int) -> None:
        super().__init__(now_us)
        self.resting: dict[asyncio.Task[Any] | None, float] = {}

    async def sleep(self, seconds: float) -> None:
        task = asyncio.current_task()
        self.resting[task] = seconds
        try:
            await super().sleep(seconds)
        finally:
            del self.resting[task]

    async def leap(self, seconds: float) -> None:
        """Let time pass as a sleeping machine does: whoever waited wakes once, at the end of it."""
        self._now_us += int(seconds * 1e6)
        await self.advance(0)


class Bench:
    """A state folder, its guard.yaml and a server that the channels post to; guards come and go on it."""

    def __init__(self, folder: Path, receiver: Receiver, alerts: str) -> None:
        self.receiver = receiver
        self.clock = LeapClock(START_US)
        self.config = folder / "guard.yaml"
        self.state = StateFolder(folder / ".guard")
        self.state.path.mkdir(mode=0o700)
        (self.state.path / "snapshot").mkdir()
        (folder / "own.yaml").write_text(RULES)
        self.write(alerts)
        self.decided: list[Decision] = []

    def write(self, alerts: str) -> None:
        head = "version: 1\nmode: observe\nrules: [own.yaml]\nexchanges: {sim: {connector: sim}}\nalerts:\n"
        self.config.write_text(head + alerts + CHANNELS.format(port=self.receiver.port))

    def note(self, opened_us: int) -> None:
        """Put one block and some hours into what reports are made of."""
        past = PastStore(self.state.past, keep_us=90 * DAY_US)
        past.open()
        one = Aftermath(
            id=f"{opened_us:x}", market="sim:X/USDT", target="sim:X/USDT", rule="busy", level="danger", bound=False,
            opened_us=opened_us, for_us=HOUR_US, price=100.0, prices=(90.0, 80.0, None), closed=(True, True, False),
        )  # fmt: skip
        hour_us = opened_us // HOUR_US * HOUR_US
        sums = {(hour_us, "orders.would_refuse", "mine"): 4.0, (hour_us, *RAN): 3_600.0}
        past.write([one], sums, opened_us)

    @asynccontextmanager
    async def guard(self, make: Callable[[int, int], Report] | None = None) -> AsyncIterator[Running]:
        config = load_guard(self.config, {})
        store = LedgerStore(self.state.ledger, clock=self.clock)
        ledger = await store.open()
        pipeline = Pipeline(Rulebook(self.config, {}, last_good=self.state.last_good_rules).program, pipeline_settings(config))
        pipeline.recall(ledger, self.clock.now_us())
        notifier = NotificationHandler(channel_urls(config))
        outbox = Outbox(store, notifier, list(config.alerts.channels), self.clock, Half(), lambda _: None)
        live = Live(
            pipeline, store=store, ledger=ledger, outbox=outbox,
            publisher=SnapshotPublisher(self.state.snapshot_folder, self.clock),
            watchlist=Watchlist(self.state.path / "watched.json"), clock=self.clock, random=Half(), notify=notifier.send,
            on_decision=self.decided.append,
        )  # fmt: skip
        book = Rulebook(self.config, {}, last_good=self.state.last_good_rules)
        watch = DigestWatch(live, store, lambda: book.config.alerts, make or report_maker(self.state))
        outbox.start()
        committing = asyncio.create_task(live.committer.run())
        running = Running(self, live, book, watch, store)
        try:
            await running.quiet()
            yield running
        finally:
            draining = asyncio.create_task(outbox.drain(1.0))
            await settle()
            await asyncio.sleep(0.02)
            await self.clock.advance(2)
            await draining
            running.watching.cancel()
            committing.cancel()
            await asyncio.gather(running.watching, committing, return_exceptions=True)
            await store.close()
            await notifier.close()

    def told(self, channel: str) -> list[dict[str, Any]]:
        return [json.loads(post.body) for post in self.receiver.posts if post.path == f"/{channel}"]

    def titles(self, channel: str) -> list[str]:
        return [each["title"].rpartition(" [")[0] for each in self.told(channel)]


class Running:
    def __init__(self, bench: Bench, live: Live, book: Rulebook, watch: DigestWatch, store: LedgerStore) -> None:
        self.bench, self.live, self.book, self.watch, self.store = bench, live, book, watch, store
        self.watching = asyncio.create_task(watch.run())

    async def quiet(self, *, is_sent: bool = True) -> None:
        """Wait, in the machine's time, until nobody works on a digest, the ledger has all, and the channels do, too."""
        clock = self.bench.clock
        for _ in range(1_000):
            await asyncio.sleep(0.005)
            await clock.advance(0.01)
            is_idle = clock.resting.get(self.watching, 0.0) >= LOOK_S and not self.live.committer.health.waiting
            if is_idle and not (is_sent and await self.is_sending()):
                return
        raise AssertionError("something is stuck")

    async def is_sending(self) -> bool:
        return any("pending" in states for states in (await self.store.outbox()).values())

    async def until(self, moment_us: int, *, is_sent: bool = True) -> None:
        """Leap to a moment, then let what is due be sent."""
        await self.bench.clock.leap((moment_us - self.bench.clock.now_us()) / 1e6)
        await self.bench.clock.advance(6)
        await self.quiet(is_sent=is_sent)


@asynccontextmanager
async def bench_of(folder: Path, alerts: str) -> AsyncIterator[Bench]:
    async with receiving() as receiver:
        yield Bench(folder, receiver, alerts)


async def test_each_channel_gets_one_digest_a_day_whatever_its_levels(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "  digest: 1d\n") as bench, bench.guard() as running:
        bench.note(MIDNIGHT_US - 2 * HOUR_US)
        bench.note(MIDNIGHT_US + 1)
        await running.until(MIDNIGHT_US - 1_000_000)
        assert bench.receiver.posts == []
        assert running.watch.record() == {
            "every_s": 86_400, "next": "2027-01-14T00:00:00.000Z", "last": None, "channels": ["loud", "grave"], "passed_over": 0,
            "failures": 0, "problem": None,
        }  # fmt: skip
        for days in range(3):
            await running.until(MIDNIGHT_US + days * DAY_US + 30_000_000)
        await running.until(MIDNIGHT_US + 3 * DAY_US - 60_000_000)
    assert bench.titles("loud") == bench.titles("grave") == [
        "guard digest, 2027-01-13 00:00 UTC to 2027-01-14 00:00 UTC: 0 blocks, 1 would-be blocks, 0 s in all",
        "guard digest, 2027-01-14 00:00 UTC to 2027-01-15 00:00 UTC: 0 blocks, 1 would-be blocks, 0 s in all",
        "guard digest, 2027-01-15 00:00 UTC to 2027-01-16 00:00 UTC: 0 blocks, 0 would-be blocks, 0 s in all",
    ]  # fmt: skip
    assert bench.told("none") == []
    first = bench.told("loud")[0]
    assert first["message"].splitlines()[0] == "busy: 0 + 1 would-be; an entry then, an hour later, less 0.2 % of fees: -20.2 % (1)"
    assert "bots: 1, 0 orders refused, 4 would be refused, 0 sent past guard" in first["message"]
    assert first["message"].splitlines()[-3:] == ["data: nothing was watched", "ran 1 h of 1 d", "guard report --last 24h"]
    assert first["type"] == "info"
    assert [each.kind for decision in bench.decided for each in decision.deliveries] == ["summary"] * 6


async def test_restarts_neither_repeat_a_digest_nor_skip_one(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "  digest: 6h\n") as bench:
        six_us = MIDNIGHT_US - 6 * HOUR_US
        async with bench.guard() as running:
            await running.until(six_us + 25_000_000)
            assert len(bench.told("loud")) == 1
        for _ in range(3):
            async with bench.guard() as running:
                await running.until(bench.clock.now_us() + 60_000_000)
        assert len(bench.told("loud")) == 1
        await bench.clock.leap((MIDNIGHT_US - bench.clock.now_us()) / 1e6 + 3 * 3_600)
        async with bench.guard() as running:
            await running.until(bench.clock.now_us() + 1_000_000)
            assert running.watch.passed_over == 0
        assert bench.titles("loud")[1:] == [
            "guard digest, 2027-01-13 18:00 UTC to 2027-01-14 00:00 UTC: 0 blocks, 0 would-be blocks, 0 s in all"
        ]


async def test_after_days_without_guard_only_the_newest_digest_is_sent(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "  digest: 1d\n") as bench:
        async with bench.guard():
            pass
        bench.note(MIDNIGHT_US - HOUR_US)
        bench.note(MIDNIGHT_US + 3 * DAY_US + HOUR_US)
        await bench.clock.leap(3.8 * DAY_S)
        async with bench.guard() as running:
            await running.until(bench.clock.now_us() + 1_000_000)
            assert running.watch.passed_over == 3
            assert running.watch.record()["last"] == "2027-01-17T00:00:00.000Z"  # type: ignore[index]
        # Of the hours after its end it tells nothing, late as it is.
        assert bench.titles("loud") == [
            "guard digest, 2027-01-16 00:00 UTC to 2027-01-17 00:00 UTC: 0 blocks, 0 would-be blocks, 0 s in all"
        ]
        assert "bots:" not in bench.told("loud")[0]["message"]


async def test_a_guard_that_died_before_it_noted_the_digest_sends_it_once(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "  digest: 1d\n") as bench:
        async with bench.guard() as running:
            before = await running.store.note("digest")
            await running.until(MIDNIGHT_US + 30_000_000)
            await running.store.keep_note("digest", before)
        async with bench.guard() as running:
            await running.until(bench.clock.now_us() + 60_000_000)
            assert await running.store.note("digest") == {"every_us": DAY_US, "end_us": MIDNIGHT_US, "is_sent": True}
        assert len(bench.told("loud")) == 1


async def test_without_the_key_nothing_is_sent_and_a_key_set_later_begins_with_the_next_interval(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "") as bench, bench.guard() as running:
        await running.until(MIDNIGHT_US + 60_000_000)
        assert running.watch.record() is None
        bench.write("  digest: 1h\n")
        await running.book.reload()
        assert running.book.problem is None
        await running.until(MIDNIGHT_US + 120_000_000)
        assert bench.receiver.posts == []
        await running.until(MIDNIGHT_US + HOUR_US + 30_000_000)
        assert len(bench.told("loud")) == 1
        bench.write("")
        await running.book.reload()
        await running.until(MIDNIGHT_US + 2 * HOUR_US + 30_000_000)
        assert await running.store.note("digest") is None
        bench.write("  digest: 7d\n")
        await running.book.reload()
        await running.until(MIDNIGHT_US + 3 * HOUR_US + 30_000_000)
        assert running.watch.record()["next"] == "2027-01-18T00:00:00.000Z"  # type: ignore[index] - the Monday
        bench.write("  digest: 6h\n")
        await running.book.reload()
        await running.until(MIDNIGHT_US + 4 * HOUR_US)
        assert len(bench.told("loud")) == 1


async def test_a_reload_takes_a_channel_out_and_other_changes_still_need_a_restart(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "  digest: 1d\n") as bench, bench.guard() as running:
        text = bench.config.read_text()
        bench.config.write_text(text.replace("daily_max: 1}", "daily_max: 1, digest: false}"))
        await running.book.reload()
        assert running.book.problem is None
        await running.until(MIDNIGHT_US + 30_000_000)
        assert (len(bench.told("loud")), bench.told("grave")) == (1, [])
        bench.config.write_text(text.replace("daily_max: 1}", "daily_max: 2}"))
        await running.book.reload()
        assert "restart guard" in str(running.book.problem)


async def test_a_report_that_cannot_be_made_is_tried_again_and_told(tmp_path: Path) -> None:
    failures = ["no ledger", "no ledger", "no ledger", "no ledger"]

    def make(since_us: int, until_us: int) -> Report:
        if failures:
            raise Unavailable(failures.pop())
        return report_maker(bench.state)(since_us, until_us)

    async with bench_of(tmp_path, "  digest: 1d\n") as bench, bench.guard(make) as running:
        await running.until(MIDNIGHT_US + 30_000_000)
        assert (running.watch.failures, running.watch.record()["problem"]) == (1, "no ledger")  # type: ignore[index]
        for minute in range(2, 8):
            await running.until(MIDNIGHT_US + minute * 60_000_000)
        assert (running.watch.failures, running.watch.record()["problem"]) == (4, None)  # type: ignore[index]
    first, digest, over = bench.titles("loud")
    assert first == "[WARNING] guard: the digest cannot be sent"
    assert digest.startswith("guard digest, 2027-01-13 00:00 UTC")
    assert over == "[NORMAL] guard: nothing keeps the digest any more"


async def test_a_channel_that_is_down_gets_the_digest_when_it_is_back(tmp_path: Path) -> None:
    async with bench_of(tmp_path, "  digest: 1d\n") as bench, bench.guard() as running:
        bench.receiver.answers = [500, 500, 500, 500]
        await running.until(MIDNIGHT_US + 30_000_000, is_sent=False)
        while bench.receiver.answers:
            await running.until(bench.clock.now_us() + HOUR_US, is_sent=False)
        await running.until(bench.clock.now_us() + HOUR_US)
        delivered = {name: health.delivered for name, health in running.live.outbox.health().items()}
    assert delivered == {"loud": 1, "grave": 1, "none": 0}


@pytest.mark.parametrize(("back_us", "days"), [(120_000_000, ["13", "14"]), (2 * DAY_US + HOUR_US, ["13", "11", "12", "14"])])
async def test_a_wall_clock_that_was_set_back_repeats_nothing(tmp_path: Path, back_us: int, days: list[str]) -> None:
    async with bench_of(tmp_path, "  digest: 1d\n") as bench:
        async with bench.guard() as running:
            await running.until(MIDNIGHT_US + 30_000_000)
        bench.clock = LeapClock(MIDNIGHT_US - back_us)
        async with bench.guard() as running:
            for day in range(-2, 2):
                if (moment_us := MIDNIGHT_US + day * DAY_US + 60_000_000) > bench.clock.now_us():
                    await running.until(moment_us)
        assert [title[22:24] for title in bench.titles("loud")] == days


async def test_while_the_ledger_cannot_be_written_a_digest_waits_and_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = ["disk full"] * 6
    commit = LedgerStore.commit

    async def fails(store: LedgerStore, decisions: Sequence[Decision], *, epoch: int) -> int:
        if refusals:
            raise Unavailable(refusals.pop())
        return await commit(store, decisions, epoch=epoch)

    async with bench_of(tmp_path, "  digest: 1d\n") as bench, bench.guard() as running:
        monkeypatch.setattr(LedgerStore, "commit", fails)
        await bench.clock.leap((MIDNIGHT_US + 30_000_000 - START_US) / 1e6)
        while not running.live.committer.health.failures:  # noqa: ASYNC110 - a real ledger's thread is waited for
            await asyncio.sleep(0.01)
        noted = await running.store.note("digest")
        assert noted is not None
        assert noted["is_sent"] is False
        await running.until(MIDNIGHT_US + 120_000_000)
        await running.until(MIDNIGHT_US + 240_000_000)
        assert running.watch.failures == 0
        noted = await running.store.note("digest")
        assert noted is not None
        assert noted["is_sent"] is True
        for name in ("loud", "grave"):
            assert len([title for title in bench.titles(name) if "digest" in title]) == 1


@pytest.mark.parametrize(
    ("every", "told"), [("1h", None), ("7d", None), ("59m", ">= 1h"), ("8d", "<= 7d"), ("90m", "whole number of hours")]
)
async def test_intervals_are_whole_hours_up_to_a_week(tmp_path: Path, every: str, told: str | None) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text(f"exchanges: {{sim: {{connector: sim}}}}\nalerts: {{digest: {every}}}\n")
    if told is None:
        assert load_guard(path, {}).warnings == ()
    else:
        with pytest.raises(Exception, match=told):
            load_guard(path, {})
