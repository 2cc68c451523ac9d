from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.support import DictStore, Half, MovedClock, delivery

from guard.alerts.outbox import Outbox
from guard.model import DeliveryState
from guard.model.ports import Outcome
from guard.runtime.pager import Pager

if TYPE_CHECKING:
    from guard.model import Delivery


class Busy:
    """A channel that is busy, or raises, for its first messages."""

    def __init__(self, refusals: int, error: Exception | None = None) -> None:
        self.refusals = refusals
        self.error = error
        self.sent: list[str] = []

    async def send(self, message: Delivery) -> Outcome:
        if self.refusals:
            self.refusals -= 1
            if self.error is not None:
                raise self.error
            return Outcome(is_delivered=False, error="an earlier message still hangs in this channel")
        self.sent.append(message.id)
        return Outcome(is_delivered=True)


async def test_a_page_that_a_busy_channel_refused_is_sent_again() -> None:
    clock, channel, arrived = MovedClock(), Busy(3), list[str]()
    pager = Pager(channel.send, clock, lambda each: arrived.append(each.id))
    pager.page([delivery()])
    await clock.advance(1 + 2 + 3)
    assert channel.sent == []
    await clock.advance(1)
    assert channel.sent == arrived == ["id-1"]
    await clock.advance(600)
    assert channel.sent == ["id-1"]


async def test_a_notifier_that_raises_is_tried_again() -> None:
    clock, channel = MovedClock(), Busy(1, KeyError("plug-in"))
    pager = Pager(channel.send, clock, lambda _: None)
    pager.page([delivery()])
    await clock.advance(1)
    assert channel.sent == ["id-1"]


async def test_a_page_is_given_up_when_it_expires_and_when_it_is_left_to_the_outbox() -> None:
    clock, channel = MovedClock(), Busy(10_000)
    pager = Pager(channel.send, clock, lambda _: None)
    pager.page([delivery("short", ttl_us=10_000_000), delivery("long")])
    await clock.advance(120)
    tried = channel.refusals
    await clock.advance(60)
    assert tried - channel.refusals == 1
    pager.stop()
    tried = channel.refusals
    await clock.advance(600)
    assert channel.refusals == tried


async def test_what_arrived_past_the_outbox_is_settled_and_not_sent_again() -> None:
    clock, channel, store = MovedClock(), Busy(0), DictStore(delivery(), delivery("2"))
    outbox = Outbox(store, channel, ["hook"], clock, Half(), lambda _: None)
    outbox.arrived(delivery())
    outbox.start()
    await clock.advance(1)
    assert channel.sent == ["id-2"]
    assert {each.state for each in store.rows.values()} == {DeliveryState.DELIVERED}
    await outbox.drain(0)


async def test_actions_are_left_to_the_outbox_which_waits_for_the_ledger() -> None:
    clock, channel = MovedClock(), Busy(0)
    pager = Pager(channel.send, clock, lambda _: None)
    actions = [delivery("post", channel="webhook:bot", kind="webhook"), delivery("call", channel="call:a", kind="call")]
    pager.page([*actions, delivery()])
    await clock.advance(1)
    assert channel.sent == ["id-1"]
