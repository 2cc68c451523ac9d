"""The file format by a reader that knows the page alone, and the examples of the pages as a person starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from client.images import BOOT_ID, Machine, image, quarantine, view

from guard.client.layout import VERSION
from guard.model import Block, IsolationState, TargetKind
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
READER = ROOT / "docs" / "examples" / "file_format" / "read_snapshot.py"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    built = Machine(tmp_path)
    yield built
    built.publisher.stop()


def reader(file: Path, market: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", str(READER), str(file), market], capture_output=True, text=True, check=False)


def read(machine: Machine, market: str) -> dict[str, Any]:
    done = reader(machine.folder / "snapshot" / "guard.snapshot", market)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_page_describes_the_layout_that_guard_writes() -> None:
    assert f"**layout {VERSION}**" in (ROOT / "docs" / "file-format.md").read_text(encoding="utf-8")
    assert "import guard" not in READER.read_text(encoding="utf-8")


def test_reader_that_knows_the_page_alone_finds_markets_and_blocks(machine: Machine) -> None:
    many = {f"sim:C{number}/USDT": view() for number in range(100)} | {
        "sim:X/USDT": view("stale", "danger"),
        "sim:ünï/USDT": view(),
    }
    held = (
        quarantine(),
        quarantine("X", kind=TargetKind.BASE, identity="b" * 12, state=IsolationState.PROBATION, block=Block.SHRINK),
        quarantine("other", kind=TargetKind.EXCHANGE, identity="c" * 12),
    )
    for _ in range(3):
        machine.publish(image(*held, markets=many))
    found = read(machine, "sim:X/USDT")
    assert (found["mode"], found["epoch"], found["seq"], found["durable"], found["running"]) == ("enforce", 7, 3, True, True)
    assert found["market"][:2] == ["stale", "danger"]
    assert [(block["id"], block["block"]) for block in found["blocks"]] == [("aabbccddeeff", "entries"), ("b" * 12, "shrink")]
    assert read(machine, "sim:ünï/USDT")["market"][3:5] == [3, 4]
    assert (read(machine, "sim:NONE/USDT")["market"], read(machine, "sim:NONE/USDT")["blocks"]) == (None, [])
    assert [block["id"] for block in read(machine, "other:A/USDT")["blocks"]] == ["c" * 12]


def test_reader_tells_a_live_guard_from_a_silent_one(machine: Machine, tmp_path: Path) -> None:
    machine.publish(image())
    assert read(machine, "sim:X/USDT")["fresh"] is False, "the clock of that test is not the machine's"
    folder = tmp_path / "live"
    folder.mkdir()
    publisher = SnapshotPublisher(folder, SystemClock(), boot_id=BOOT_ID)
    publisher.publish(image(), epoch=1, seq=1, durable=True)
    publisher.beat()
    assert json.loads(reader(folder / "guard.snapshot", "sim:X/USDT").stdout)["fresh"] is True
    publisher.stop()
    assert json.loads(reader(folder / "guard.snapshot", "sim:X/USDT").stdout)["fresh"] is False


def test_reader_refuses_a_damaged_file(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    file = machine.folder / "snapshot" / "guard.snapshot"
    whole = file.read_bytes()
    damaged = machine.folder / "damaged"
    for at in (0, 8, whole.find(b"GRD2") + 70):
        raw = bytearray(whole)
        raw[at] ^= 1
        damaged.write_bytes(raw)
        done = reader(damaged, "sim:X/USDT")
        assert done.returncode == 1, at
        assert "layout" in done.stderr or "damaged" in done.stderr


def test_example_of_a_ccxt_bot_sends_the_exit_and_not_the_entry(machine: Machine) -> None:
    machine.publish(image(quarantine("kraken:X/USDT"), markets={}))
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs/examples/ccxt/bot.py"), "kraken", "X/USDT", "1", str(machine.folder), "http://127.0.0.1:1"],
        capture_output=True, text=True, check=False, env={"PYTHONPATH": f"{ROOT}"},
    )  # fmt: skip
    buy, sell = done.stdout.splitlines()
    assert buy == "buy refused: up 9 %", done.stderr
    assert sell.startswith("sell reached the exchange"), done.stderr


def test_examples_of_the_other_bots_use_what_there_is() -> None:
    for name in ("nautilus/run.py", "hummingbot/strategy.py"):
        text = (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8")
        compile(text, name, "exec")
        assert "guarded(" in text
