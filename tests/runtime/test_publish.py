"""The writer of the snapshot: with real second processes that are killed or race it."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from client.images import START_US, Machine, ManualClock, image, quarantine, view

from guard.client import ClearanceStatus, Guard
from guard.client.clock import MACHINE
from guard.client.layout import LEASE_NS, SLOT_BYTES_MAX, Word
from guard.client.snapshot import Mapping, read_snapshot
from guard.errors import StateError
from guard.model import IsolationState, MarketView
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.model import Image

# Publishes as fast as it can; the payload of generation n names n in every market, so that a torn read would show.
WRITER = """
import sys
from client.images import image, quarantine, view
from guard.model import MarketView
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

clock = SystemClock()
publisher = SnapshotPublisher(sys.argv[1], clock)
seq = 0
until_us = clock.now_us() + 3_600_000_000
while seq < int(sys.argv[2]):
    seq += 1
    markets = {f"sim:{n}/USDT": MarketView("ok", "normal", None, seq, seq) for n in range(1 + seq % 50)}
    held = quarantine(until_us=until_us)
    publisher.publish(image(held, markets=markets), epoch=1, seq=seq, durable=True)
    publisher.beat()
    if seq == 1:
        print("live", flush=True)
if len(sys.argv) > 3:
    while True:
        publisher.beat()
        clock_s = 0.05
        __import__("time").sleep(clock_s)
