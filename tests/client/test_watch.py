"""Changes reach a bot by themselves: in a thread, in a task, awaited; and nothing that its code does ends that."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest
from client.images import MINUTE, SECOND, START_US, Machine, image, quarantine, view

from guard.client import Guard
from guard.client.clock import MACHINE
from guard.client.watch import Watcher
from guard.model import BotPolicy, Clearance, Market, Mode
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

X, Y = Market("sim", "X/USDT"), Market("sim", "Y/USDT")
PROMISED_NS = 50_000_000


def nothing(*_: object) -> None:
    """Be a callback that does nothing."""


class Live:
    """A guard on the machine's own clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = SystemClock()
        # Long: what collects the garbage of a whole suite may take seconds.
        self.publisher = SnapshotPublisher(folder, self.clock, lease_ns=60_000 * SECOND)
        self.path = folder / "guard.snapshot"
        self.seq = 0

    def publish(self, *held: object) -> int:
        self.seq += 1
        self.publisher.publish(image(*held), epoch=1, seq=self.seq, durable=True)  # type: ignore[arg-type]
        self.publisher.beat()
        return MACHINE.boot_ns()

    def block(self, for_s: float = 60.0) -> int:
        return self.publish(quarantine(until_us=self.clock.now_us() + round(for_s * SECOND)))


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    found = Live(tmp_path)
    yield found
    found.publisher.stop()


class Told:
    """Notes calls, and lets a test wait for the next one."""

    def __init__(self) -> None:
        self.calls: list[tuple[Market, Clearance, int]] = []
        self._arrived = threading.Semaphore(0)

    def __call__(self, market: Market, clearance: Clearance) -> None:
        self.calls.append((market, clearance, MACHINE.boot_ns()))
        self._arrived.release()

    def wait(self) -> tuple[Market, Clearance, int]:
        assert self._arrived.acquire(timeout=5)
        return self.calls[-1]


def test_thread_is_told_of_a_block_within_fifty_milliseconds(live: Live) -> None:
    live.publish()
    told = Told()
    watch = Guard(live.path).on_change(["sim:X/USDT", "sim:Y/USDT"], told)
    delays = []
    for turn in range(20):
        began_ns = live.block() if turn % 2 == 0 else live.publish()
        market, clearance, at_ns = told.wait()
        assert (market, clearance.permitted) == (X, turn % 2 == 1)
        delays.append(at_ns - began_ns)
    watch.close()
    # The best half: what a busy machine adds is its own.
    assert sorted(delays)[10] <= PROMISED_NS
    assert (watch.calls, watch.failures, watch.is_alive) == (20, 0, False)


def test_thread_is_told_at_once_what_is_held_when_it_begins(live: Live) -> None:
    live.block()
    told = Told()
    watch = Guard(live.path).on_change([X, Y], told)
    assert told.wait()[0] == X
    watch.close()
    assert len(told.calls) == 1


def test_stopped_guard_is_told_for_every_market_and_so_is_its_return(live: Live) -> None:
    live.publish()
    told = Told()
    watch = Guard(live.path).on_change([X, Y], told)
    live.publisher.stop()
    told.wait()
    told.wait()
    assert {market for market, _, _ in told.calls} == {X, Y}
    assert {clearance.reason for _, clearance, _ in told.calls} == {"guard_silent"}
    live.publisher = SnapshotPublisher(live.path.parent, live.clock)
    live.publish()
    told.wait()
    told.wait()
    assert [clearance.permitted for _, clearance, _ in told.calls[2:]] == [True, True]
    watch.close()


def test_callback_that_raises_is_counted_and_called_again(live: Live) -> None:
    live.publish()
    arrived = threading.Semaphore(0)

    def fails(market: Market, clearance: Clearance) -> None:
        del market, clearance
        arrived.release()
        raise RuntimeError("no exchange")

    watch = Guard(live.path).on_change([X], fails)
    live.block()
    assert arrived.acquire(timeout=5)
    live.publish()
    assert arrived.acquire(timeout=5)
    watch.close()
    for _ in range(100):
        if watch.failures == 2:
            break
        threading.Event().wait(0.01)
    assert (watch.calls, watch.failures, str(watch.last_error)) == (2, 2, "no exchange")


