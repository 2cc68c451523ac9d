"""Damaged, foreign, replaced and deleted files: never an exception, never a crash, always a sentence that helps."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from client.images import Machine, image, quarantine

from guard.client import ClearanceStatus
from guard.client.layout import HEADER_BYTES, VERSION, Word
from guard.client.snapshot import Mapping, SnapshotUnusable, read_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.client import Guard


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def word(place: Word, value: int) -> Callable[[Path], None]:
    return lambda path: overwrite(path, 8 * place, struct.pack("=Q", value))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "deleted": (lambda path: path.unlink(), "start `guard run`"),
    "empty": (lambda path: os.truncate(path, 0), "0 bytes"),
    "header only": (lambda path: os.truncate(path, HEADER_BYTES), "4096 bytes"),
    "half": (lambda path: os.truncate(path, 300_000), "300000 bytes"),
    "another file": (lambda path: path.write_bytes(b"hello" * 200_000), "not a snapshot of guard"),
    "newer layout": (word(Word.VERSION, VERSION + 1), "in the environment of the bot"),
    "ancient layout": (word(Word.VERSION, 0), "where guard runs"),
    "absurd slots": (word(Word.SLOT_BYTES, 1 << 62), "bytes"),
    "flipped bits": (lambda path: overwrite(path, HEADER_BYTES + 256 * 1024 + 20, b"\xff"), "checksum"),
    "wild generation": (word(Word.GENERATION, (1 << 64) - 1), "checksum"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), ""),
    "pipe": (lambda path: (path.unlink(), os.mkfifo(path)), ""),
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, machine: Machine) -> str:
    machine.publish(image(quarantine()))
    machine.publisher.stop()
    damage, sentence = DAMAGES[request.param]
    damage(machine.publisher.path)
    return sentence


def test_bot_that_starts_on_a_damaged_file_is_told_how_to_mend_it(machine: Machine, damaged: str) -> None:
    guard = machine.guard()
    assert guard.check("sim", "Y/USDT")[:4] == (ClearanceStatus.UNKNOWN, False, True, "guard_silent")
    assert damaged in str(guard.problem)
    assert str(machine.folder) in str(guard.problem)
    assert re.search(r"`(guard (run|status|client vendor)|pip install --upgrade trading-guard)`", str(guard.problem)), guard.problem


@pytest.mark.usefixtures("damaged")
def test_next_guard_makes_any_damaged_file_whole_for_a_bot_that_waits(machine: Machine) -> None:
    if machine.publisher.path.is_dir():
        machine.publisher.path.rmdir()
    guard = machine.guard()
    assert guard.check("sim", "Y/USDT").reason == "guard_silent"
    machine.publisher = machine.writer()
    machine.publish(image(quarantine()))
    machine.clock.pass_time(0.06)
    machine.publisher.beat()
    assert guard.check("sim", "Y/USDT").permitted
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "another file"])
def test_bot_that_had_read_a_block_keeps_it_whatever_happens_to_the_file(machine: Machine, name: str) -> None:
    machine.publish(image(quarantine()))
    guard = machine.guard()
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    assert guard.check("sim", "Y/USDT").permitted
    machine.clock.pass_time(3)
    DAMAGES[name][0](machine.publisher.path)
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    assert guard.check("sim", "Y/USDT").reason == "guard_silent"


@pytest.mark.parametrize("name", ["deleted", "empty", "header only", "half"])
def test_live_guard_writes_a_lost_file_anew_and_its_bots_find_it(machine: Machine, name: str) -> None:
    machine.publish(image(quarantine()))
    guards = [machine.guard(), machine.guard()]
    assert guards[0].check("sim", "Y/USDT").permitted
    DAMAGES[name][0](machine.publisher.path)
    for _ in range(4):
        machine.pass_time(0.25)
        for guard in guards:
            assert guard.check("sim", "X/USDT", "buy").permitted is False
    assert all(guard.check("sim", "Y/USDT").status is ClearanceStatus.ALLOWED for guard in guards)
    assert all(guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED for guard in guards)


def test_unreadable_file_names_the_reason(machine: Machine) -> None:
    machine.publish(image())
    machine.publisher.path.chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    assert "Permission denied" in str(machine.guard().problem)


def test_reader_maps_the_file_read_only(machine: Machine) -> None:
    machine.publish(image())
    words = Mapping(str(machine.publisher.path)).words
    with pytest.raises(TypeError, match="read-only"):
        words[Word.GENERATION] = 9


def test_reader_lets_go_of_its_descriptors(machine: Machine) -> None:
    machine.publish(image())
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        guard: Guard | None = machine.guard()
        assert guard is not None
        guard.check("sim", "X/USDT")
        guard = None
        with pytest.raises(SnapshotUnusable):
            read_snapshot(str(machine.folder / "none.snapshot"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_forked_bot_goes_on_checking(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    guard = machine.guard()
    guard.check("sim", "X/USDT")
    child = os.fork()
    if child == 0:
        os._exit(0 if guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_answers_of_a_file_do_not_outlive_it_even_where_the_next_one_counts_alike(machine: Machine) -> None:
    machine.publish(image())
    guard = machine.guard()
    assert guard.check("sim", "X/USDT").permitted
    machine.publisher.path.unlink()
    other = machine.writer()
    other.publish(image(quarantine()), epoch=8, seq=1, durable=True)
    assert other.generation == machine.publisher.generation
    for _ in range(3):
        machine.clock.pass_time(0.25)
        other.beat()
    assert guard.check("sim", "Y/USDT").permitted
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    other.stop()