"""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    built = Machine(tmp_path)
    yield built
    built.publisher.stop()


def start_writer(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WRITER, str(folder), *arguments]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "live\n"
    return writer


def test_reader_in_another_process_never_sees_a_torn_or_older_state(tmp_path: Path) -> None:
    with start_writer(tmp_path, "6000") as writer:
        mapping = Mapping(str(tmp_path / "guard.snapshot"))
        newest = reads = 0
        while writer.poll() is None:
            generation, snapshot = mapping.whole()
            assert snapshot is not None
            assert {found[3] for found in snapshot.markets.values()} == {snapshot.seq}
            assert len(snapshot.markets) == 1 + snapshot.seq % 50
            assert generation == snapshot.seq >= newest
            newest = snapshot.seq
            reads += 1
    assert writer.returncode == 0
    assert reads > 100


def test_killed_guard_leaves_blocked_blocked_and_the_rest_unknown_once_its_lease_is_over(tmp_path: Path) -> None:
    writer = start_writer(tmp_path, "1", "stay")
    guard = Guard(tmp_path / "guard.snapshot")
    assert guard.check("sim", "0/USDT").status is ClearanceStatus.ALLOWED
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    # A bot that asks when the lease of the last beat is over, whenever that was.
    later = MACHINE._replace(boot_ns=lambda: MACHINE.boot_ns() + LEASE_NS)
    asked = Guard(tmp_path / "guard.snapshot", clocks=later)
    assert asked.check("sim", "0/USDT")[:4] == (ClearanceStatus.UNKNOWN, False, True, "guard_silent")
    for each in (guard, asked, Guard(tmp_path / "guard.snapshot")):
        assert each.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED


@pytest.mark.parametrize("kill", range(12))
def test_guard_killed_at_any_moment_of_publishing_leaves_a_whole_state(tmp_path: Path, kill: int) -> None:
    writer = start_writer(tmp_path, "1000000")
    time.sleep(0.003 * kill)
    writer.kill()
    writer.communicate()
    generation, snapshot = Mapping(str(tmp_path / "guard.snapshot")).load()
    assert snapshot is not None
    assert (snapshot.seq, len(snapshot.blocks)) == (generation, 1)
    clock = SystemClock()
    following = SnapshotPublisher(tmp_path, clock)
    guard = Guard(tmp_path / "guard.snapshot")
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    following.publish(image(markets={"sim:X/USDT": view()}), epoch=2, seq=1, durable=True)
    following.beat()
    assert guard.check("sim", "X/USDT")[:2] == (ClearanceStatus.ALLOWED, True)
    following.stop()


def test_next_guard_keeps_the_blocks_of_the_one_before_until_its_first_publication(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    guard = machine.guard()
    assert guard.check("sim", "Y/USDT").permitted
    machine.clock.pass_time(3)
    following = machine.writer()
    following.beat()
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    assert guard.check("sim", "Y/USDT").reason == "guard_silent"
    following.publish(image(quarantine("sim:Y/USDT")), epoch=8, seq=1, durable=True)
    assert guard.check("sim", "X/USDT").reason == "guard_silent"
    following.beat()
    assert guard.check("sim", "X/USDT").permitted
    assert guard.check("sim", "Y/USDT").status is ClearanceStatus.BLOCKED
    assert following.generation == 2
    following.stop()


def test_heartbeat_of_a_guard_killed_a_moment_ago_says_nothing_for_the_next(machine: Machine) -> None:
    machine.publish(image())
    following = machine.writer()
    following.publish(image(), epoch=8, seq=1, durable=True)
    assert machine.guard().check("sim", "X/USDT").reason == "guard_silent"
    following.stop()


def test_publication_alone_proves_no_life(machine: Machine) -> None:
    machine.publish(image())
    guard = machine.guard()
    for _ in range(10):
        machine.clock.pass_time(0.25)
        machine.publisher.publish(image(), epoch=7, seq=1, durable=True)
    assert guard.check("sim", "X/USDT").reason == "guard_silent"


def many(count: int) -> Image:
    return image(quarantine(), markets={f"sim:M{number}/USDT": MarketView("ok", "normal", 0.5, 3, 3) for number in range(count)})


def test_state_that_outgrows_the_file_moves_to_a_larger_one_without_a_gap(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    guard = machine.guard()
    size = machine.publisher.path.stat().st_size
    for count in (10, 9000, 30_000, 10):
        machine.publish(many(count))
        clearance = guard.check("sim", f"M{count - 1}/USDT")
        assert (clearance.status, clearance.seq) == (ClearanceStatus.ALLOWED, machine.seq)
        assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
        machine.clock.pass_time(0.01)
    assert machine.publisher.path.stat().st_size > size
    assert [path.name for path in machine.publisher.path.parent.iterdir()] == ["guard.snapshot"]


def test_state_beyond_all_bounds_is_refused_and_bots_keep_the_one_before(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    huge = image(quarantine(reason="x" * SLOT_BYTES_MAX))
    with pytest.raises(StateError, match="watch fewer markets"):
        machine.publish(huge)
    machine.publisher.beat()
    assert machine.guard().check("sim", "X/USDT").status is ClearanceStatus.BLOCKED


def test_second_writer_in_the_same_file_stops_the_first(machine: Machine) -> None:
    machine.publish(image())
    other = machine.writer()
    other.publish(image(quarantine()), epoch=8, seq=1, durable=True)
    with pytest.raises(StateError, match="another guard"):
        machine.publish(image())
    assert machine.guard().check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    other.stop()


def test_second_writer_with_its_own_file_stops_the_first(machine: Machine) -> None:
    machine.publish(image())
    machine.publisher.path.unlink()
    other = machine.writer()
    other.publish(image(quarantine()), epoch=8, seq=1, durable=True)
    with pytest.raises(StateError, match="another guard"):
        machine.publisher.beat()
    machine.publisher.stop()
    other.beat()
    assert machine.guard().check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    assert machine.guard().check("sim", "Y/USDT").permitted
    other.stop()


def test_file_is_for_owner_and_group_only_whatever_the_umask(machine: Machine) -> None:
    umask = os.umask(0)
    try:
        machine.publish(image())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(machine.publisher.path.stat().st_mode) == 0o640


def test_file_is_given_to_the_named_group(tmp_path: Path) -> None:
    publisher = SnapshotPublisher(tmp_path, ManualClock(), group=os.getgid())
    publisher.publish(image(), epoch=1, seq=1, durable=True)
    assert publisher.path.stat().st_gid == os.getgid()
    publisher.stop()
    nowhere = SnapshotPublisher(tmp_path / "nowhere", ManualClock(), group="no-such-group")
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(StateError, match="no-such-group"):
        nowhere.publish(image(), epoch=1, seq=1, durable=True)


def test_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    publisher = SnapshotPublisher(tmp_path / "none", ManualClock())
    with pytest.raises(StateError, match="cannot be made"):
        publisher.publish(image(), epoch=1, seq=1, durable=True)


def test_disk_is_taken_when_the_file_is_made_so_that_a_full_disk_stops_no_publication(machine: Machine) -> None:
    machine.publish(image())
    status = machine.publisher.path.stat()
    assert status.st_blocks * 512 >= status.st_size


def test_stop_twice_and_before_anything_is_harmless(tmp_path: Path) -> None:
    publisher = SnapshotPublisher(tmp_path, ManualClock())
    publisher.stop()
    publisher.beat()
    publisher.stop()
    assert list(tmp_path.iterdir()) == []


def test_guard_that_never_published_does_not_stop_what_another_left(machine: Machine) -> None:
    machine.publish(image(quarantine(state=IsolationState.PROBATION, until_us=START_US + 1)))
    words = Mapping(str(machine.publisher.path)).words
    before = bytes(words[: Word.SLOTS])
    machine.writer().stop()
    assert bytes(words[: Word.SLOTS]) == before


def test_folder_deleted_while_guard_runs_is_made_again(machine: Machine) -> None:
    machine.publish(image())
    before = read_snapshot(str(machine.publisher.path))
    shutil.rmtree(machine.publisher.path.parent)
    machine.publisher.beat()
    assert machine.publisher.path.parent.stat().st_mode & 0o777 == 0o750
    assert read_snapshot(str(machine.publisher.path)) == before
