"""From a verdict to a delivered message, over the real stores and a real channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from alerts.support import START_US, Half, Hook, MovedClock, channel, policy, serving, transition, verdict

from guard.alerts.manager import AlertManager
from guard.alerts.notification import NotificationHandler
from guard.alerts.outbox import Outbox
from guard.model import Decision
from guard.store import LedgerStore, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guard.model.ports import Store


@pytest.fixture(params=["memory", "ledger"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore(clock=MovedClock())
    return LedgerStore(tmp_path / "ledger.db", clock=MovedClock())


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serving() as served:
        yield served


def decision(manager: AlertManager) -> Decision:
    verdicts, transitions = (verdict(),), (transition(),)
    return Decision(START_US, verdicts, transitions, manager.process(verdicts=verdicts, transitions=transitions, at_us=START_US))


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not is_true():  # noqa: ASYNC110 - the server is in another thread
            await asyncio.sleep(0.005)


async def outbox_of(store: Store, hook: Hook, clock: MovedClock) -> tuple[Outbox, NotificationHandler]:
    handler = NotificationHandler({"slack": f"json://127.0.0.1:{hook.port}"})
    await handler.open()
    return Outbox(store, handler, ["slack"], clock, Half(), lambda _: None), handler


async def stop(outbox: Outbox, clock: MovedClock) -> int:
    drained = asyncio.create_task(outbox.drain(5))
    await asyncio.wait({drained}, timeout=2)
    await clock.advance(6)
    return await drained


async def test_committed_decision_reaches_the_channel_and_is_settled(store: Store, hook: Hook) -> None:
    clock = MovedClock()
    state = await store.open()
    outbox, handler = await outbox_of(store, hook, clock)
    outbox.start()
    await store.commit([decision(AlertManager(policy()))], epoch=state.epoch)
    outbox.wake()
    await until(lambda: len(hook.requests) == 1)
    assert await stop(outbox, clock) == 0
    assert await outbox.counts() == {"slack": {"delivered": 1}}
    assert "exits always pass" in hook.documents[0]["message"]
    await handler.close()
    await store.close()


async def test_same_decision_committed_twice_is_told_once(store: Store, hook: Hook) -> None:
    clock = MovedClock()
    state = await store.open()
    for _ in range(2):
        told = decision(AlertManager(policy()))
        await store.commit([Decision(told.at_us, (), (), told.deliveries)], epoch=state.epoch)
    outbox, handler = await outbox_of(store, hook, clock)
    outbox.start()
    await until(lambda: len(hook.requests) == 1)
    assert await stop(outbox, clock) == 0
    assert len(hook.requests) == 1
    await handler.close()
    await store.close()


async def test_what_was_pending_before_a_restart_is_told_after_it(store: Store, hook: Hook) -> None:
    clock = MovedClock()
    state = await store.open()
    await store.commit([decision(AlertManager(policy()))], epoch=state.epoch)
    await store.close()
    again = await store.open()
    assert len(again.pending) == 1
    manager = AlertManager(policy(channel(daily_max=1)))
    manager.restore((*again.recent_deliveries, *again.pending), again.quarantines)
    outbox, handler = await outbox_of(store, hook, clock)
    outbox.start()
    await until(lambda: len(hook.requests) == 1)
    assert await stop(outbox, clock) == 0
    held = manager.process(verdicts=(), transitions=(transition("Y/USDT"),), at_us=START_US + 9)
    assert [each.kind for each in held] == ["summary"]
    await handler.close()
    await store.close()
