"""Crashes and a failing ledger between send and settle: nothing is lost, and nothing is repeated more than once a crash."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import sha256

import pytest
from alerts.support import START_US, DictStore, Half, Hook, MovedClock, delivery, serving, settle
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from guard.alerts.notification import NotificationHandler
from guard.alerts.outbox import Outbox
from guard.model import Delivery, DeliveryState
from guard.model.ports import Outcome


class CrashingStore(DictStore):
    """Dies in the chosen settles, before anything is written."""

    def __init__(self, *deliveries: Delivery, crashes: set[int]) -> None:
        super().__init__(*deliveries)
        self.crashes = crashes
        self.calls = 0

    async def settle(self, delivery: Delivery) -> None:
        self.calls += 1
        if self.calls in self.crashes:
            raise asyncio.CancelledError
        await super().settle(delivery)


class Counted:
    """Delivers, unless chance refuses."""

    def __init__(self, refuse: float = 0.0, seed: int = 1) -> None:
        self.arrived: Counter[str] = Counter()
        self._seed = seed
        self._refuse = refuse
        self._tries = 0

    async def send(self, delivery: Delivery) -> Outcome:
        await asyncio.sleep(0)
        self._tries += 1
        if sha256(f"{self._seed} {self._tries}".encode()).digest()[0] < 256 * self._refuse:
            return Outcome(is_delivered=False, error="error=500")
        self.arrived[delivery.id] += 1
        return Outcome(is_delivered=True)


async def test_crash_between_send_and_settle_sends_the_same_id_once_more() -> None:
    with serving() as hook:
        urls = {"hook": f"json://127.0.0.1:{hook.port}"}
        store = CrashingStore(delivery("7"), crashes={1})
        for _ in range(2):
            handler = NotificationHandler(urls)
            await handler.open()
            outbox = Outbox(store, handler, list(urls), MovedClock(), Half(), lambda _: None)
            outbox.start()
            async with asyncio.timeout(5):
                while not (store.settled or all(task.done() for task in outbox._tasks.values())):  # noqa: ASYNC110 - a poll of two conditions
                    await asyncio.sleep(0.005)
            for task in outbox._tasks.values():
                task.cancel()
            await asyncio.gather(*outbox._tasks.values(), return_exceptions=True)
            await handler.close()
        titles = [document["title"] for document in hook.documents]
    assert len(titles) == 2
    assert all(title.endswith("[id-7]") for title in titles)
    assert store.rows["id-7"].state is DeliveryState.DELIVERED


@hypothesis_settings(max_examples=8, deadline=None)
@given(st.integers(1, 12), st.sets(st.integers(1, 40), max_size=4), st.integers(0, 1000))
def test_every_delivery_ends_delivered_and_repeats_stay_within_the_crashes(count: int, crashes: set[int], seed: int) -> None:
    asyncio.run(_until_delivered(count, crashes, seed))


async def _until_delivered(count: int, crashes: set[int], seed: int) -> None:
    channels = ("a", "b", "c")
    store = CrashingStore(
        *(delivery(f"{n}{name}", channel=name, due_us=START_US + n) for n in range(count) for name in channels), crashes=crashes
    )
    carrier, clock = Counted(refuse=0.3, seed=seed), MovedClock()
    for _ in range(len(crashes) + 1):
        outbox = Outbox(store, carrier, channels, clock, Half(), lambda _: None)
        outbox.start()
        for _ in range(40):
            await clock.advance(60)
            if any(task.done() for task in outbox._tasks.values()):
                break
        for task in outbox._tasks.values():
            task.cancel()
        await asyncio.gather(*outbox._tasks.values(), return_exceptions=True)
    assert {each.state for each in store.rows.values()} == {DeliveryState.DELIVERED}
    assert set(carrier.arrived) == set(store.rows)
    assert sum(carrier.arrived.values()) - len(store.rows) <= len(crashes)


async def test_failing_settle_is_retried_without_sending_again() -> None:
    store, carrier, clock, reports = DictStore(delivery()), Counted(), MovedClock(), []
    store.fail_settle = 3
    outbox = Outbox(store, carrier, ["hook"], clock, Half(), reports.append)
    outbox.start()
    await clock.advance(60)
    assert carrier.arrived["id-1"] == 1
    assert store.rows["id-1"].state is DeliveryState.DELIVERED
    assert len(reports) == 1
    assert "does not record" in reports[0]
    await _drained(outbox, clock)


async def test_failing_ledger_never_ends_a_worker() -> None:
    store, carrier, clock, reports = DictStore(delivery()), Counted(), MovedClock(), []
    store.fail_due = 4
    outbox = Outbox(store, carrier, ["hook"], clock, Half(), reports.append)
    outbox.start()
    await clock.advance(120)
    assert carrier.arrived["id-1"] == 1
    assert "the outbox cannot work" in reports[0]
    await _drained(outbox, clock)


async def test_notifier_that_raises_is_a_failed_attempt() -> None:
    class Broken:
        async def send(self, delivery: Delivery) -> Outcome:
            del delivery
            raise RuntimeError("not in the contract")

    store, clock = DictStore(delivery(ttl_us=30_000_000)), MovedClock()
    outbox = Outbox(store, Broken(), ["hook"], clock, Half(), lambda _: None)
    outbox.start()
    await clock.advance(60)
    assert store.rows["id-1"].state is DeliveryState.DEAD
    assert "not in the contract" in store.rows["id-1"].error
    await _drained(outbox, clock)


async def test_channel_that_was_down_for_hours_gets_all_of_it_oldest_first() -> None:
    hours_us = 3_600_000_000
    store = DictStore(*(delivery(f"{n:03}", due_us=START_US + n * 60_000_000, ttl_us=24 * hours_us) for n in range(60)))
    arrived: list[str] = []
    clock = MovedClock()

    class DownForSixHours:
        async def send(self, delivery: Delivery) -> Outcome:
            if clock.now_us() < START_US + 6 * hours_us:
                return Outcome(is_delivered=False, error="down")
            arrived.append(delivery.id)
            return Outcome(is_delivered=True)

    outbox = Outbox(store, DownForSixHours(), ["hook"], clock, Half(), lambda _: None)
    outbox.start()
    await clock.advance(7 * 3600)
    assert len(arrived) == 60
    assert len(set(arrived)) == 60
    await _drained(outbox, clock)


@pytest.mark.parametrize("answer", [(500, {}, b""), "hang up"])
async def test_real_channel_recovers_after_failures(answer: object) -> None:
    with serving(Hook) as hook:
        hook.answers = [answer, answer]  # type: ignore[list-item]
        handler = NotificationHandler({"hook": f"json://127.0.0.1:{hook.port}"})
        await handler.open()
        store, clock = DictStore(delivery()), MovedClock()
        outbox = Outbox(store, handler, ["hook"], clock, Half(), lambda _: None)
        outbox.start()
        async with asyncio.timeout(5):
            while store.rows["id-1"].state is DeliveryState.PENDING:
                await clock.advance(1)
                await asyncio.sleep(0.01)
        await _drained(outbox, clock)
        await handler.close()
    assert store.rows["id-1"].attempts == 3
    assert len(hook.requests) == 3


async def _drained(outbox: Outbox, clock: MovedClock) -> None:
    drained = asyncio.create_task(outbox.drain(1))
    await clock.advance(2)
    await drained
    await settle()
