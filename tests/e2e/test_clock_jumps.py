"""A real guard under a wall clock that jumps by a day: while it runs, while it stands still, and between two runs."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from e2e.world import World

from guard.client.clock import MACHINE
from guard.client.snapshot import read_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
pytestmark = pytest.mark.skipif(FAKETIME is None, reason="libfaketime is not installed")
LISTS = "lists:\n  mine: {path: mine.txt, every: 30s, ttl: 20m}\n"


class JumpingWorld(World):
    """A world whose guard reads a wall clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.wall = folder / "wall"
        self.set_wall("+0")
        (folder / "mine.txt").write_text("base:LISTED\n")
        with (folder / "guard.yaml").open("a") as file:
            file.write(LISTS)

    def set_wall(self, offset: str) -> None:
        self.wall.write_text(offset)

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.wall),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def ends_s(self) -> dict[str, float]:
        """Return when each block ends, on the boot clock: what a bot makes of it."""
        snapshot = read_snapshot(str(self.state / "snapshot" / "guard.snapshot"))
        if snapshot is None:
            return {}
        return {str(block.target): snapshot.boot_ns / 1e9 + (block.until_us - snapshot.wall_us) / 1e6 for block in snapshot.blocks}

    def published_since(self, moment_s: float) -> bool:
        snapshot = read_snapshot(str(self.state / "snapshot" / "guard.snapshot"))
        return snapshot is not None and snapshot.boot_ns / 1e9 > moment_s

    def next_ends_s(self) -> dict[str, float]:
        now_s = MACHINE.boot_ns() / 1e9
        self.wait("a publication", lambda: self.published_since(now_s + 1.0), within_s=30)
        return self.ends_s()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[JumpingWorld]:
    world = JumpingWorld(tmp_path)
    yield world
    if world.process is not None and world.process.poll() is None:
        world.process.send_signal(signal.SIGCONT)
    world.close()


def test_no_jump_of_the_wall_clock_changes_a_remaining_time(world: JumpingWorld) -> None:
    world.start()
    world.wait("the list", lambda: (world.state / "operator.sock").exists() and "base:LISTED" in world.ends_s(), within_s=60)
    assert world.guard("quarantine", "add", "base:HELD", "--for", "10m", "--reason", "test")[0] == 0
    assert world.guard("bypass", "--for", "10m", "--reason", "test")[0] == 0
    before = world.next_ends_s()
    assert set(before) >= {"base:LISTED", "base:HELD"}

    def unchanged() -> bool:
        after = world.next_ends_s()
        return all(abs(after[target] - end_s) < 1.0 for target, end_s in before.items())

    world.set_wall("+1d")
    assert unchanged()

    assert world.process is not None
    world.process.send_signal(signal.SIGSTOP)
    world.set_wall("-1d")
    time.sleep(0.2)
    world.process.send_signal(signal.SIGCONT)
    assert unchanged()

    world.kill()
    world.set_wall("+1d")
    world.start()
    assert unchanged()
    world.wait("an answer", lambda: world.guard("status")[0] == 0, within_s=60)
    bypass = world.guard("status")[1]["bypass"]
    assert bypass is not None
    causes = [row["cause"] for row in world.guard("quarantine", "history", "base:HELD")[1]["history"]]
    assert causes.count("clock") == 1
