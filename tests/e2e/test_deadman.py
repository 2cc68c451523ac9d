"""A real guard that is stopped and killed: what bots read, how fast, and what a watcher tells through real Apprise."""

from __future__ import annotations

import signal
import statistics
import time
from typing import TYPE_CHECKING

import pytest
from bench.bench_commit import BAR_MS, measured_ms
from e2e.world import World

from guard.alerts.notification import NotificationHandler
from guard.client import Guard
from guard.dsl.deadman import load_deadman
from guard.runtime.clock import SystemClock
from guard.runtime.deadman_run import Deadman
from guard.runtime.proof import read_heartbeat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WATCHER = "version: 1\nwatch: {{home: {{state: .guard}}}}\nchannels: {{people: {{url: 'json://127.0.0.1:{port}/people'}}}}\n"


class LaterClock(SystemClock):
    """The machine's clock, some seconds ahead: a minute of silence need not be waited for."""

    ahead_us = 0

    def monotonic_us(self) -> int:
        return super().monotonic_us() + self.ahead_us


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.channel.is_down = False
    yield world
    if world.process is not None and world.process.poll() is None:
        world.process.send_signal(signal.SIGCONT)
    world.close()


def _silent_after_s(bot: Guard) -> float:
    """Return how long it takes until a market without a block is unknown."""
    began = time.monotonic()
    while bot.check("sim", "SOL/USDT", "buy").reason != "guard_silent":
        assert time.monotonic() - began < 10
        time.sleep(0.005)
    return time.monotonic() - began


async def test_stopped_and_killed_guards_are_unknown_in_time_and_told_by_the_watcher(world: World) -> None:
    world.start()
    file = world.state / "snapshot" / "heartbeat"
    world.wait("the first proof", lambda: file.exists() and read_heartbeat(file).proved_us, within_s=90)
    for base in ("ETH", "MOON"):
        assert world.guard("quarantine", "add", f"base:{base}", "--for", "10m", "--reason", "test")[0] == 0
    bot = Guard(world.state)
    (world.folder / "deadman.yaml").write_text(WATCHER.format(port=world.channel.port))
    config = load_deadman(world.folder / "deadman.yaml", {})
    clock, phone = LaterClock(), NotificationHandler({name: each.url.get_secret_value() for name, each in config.channels.items()})
    watcher = Deadman(config, phone, clock)
    assert await watcher.look()
    assert world.process is not None

    world.process.send_signal(signal.SIGSTOP)
    assert _silent_after_s(bot) <= 2.5
    assert bot.check("sim", "ETH/USDT", "buy").status == "blocked"
    clock.ahead_us = 70_000_000
    assert not await watcher.look()
    assert [title for title in world.channel.titles if "no heartbeat" in title]
    world.process.send_signal(signal.SIGCONT)
    clock.ahead_us = 0
    world.wait("an answer", lambda: bot.check("sim", "SOL/USDT", "buy").reason != "guard_silent", within_s=10)
    world.wait("a proof", lambda: "running" in str(read_heartbeat(file).state), within_s=10)
    assert await watcher.look()
    assert [title for title in world.channel.titles if "is back" in title]

    world.kill()
    assert _silent_after_s(bot) <= 2.5
    assert bot.check("sim", "ETH/USDT", "buy").status == "blocked"
    assert bot.check("sim", "ETH/USDT", "sell").permitted
    clock.ahead_us = 70_000_000
    assert not await watcher.look()
    await phone.close()
    code, found = world.guard("deadman", "--once")
    assert (code, found["guards"]["home"]["silent"]) == (0, False)


async def test_a_commit_is_read_by_another_process_within_50_ms() -> None:
    found = sorted(await measured_ms(40))
    # The bar is the p99 of 300 rounds (`tests/bench/bench_commit.py`); of 40, on a machine that does other things, the median.
    assert statistics.median(found) < BAR_MS