async def test_task_awaits_an_asynchronous_callback_and_coalesces_what_it_misses(live: Live) -> None:
    live.publish()
    seen: list[bool] = []
    entered, may_go = asyncio.Event(), asyncio.Event()

    async def pull(market: Market, clearance: Clearance) -> None:
        assert market == X
        seen.append(clearance.permitted)
        entered.set()
        await may_go.wait()

    before = threading.active_count()
    watch = Guard(live.path).on_change([X], pull)
    assert threading.active_count() == before
    live.block()
    await asyncio.wait_for(entered.wait(), 5)
    for _ in range(10):
        live.publish()
        live.block()
    live.publish()
    entered.clear()
    may_go.set()
    await asyncio.wait_for(entered.wait(), 5)
    assert seen == [False, True]
    watch.close()


async def test_change_can_be_awaited_and_ends_with_its_time(live: Live) -> None:
    live.publish()
    guard = Guard(live.path)
    assert await guard.wait_change([X], timeout_s=0.05) == ()
    waiting = asyncio.ensure_future(guard.wait_change([X, Y]))
    await asyncio.sleep(0.03)
    live.block()
    ((market, clearance),) = await asyncio.wait_for(waiting, 5)
    assert (market, clearance.permitted) == (X, False)


async def test_changes_are_an_iterator_over_all_that_is_watched(live: Live) -> None:
    live.block()
    found = []
    async for changed in Guard(live.path).changes():
        found.append({market: clearance.permitted for market, clearance in changed})
        if len(found) == 2:
            break
        live.publish(quarantine("sim:Y/USDT", until_us=live.clock.now_us() + MINUTE))
    assert found == [{X: False}, {X: True, Y: False}]


def test_watch_says_that_a_fork_has_ended_it(live: Live) -> None:
    live.publish()
    guard = Guard(live.path)
    watch = guard.on_change([X], nothing)
    assert guard.problem is None
    child = os.fork()
    if child == 0:
        os._exit(0 if "fork" in str(guard.problem) and guard.check("sim", "X/USDT").permitted else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    watch.close()


@pytest.mark.parametrize("markets", ["sim:X/USDT", ["X/USDT"], [f"sim:{number}/USDT" for number in range(10_001)]])
def test_markets_that_are_none_or_too_many_are_refused_at_once(live: Live, markets: object) -> None:
    with pytest.raises(ValueError, match=r"exchange:SYMBOL|at most"):
        Guard(live.path).on_change(markets, nothing)  # type: ignore[arg-type]


def test_end_of_a_block_silence_and_policy_are_changes_and_a_heartbeat_is_none(machine: Machine) -> None:
    machine.publish(image(quarantine(until_us=START_US + 60 * SECOND), bots={"b": BotPolicy(mode=Mode.OBSERVE)}))
    watcher = Watcher(machine.guard(), ["sim:X/USDT", "sim:Y/USDT"])
    assert [market for market, _ in watcher.changed(is_first=True)] == [X]
    for _ in range(20):
        machine.pass_time(1)
        machine.publish(image(quarantine(until_us=START_US + 60 * SECOND), bots={"b": BotPolicy(mode=Mode.OBSERVE)}))
        assert watcher.changed() == ()
    machine.pass_time(40.1)
    assert [(market, found.permitted) for market, found in watcher.changed()] == [(X, True)]
    machine.pass_time(2.1, beats=False)
    assert {market: found.reason for market, found in watcher.changed()} == {X: "guard_silent", Y: "guard_silent"}
    assert watcher.changed() == ()
    machine.publisher.beat()
    assert [found.permitted for _, found in watcher.changed()] == [True, True]
    machine.publish(image(markets={"sim:X/USDT": view("stale"), "sim:Y/USDT": view()}))
    assert [(market, found.reason) for market, found in watcher.changed()] == [(X, "feed_stale")]
    machine.publisher.path.unlink()
    machine.clock.pass_time(0.6)
    for _ in range(10):
        found = watcher.changed()
        if found:
            break
    assert {each.reason for _, each in found} == {"guard_silent"}
