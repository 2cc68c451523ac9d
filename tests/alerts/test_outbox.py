"""Workers, back-off, expiry and shutdown, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from alerts.support import START_US, DictStore, Half, MovedClock, delivery, settle

from guard.alerts.backoff import Breaker, backoff_us
from guard.alerts.outbox import Outbox
from guard.model import DeliveryState
from guard.model.ports import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model import Delivery

SENT = Outcome(is_delivered=True)
FAILED = Outcome(is_delivered=False, error="error=500")


class Carrier:
    """A Notifier whose answers the test chooses: a function of the delivery and how often it was tried."""

    def __init__(self, answer: Callable[[Delivery, int], Outcome] = lambda *_: SENT) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.at_us: list[int] = []
        self.clock: MovedClock | None = None
        self.hanging: set[str] = set()

    async def send(self, delivery: Delivery) -> Outcome:
        self.sent.append(delivery.id)
        if self.clock is not None:
            self.at_us.append(self.clock.now_us())
        if delivery.channel in self.hanging:
            await asyncio.Event().wait()
        return self.answer(delivery, self.sent.count(delivery.id))


class Desk:
    """An outbox with all its parts."""

    def __init__(self, *deliveries: Delivery, carrier: Carrier | None = None, channels: tuple[str, ...] = ("hook",)) -> None:
        self.store = DictStore(*deliveries)
        self.carrier = carrier or Carrier()
        self.clock = MovedClock()
        self.carrier.clock = self.clock
        self.reports: list[str] = []
        self.outbox = Outbox(self.store, self.carrier, channels, self.clock, Half(), self.reports.append)

    def state(self, name: str = "1") -> DeliveryState:
        return self.store.rows[f"id-{name}"].state

    async def stop(self) -> int:
        drained = asyncio.create_task(self.outbox.drain(5))
        await self.clock.advance(6)
        return await drained


async def test_pending_deliveries_are_sent_oldest_first_and_settled() -> None:
    desk = Desk(delivery("b", due_us=START_US - 5), delivery("a", due_us=START_US - 9))
    desk.outbox.start()
    await settle()
    assert desk.carrier.sent == ["id-a", "id-b"]
    assert {each.state for each in desk.store.rows.values()} == {DeliveryState.DELIVERED}
    assert desk.store.rows["id-a"].attempts == 1
    assert await desk.stop() == 0


async def test_wake_sends_at_once_what_a_commit_brought() -> None:
    desk = Desk()
    desk.outbox.start()
    await settle()
    desk.store.add(delivery())
    await settle()
    assert desk.carrier.sent == []
    desk.outbox.wake()
    await settle()
    assert desk.carrier.sent == ["id-1"]
    await desk.stop()


async def test_forgotten_wake_costs_five_seconds_at_most() -> None:
    desk = Desk()
    desk.outbox.start()
    await settle()
    desk.store.add(delivery())
    await desk.clock.advance(5)
    assert desk.carrier.sent == ["id-1"]
    await desk.stop()


async def test_failures_back_off_from_two_seconds_and_then_deliver() -> None:
    desk = Desk(delivery(), carrier=Carrier(lambda _, tries: SENT if tries == 5 else FAILED))
    desk.outbox.start()
    await desk.clock.advance(60)
    waits = [round((later - earlier) / 1e6, 1) for earlier, later in zip(desk.carrier.at_us, desk.carrier.at_us[1:], strict=False)]
    assert waits == [1.5, 3.0, 6.0, 12.0]
    assert desk.state() is DeliveryState.DELIVERED
    assert desk.store.rows["id-1"].attempts == 5
    assert ["does not deliver" in each or "delivers again" in each for each in desk.reports] == [True, True]
    await desk.stop()


async def test_retry_after_pauses_the_whole_channel() -> None:
    asked = Outcome(is_delivered=False, error="error=429", retry_after_s=40.0)
    carrier = Carrier(lambda _, __: asked if len(carrier.sent) == 1 else SENT)
    desk = Desk(delivery("1"), delivery("2"), carrier=carrier)
    desk.outbox.start()
    await desk.clock.advance(39)
    assert carrier.sent == ["id-1"]
    await desk.clock.advance(2)
    assert carrier.sent == ["id-1", "id-1", "id-2"]
    await desk.stop()


async def test_delivery_that_expires_dies_visibly() -> None:
    desk = Desk(delivery(ttl_us=60_000_000), carrier=Carrier(lambda *_: FAILED))
    desk.outbox.start()
    await desk.clock.advance(300)
    assert desk.state() is DeliveryState.DEAD
    assert desk.store.rows["id-1"].error == "error=500"
    assert await desk.outbox.counts() == {"hook": {"dead": 1}}
    assert desk.outbox.health()["hook"].dead == 1
    assert "did not get through hook" in desk.reports[-1]
    await desk.stop()


async def test_delivery_found_expired_at_start_is_not_sent() -> None:
    desk = Desk(delivery(due_us=START_US - 10, ttl_us=5))
    desk.outbox.start()
    await settle()
    assert desk.carrier.sent == []
    assert desk.state() is DeliveryState.DEAD
    await desk.stop()


async def test_poisoned_delivery_does_not_hold_up_the_others() -> None:
    carrier = Carrier(lambda each, _: FAILED if each.id == "id-0" else SENT)
    desk = Desk(*(delivery(str(number), due_us=START_US + number) for number in range(6)), carrier=carrier)
    desk.outbox.start()
    await desk.clock.advance(30)
    assert [desk.state(str(number)) for number in range(1, 6)] == [DeliveryState.DELIVERED] * 5
    await desk.stop()


async def test_dead_channel_gets_single_probes_instead_of_every_delivery() -> None:
    desk = Desk(*(delivery(str(number)) for number in range(50)), carrier=Carrier(lambda *_: FAILED))
    desk.outbox.start()
    await desk.clock.advance(300)
    assert len(desk.carrier.sent) < 15
    assert desk.outbox.health()["hook"].is_failing
    await desk.stop()


async def test_hanging_channel_delays_no_other_channel() -> None:
    carrier = Carrier()
    carrier.hanging = {"slow"}
    desk = Desk(delivery("s", channel="slow"), delivery("f", channel="fast"), carrier=carrier, channels=("slow", "fast"))
    desk.outbox.start()
    await settle()
    assert desk.state("f") is DeliveryState.DELIVERED
    assert await desk.stop() == 1


async def test_drain_sends_what_is_due_and_leaves_the_rest_pending() -> None:
    desk = Desk(delivery("now"), delivery("later", due_us=START_US + 60_000_000))
    desk.outbox.start()
    assert await desk.stop() == 1
    assert desk.carrier.sent == ["id-now"]


async def test_drain_gives_up_on_a_hanging_send_at_its_deadline() -> None:
    carrier = Carrier()
    carrier.hanging = {"hook"}
    desk = Desk(delivery(), carrier=carrier)
    desk.outbox.start()
    await settle()
    drained = asyncio.create_task(desk.outbox.drain(5))
    await desk.clock.advance(4)
    assert not drained.done()
    await desk.clock.advance(2)
    assert await drained == 1


async def test_drain_without_start_counts_what_is_pending() -> None:
    assert await Desk(delivery()).outbox.drain(1) == 1


def test_backoff_never_leaves_two_seconds_to_five_minutes() -> None:
    waits = [backoff_us(attempts, Half()) for attempts in range(1, 2000)]
    assert min(waits) >= 1_000_000
    assert max(waits) <= 300_000_000
    assert waits == sorted(waits)


def test_breaker_opens_at_the_third_failure() -> None:
    breaker = Breaker()
    opened = []
    for _ in range(4):
        breaker = breaker.failed(now_us=100, retry_after_us=0, random=Half())
        opened.append(breaker.open_until_us > 100)
    assert opened == [False, False, True, True]
