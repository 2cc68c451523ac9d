"""People are told once of a webhook or an action that does not get through, and once of its return."""

from __future__ import annotations

import asyncio

import pytest
from alerts.support import DictStore, Half, MovedClock, delivery, settle, verdict

from guard.alerts.orders import OrderDesk
from guard.alerts.outbox import Outbox
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import ActionKind, ActionOrder, Delivery, Level, Mode
from guard.model.ports import Outcome
from guard.runtime.action_watch import ActionWatch, lanes_of

LANE = "webhook:bot"


class Carrier:
    def __init__(self) -> None:
        self.outcome = Outcome(is_delivered=True)

    async def send(self, delivery: Delivery) -> Outcome:
        del delivery
        return self.outcome


class Bench:
    """A watch over a real outbox with one lane and one channel."""

    def __init__(self) -> None:
        self.store, self.carrier, self.clock = DictStore(), Carrier(), MovedClock()
        self.outbox = Outbox(self.store, self.carrier, ["people"], self.clock, Half(), lambda _: None)
        self.outbox.start()
        self.outbox.add([LANE])
        self.outbox.add([LANE])
        self.orders = OrderDesk(Mode.ENFORCE, hourly_max=1)
        self.told: list[tuple[str, str, str, Level]] = []
        self.watch = ActionWatch(self.outbox, self.orders, lambda *told: self.told.append(told), self.clock)
        self.number = 0

    async def deliver(self, outcome: Outcome, *, channel: str = LANE, seconds: float = 0.0) -> list[str]:
        """Deliver one more and return the titles that people get for it."""
        self.number += 1
        self.carrier.outcome = outcome
        self.store.add(delivery(str(self.number), channel=channel, due_us=self.clock.now_us()))
        self.outbox.wake()
        await settle()
        await self.clock.advance(seconds)
        before = len(self.told)
        self.watch.look()
        self.watch.look()
        return [title for _, title, _, _ in self.told[before:]]

    async def stop(self) -> None:
        for task in self.outbox._tasks.values():
            task.cancel()
        await asyncio.gather(*self.outbox._tasks.values(), return_exceptions=True)


DONE = Outcome(is_delivered=True)
GONE = Outcome(is_delivered=False, error="it answers 410", is_final=True)
AILING = Outcome(is_delivered=False, error="it answers 500")


async def test_dead_order_is_told_with_its_error_and_the_next_good_one_ends_it() -> None:
    bench = Bench()
    assert await bench.deliver(GONE) == ["webhook:bot does not get through"]
    key, _, body, level = bench.told[-1]
    assert (key, level) == ("action:webhook:bot", Level.DANGER)
    assert body.splitlines() == ["it answers 410", "orders given up since the start: 1", "guard alerts outbox"]
    assert await bench.deliver(DONE) == ["webhook:bot gets through again"]
    assert bench.told[-1][3] is Level.NORMAL
    assert await bench.deliver(DONE) == []
    await bench.stop()


async def test_lane_that_fails_three_times_is_told_before_anything_is_dead() -> None:
    bench = Bench()
    assert await bench.deliver(AILING) == []
    assert await bench.deliver(AILING, seconds=20) == ["webhook:bot does not get through"]
    assert await bench.deliver(AILING, seconds=20) == []
    await bench.stop()


async def test_channels_of_people_are_left_to_others() -> None:
    bench = Bench()
    assert await bench.deliver(GONE, channel="people") == []
    await bench.stop()


async def test_refused_orders_are_told() -> None:
    bench = Bench()
    order = ActionOrder(ActionKind.WEBHOOK, "bot")
    for name in ("A/USDT", "B/USDT"):
        bench.orders.process([verdict(name)._replace(orders=(order,))], [], held=lambda _: (), at_us=bench.clock.now_us())
    bench.watch.look()
    bench.watch.look()
    assert [(title, level) for _, title, _, level in bench.told] == [("too many orders for webhook:bot", Level.DANGER)]
    assert bench.watch.summary() == {"actions": {LANE: {"ordered": 1, "refused": 1, "done": 0, "dead": 0}}}
    await bench.stop()


def test_lanes_are_those_of_rules_of_guard_yaml_and_of_what_still_waits() -> None:
    report = Report()
    text = "rules: {one: {when: trades(10s) > 3, level: danger, actions: {warning: [webhook: a], danger: [webhook: b, alert]}}}"
    program = compile_rules(rules_from_text(text, report))
    assert not report.errors
    waiting = [delivery("1", channel="call:gone", kind="call"), delivery("2", channel="people")]
    assert lanes_of(program, ["c"], waiting) == ["call:gone", "webhook:a", "webhook:b", "webhook:c"]


@pytest.mark.parametrize("started", [True, False])
async def test_lane_that_comes_late_is_served(*, started: bool) -> None:
    store, carrier, clock = DictStore(delivery(channel=LANE)), Carrier(), MovedClock()
    outbox = Outbox(store, carrier, [], clock, Half(), lambda _: None)
    for step in (outbox.start, lambda: outbox.add([LANE])) if started else (lambda: outbox.add([LANE]), outbox.start):
        step()
    await settle()
    assert [each.state.value for each in store.settled] == ["delivered"]
    for task in outbox._tasks.values():
        task.cancel()
    await asyncio.gather(*outbox._tasks.values(), return_exceptions=True)
