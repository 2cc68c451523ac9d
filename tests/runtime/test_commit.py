"""From decisions to the ledger, with and without trouble."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from quarantine.holds import MINUTE
from store.decisions import NOW, HandClock, decision, delivery, quarantine, transition

from guard.errors import StateError, Unavailable
from guard.model import Block, Decision, IsolationState
from guard.runtime.clock import seeded_random
from guard.runtime.commit import Committer
from guard.store import LedgerStore, MemoryStore


class GatedStore(MemoryStore):
    """A store whose commits wait until the gate is open: a disk that hangs."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(clock)
        self.gate = asyncio.Event()
        self.sizes: list[int] = []

    async def commit(self, decisions: Sequence[Decision], *, epoch: int) -> int:
        self.sizes.append(len(decisions))
        await self.gate.wait()
        return await super().commit(decisions, epoch=epoch)


class Bench:
    """A committer with everything around it written down in `log`."""

    def __init__(self, store: LedgerStore | MemoryStore, clock: HandClock, epoch: int, **options: object) -> None:
        self.clock = clock
        self.store = store
        self.log: list[object] = []
        self.shown: list[tuple[str, ...]] = []
        self.committer = Committer(
            store,
            self.publish,
            clock,
            seeded_random(1),
            epoch=epoch,
            on_committed=lambda deliveries: self.log.append(("wake", *(each.id for each in deliveries))),
            on_outage=lambda text: self.log.append(("outage", text is not None)),
            **options,
        )
        self.task = asyncio.create_task(self.committer.run())

    def publish(self, seq: int, *, durable: bool, decisions: int) -> None:
        self.log.append(("publish", seq, durable, decisions))
        self.shown.append(tuple(each.target.name for each in self.committer.blocks()))

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - what is waited for happens in the database's thread
                await asyncio.sleep(0.001)

    async def turn(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def bench(store: LedgerStore | MemoryStore | None = None, **options: object) -> AsyncIterator[Bench]:
    clock = HandClock() if store is None else store._clock
    store = store or MemoryStore(clock)
    made = Bench(store, clock, (await store.open()).epoch, **options)
    try:
        yield made
    finally:
        if isinstance(store, GatedStore):
            store.gate.set()
        made.task.cancel()
        with suppress(asyncio.CancelledError, StateError):
            await made.task
        await store.close()


@pytest.fixture
def ledger(tmp_path: Path) -> LedgerStore:
    return LedgerStore(tmp_path / "ledger.sqlite", HandClock(), busy_timeout_s=0.01)


async def test_commit_then_publish_then_answer_then_wake() -> None:
    async with bench() as it:
        answer = asyncio.create_task(it.committer.settled(decision()))
        answer.add_done_callback(lambda task: it.log.append(("answer", task.result())))
        await it.turn()
        assert it.log == [("publish", 2, True, 1), ("wake", "d0"), ("answer", 2)]
        assert it.shown == [("sim:X/USDT",)]
        assert (await it.store.load()).seq == 2


async def test_all_that_waits_goes_into_one_transaction() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        it.committer.submit(decision(1))
        await it.turn()
        for number in (2, 3, 4):
            it.committer.submit(decision(number))
        store.gate.set()
        await it.turn()
        assert store.sizes == [1, 3]
        assert [entry for entry in it.log if entry[0] == "publish"] == [("publish", 2, True, 1), ("publish", 8, True, 3)]
        assert it.committer.health.committed == 4
        assert it.committer.health.waiting == 0


async def test_a_great_many_decisions_are_written_in_groups() -> None:
    store = GatedStore(HandClock())
    store.gate.set()
    async with bench(store) as it:
        for number in range(600):
            it.committer.submit(decision(number))
        assert await it.committer.drain(5.0) == 0
        assert store.sizes == [256, 256, 88]
        assert [len(names) for names in it.shown] == [256, 512, 600]


async def test_a_block_is_shown_at_once_when_the_ledger_cannot_be_written_and_an_operator_waits(ledger: LedgerStore) -> None:
    async with bench(ledger) as it:
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answer = asyncio.create_task(it.committer.settled(decision(1)))
            await it.until(lambda: it.committer.health.failures == 1)
            await it.until(lambda: it.clock.sleepers)
            assert it.log == [("publish", 0, False, 0), ("outage", True)]
            it.committer.submit(decision(2))
            await it.until(lambda: len(it.shown) == 2)
            assert it.shown[-1] == ("sim:C1/USDT", "sim:C2/USDT")
            it.clock.pass_time(5)
            await it.until(lambda: it.committer.health.failures == 2)
            assert not answer.done()
            assert it.committer.health.outage_since_us == NOW
            other.execute("ROLLBACK")
        await it.until(lambda: it.clock.sleepers)
        it.clock.pass_time(5)
        assert await answer == 4
        assert it.log[-3:] == [("outage", False), ("publish", 4, True, 2), ("wake", "d1", "d2")]
        assert it.log.count(("outage", True)) == 1
        assert it.committer.health.outage_since_us is None
        assert (await ledger.verify()).rows == 4


async def test_a_release_is_not_shown_before_it_is_durable(ledger: LedgerStore) -> None:
    async with bench(ledger, held=(quarantine(),)) as it:
        released = Decision(NOW, transitions=(transition(state=IsolationState.NORMAL, until_us=NOW),))
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            it.committer.submit(released)
            await it.until(lambda: it.committer.health.failures == 1)
            assert it.shown == [("sim:X/USDT",)]
            assert it.committer.blocks()[0].block is Block.ENTRIES
            other.execute("ROLLBACK")
        await it.until(lambda: it.clock.sleepers)
        it.clock.pass_time(5)
        await it.until(lambda: it.committer.health.committed)
        assert it.shown[-1] == ()


async def test_pauses_between_attempts_grow_with_jitter_up_to_five_seconds(ledger: LedgerStore) -> None:
    async with bench(ledger, slow_s=1_000.0) as it:
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            it.committer.submit(decision(1))
            for attempt in range(1, 15):
                await it.until(lambda: it.committer.health.failures == attempt)  # noqa: B023 awaited within the turn
                await it.until(lambda: it.clock.sleepers)
                it.clock.pass_time(5)
            other.execute("ROLLBACK")
        pauses = [seconds for seconds in it.clock.slept if seconds < 100]
        for attempt, seconds in enumerate(pauses):
            longest = min(5.0, 0.05 * 2**attempt)
            assert longest / 2 <= seconds <= longest
        assert len(set(pauses)) == len(pauses)


async def test_a_commit_that_hangs_shows_what_waits_as_not_durable() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        it.committer.submit(decision(1))
        await it.turn()
        assert it.log == []
        it.clock.pass_time(0.25)
        await it.turn()
        it.committer.submit(decision(2))
        await it.turn()
        assert it.log == [("publish", 0, False, 0), ("publish", 0, False, 0)]
        assert it.shown == [("sim:C1/USDT",), ("sim:C1/USDT", "sim:C2/USDT")]
        store.gate.set()
        await it.turn()
        assert [entry for entry in it.log[2:] if entry[0] == "publish"] == [
            ("publish", 2, True, 1),
            ("publish", 2, False, 0),
            ("publish", 4, True, 1),
        ]
        assert it.shown[-2:] == [("sim:C1/USDT", "sim:C2/USDT")] * 2


async def test_a_lost_ledger_ends_everything_and_publishes_nothing() -> None:
    async with bench() as it:
        await it.store.open()
        answer = asyncio.create_task(it.committer.settled(decision()))
        with pytest.raises(StateError, match="another guard took"):
            await answer
        with pytest.raises(StateError, match="another guard took"):
            await it.task
        with pytest.raises(StateError, match="another guard took"):
            it.committer.submit(decision())
        assert it.log == []


async def test_beyond_the_capacity_a_decision_is_refused_and_counted() -> None:
    store = GatedStore(HandClock())
    async with bench(store, capacity=2) as it:
        it.committer.submit(decision(1))
        it.committer.submit(decision(2))
        with pytest.raises(Unavailable, match="2 decisions wait for the ledger"):
            it.committer.submit(decision(3))
        assert it.committer.health.refused == 1
        assert it.committer.health.waiting == 2


async def test_drain_waits_for_the_last_commit() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        it.committer.submit(decision(1))
        drained = asyncio.create_task(it.committer.drain(5.0))
        await it.turn()
        assert not drained.done()
        store.gate.set()
        assert await drained == 0
        assert await it.committer.drain(0.0) == 0


async def test_drain_gives_up_at_its_deadline_and_answers_operators() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        answer = asyncio.create_task(it.committer.settled(decision(1)))
        drained = asyncio.create_task(it.committer.drain(5.0))
        await it.turn()
        it.clock.pass_time(5)
        assert await drained == 1
        with pytest.raises(Unavailable, match="could not be written within 5 s"):
            await answer
        store.gate.set()


async def test_a_stop_in_the_middle_of_a_commit_waits_for_its_end() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        it.committer.submit(decision(1))
        await it.turn()
        it.task.cancel()
        await it.turn()
        assert not it.task.done()
        store.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await it.task
        assert it.log[0] == ("publish", 2, True, 1)
        assert it.committer.health.waiting == 0


async def test_a_stop_does_not_wait_for_ever_for_a_disk_that_hangs() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        it.committer.submit(decision(1))
        await it.turn()
        it.task.cancel()
        await it.turn()
        it.clock.pass_time(5)
        with pytest.raises(asyncio.CancelledError):
            await it.task
        assert it.committer.health.waiting == 1


async def test_an_operator_who_left_changes_nothing() -> None:
    store = GatedStore(HandClock())
    async with bench(store) as it:
        answer = asyncio.create_task(it.committer.settled(decision(1)))
        await it.turn()
        answer.cancel()
        store.gate.set()
        await it.turn()
        assert answer.cancelled()
        assert (await store.load()).pending == (delivery("d1"),)


async def test_an_end_that_moves_is_shown_while_the_ledger_is_away() -> None:
    store = GatedStore(HandClock())
    async with bench(store, held=(quarantine(),)) as it:
        it.committer.submit(Decision(NOW, transitions=(transition(until_us=NOW + 90 * MINUTE)._replace(cause="extend"),)))
        await it.turn()
        it.clock.pass_time(1)
        await it.turn()
        assert [each.until_us for each in it.committer.blocks()] == [NOW + 90 * MINUTE]
