"""Damage anywhere, many threads, a second copy of the client: no exception, no open door, no older answer."""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from client.images import BOOT_ID, START_US, Machine, image, quarantine, view
from hypothesis import given
from hypothesis import strategies as st

from guard.client import ClearanceStatus, Guard
from guard.client.layout import HEADER_BYTES, PACKED
from guard.client.packing import PackedMarkets, bucket_rows, split
from guard.client.payload import decode, encode
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.publish import SnapshotPublisher
from guard.runtime.vendoring import vendored

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WRITING = {"epoch": 3, "seq": 9, "durable": True, "wall_us": START_US, "boot_ns": 5, "boot_id": BOOT_ID}
PAYLOAD = encode(image(quarantine(), markets={f"sim:M{number}/USDT": view() for number in range(40)}), **WRITING)


@given(st.lists(st.tuples(st.integers(0, len(PAYLOAD) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_are_read_or_refused_with_value_error(changes: list[tuple[int, int]]) -> None:
    payload = bytearray(PAYLOAD)
    for at, value in changes:
        payload[at] = value
    try:
        dict(decode(bytes(payload)).markets)
    except ValueError:
        return


@given(st.binary(max_size=300))
def test_bytes_after_the_mark_are_refused_with_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its texts
        dict(decode(PACKED + content).markets)


@given(
    st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"a":1}', b'{"a":["ok","normal",0.1,1]}', b'{"a":["ok",1,0,1,1]}'])
)
def test_bucket_that_guard_would_not_write_is_refused_with_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its texts
        bucket_rows(content)


def test_index_that_points_outside_is_refused() -> None:
    frame = split(PAYLOAD[: int.from_bytes(PAYLOAD[4:8], "little")])
    outside = frame._replace(buckets=struct.pack("<III", 0xFFFFFF00, 0xFFFFFFFF, 0))
    with pytest.raises(ValueError, match="checksum"):
        dict(PackedMarkets(outside, lambda at, length: PAYLOAD[at : at + length], {}))


def test_no_damage_of_the_file_opens_a_door_or_raises(machine: Machine) -> None:
    markets = {f"sim:{name}/USDT": view() for name in ("X", "Y", *map(str, range(60)))}
    machine.publish(image(markets=markets))
    machine.publish(image(quarantine(), markets=markets))
    whole = machine.publisher.path.read_bytes()
    chance = seeded_random(7)

    def pick(values: Sequence[int]) -> int:
        return values[int(chance.random() * len(values))]

    used = [*range(200), *range(HEADER_BYTES, HEADER_BYTES + 6000), *range(HEADER_BYTES + 262144, HEADER_BYTES + 262144 + 6000)]
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(pick([1, 1, 2, 30])):
            damaged[pick(used)] ^= 1 << pick(range(8))
        machine.publisher.path.write_bytes(damaged[: pick([len(whole), len(whole), pick(range(len(whole)))])])
        guard = machine.guard()
        for market in ("X/USDT", "Y/USDT", "3/USDT", "none/USDT"):
            clearance = guard.check("sim", market)
            assert market != "X/USDT" or not clearance.permitted
        assert guard.check("sim", "X/USDT", intent="close").permitted
        guard.blocks()
    machine.publisher.path.write_bytes(whole)


def test_file_that_is_damaged_while_it_is_read_keeps_its_blocks(machine: Machine) -> None:
    markets = {f"sim:{name}/USDT": view() for name in ("X", *map(str, range(60)))}
    machine.publish(image(quarantine(), markets=markets))
    guard = machine.guard()
    assert guard.check("sim", "0/USDT").permitted
    size = machine.publisher.path.stat().st_size
    with machine.publisher.path.open("r+b") as file:
        file.seek(HEADER_BYTES + 262144 + 400)
        file.write(b"\xff" * 8000)
    machine.clock.pass_time(0.002)
    assert machine.publisher.path.stat().st_size == size
    seen = {market: guard.check("sim", f"{market}/USDT") for market in range(1, 60)}
    refused = [clearance for clearance in seen.values() if not clearance.permitted]
    # What had been read before, sound, stays good until guard publishes again.
    assert len(refused) > 20
    assert {clearance.reason for clearance in refused} == {"guard_silent"}
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    assert "checksum" in str(guard.problem)


def test_threads_never_see_less_than_was_published_before_they_asked(tmp_path: Path) -> None:
    publisher = SnapshotPublisher(tmp_path, SystemClock())
    latest = [0]
    clock = SystemClock()
    later = clock.now_us() + 10**9

    def publish() -> None:
        number = latest[0] + 1
        held = (quarantine(until_us=later),) if number % 2 else ()
        publisher.publish(image(*held), epoch=1, seq=number, durable=True)
        publisher.beat()
        latest[0] = number

    publish()
    guard = Guard(tmp_path)
    wrong: list[object] = []
    asked = [0] * 4

    def ask(number: int) -> None:
        while latest[0] < 600:
            least = latest[0]
            clearance = guard.check("sim", "X/USDT")
            is_blocked = clearance.status is ClearanceStatus.BLOCKED
            if clearance.seq < least or is_blocked != bool(clearance.seq % 2):
                wrong.append((least, clearance))
            asked[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while latest[0] < 600:
        publish()
    for thread in threads:
        thread.join(20)
    publisher.stop()
    assert wrong == []
    assert min(asked) > 0


def test_installed_client_and_a_vendored_one_stand_side_by_side(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "guard_client.py").write_text(vendored(), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("guard_client_beside", tmp_path / "guard_client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["guard_client_beside"] = module
    try:
        spec.loader.exec_module(module)
        machine.publish(image(quarantine()))
        theirs = module.Guard(machine.folder, tells=False, clocks=machine.clock.clocks())
        assert theirs.check("sim", "X/USDT").status == "blocked"
        assert machine.guard().check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    finally:
        del sys.modules["guard_client_beside"]


def test_question_costs_the_same_reads_among_ten_thousand_markets(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_read = []
    real = os.pread

    def counted(file: int, size: int, at: int) -> bytes:
        found = real(file, size, at)
        bytes_read.append(len(found))
        return found

    for count in (100, 10_000):
        machine.publish(image(markets={f"sim:M{number}/USDT": view() for number in range(count)}))
        guard = machine.guard()
        monkeypatch.setattr(os, "pread", counted)
        bytes_read.clear()
        assert guard.check("sim", "M7/USDT").permitted
        assert len(bytes_read) <= 3
        assert sum(bytes_read) < 34_000
        monkeypatch.undo()
