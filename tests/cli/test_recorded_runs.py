"""Live runs against the embedded exchange, recorded in segments, and replayed to the same decisions."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
from cli.test_run import CONFIG, Running, folder_of, guard, until

from guard.model import Control, Kind
from guard_tape import Tape

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")

BUSY = "rules:\n  busy: {mode: shadow, when: trades(1500ms) >= 1, level: warning, clear: {when: trades(1500ms) < 1}}\n"
BOOK = "  bids: {mode: shadow, when: imbalance(5bp) > 0.1, level: warning, clear: {when: imbalance(5bp) < 0.1}}\n"
ODD = "vol_z(2s, baseline=10m)"
BOOK += f'  odd: {{mode: shadow, when: "{ODD} > 0.5", level: warning, clear: {{when: "{ODD} < 0.5"}}}}\n'
RECORD = "reload: {watch: off}\nrecord: {folder: tapes, segment: 1s, leave_free: 1MB}\n"


def prepared(path: Path, record: str = RECORD) -> Path:
    folder = folder_of(path)
    (folder / "rules" / "own.yaml").write_text(BUSY + BOOK)
    (folder / "guard.yaml").write_text(CONFIG.replace("INBOX", "") + record)
    return folder


def decided(text: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return [line for line in lines if line["type"] in {"verdict", "quarantine"}]


def replayed(folder: Path, *words: str) -> list[dict[str, Any]]:
    code, shown, errors = guard(folder, "--json", "replay", "--as-recorded", *words)
    assert code == 0, errors
    return decided(shown)


def run_for_a_while(folder: Path, out: Path) -> None:
    with out.open("w") as stream:
        running = Running(folder, stream.fileno(), "--json")
        try:
            steer(folder, running)
            until(lambda: len(decided(out.read_text())) > 2)
        finally:
            assert running.stop() == 0


def steer(folder: Path, running: Running) -> None:
    until(running.is_streaming)
    own = folder / "rules" / "own.yaml"
    text = own.read_text()
    own.write_text(text.replace("1500ms", "1s") if "1500ms" in text else text.replace("1s", "1500ms"))
    assert running.ask("reload")["outcome"] == "taken_over"
    running.ask("quarantine.add", target="sim:BTC/USDT", for_us=60_000_000, reason="checked", actor="ann")
    segments = len(list((folder / "tapes").glob("*.parquet")))
    until(lambda: len(list((folder / "tapes").glob("*.parquet"))) >= segments + 1)
    assert running.ask("status")["recording"]["lost"] == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two runs: one that began cold, one that took over what the first had learnt."""
    folder = prepared(tmp_path_factory.mktemp("recorded"))
    run_for_a_while(folder, folder / "cold")
    (folder / "tapes").rename(folder / "cold_tapes")
    run_for_a_while(folder, folder / "warm")
    return folder


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("cold", ("--no-jit", "--batch", "1")),
        ("warm", ("--no-jit", "--batch", "1")),
        ("warm", ("--no-jit", "--batch", "4096")),
        ("warm", ("--batch", "4096")),
    ],
)
def test_a_run_in_segments_is_replayed_to_the_same_decisions(folder: Path, run: str, words: tuple[str, ...]) -> None:
    live = decided((folder / run).read_text())
    assert len(live) > 2
    assert replayed(folder, *words, "cold_tapes" if run == "cold" else "tapes") == live


def test_a_run_that_was_killed_is_replayed_up_to_the_tear(tmp_path: Path) -> None:
    folder = prepared(tmp_path)
    with (folder / "out").open("w") as out:
        running = Running(folder, out.fileno(), "--json")
        until(running.is_streaming)
        until(lambda: list((folder / "tapes").glob("*.parquet")) and list((folder / "tapes").glob("*.arrows")))
        until(lambda: len(decided((folder / "out").read_text())) > 3)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(5)
    live, again = decided((folder / "out").read_text()), replayed(folder, "--no-jit", "tapes")
    shorter = min(len(live), len(again))
    assert shorter > 2
    assert again[:shorter] == live[:shorter]


def test_what_the_second_start_took_over_is_on_its_recording(folder: Path) -> None:
    def given(tapes: str) -> int:
        batches = Tape([folder / tapes], exchange="x").batches(65_536)
        return sum(int(((batch.kind == Kind.CONTROL) & (batch.side == Control.WARM)).sum()) for _, batch in batches)

    assert given("cold_tapes") == 0
    assert given("tapes") == 2
    course = Tape([folder / "tapes"], exchange="x").course
    assert course is not None
    assert len(course["kept"]) == 2
    # Without its first segment it has no beginning to do again.
    _, *rest = sorted((folder / "tapes").glob("*.parquet"))
    code, _, errors = guard(folder, "replay", "--as-recorded", *map(str, rest))
    assert code == 3
    assert "begins with segment 2 of its run" in errors
    assert guard(folder, "replay", "--no-jit", *map(str, rest))[0] == 0


def test_several_runs_are_not_done_again_as_one(folder: Path, tmp_path: Path) -> None:
    for part in [*(folder / "cold_tapes").glob("*.parquet"), *(folder / "tapes").glob("*.parquet")]:
        (tmp_path / part.name).write_bytes(part.read_bytes())
    code, _, errors = guard(folder, "replay", "--as-recorded", tmp_path)
    assert (code, "here are 2: 2" in errors, errors.rstrip().endswith("-*")) == (1, True, True), errors
    code, shown, _ = guard(folder, "tape", "info", tmp_path)
    assert (code, "of 2 runs: " in shown) == (0, True)


def test_a_damaged_segment_is_a_hole_that_is_told(folder: Path, tmp_path: Path) -> None:
    for part in (folder / "cold_tapes").glob("*.parquet"):
        (tmp_path / part.name).write_bytes(part.read_bytes())
    largest = max(tmp_path.iterdir(), key=lambda part: part.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[200:216] = b"\xff" * 16
    largest.write_bytes(content)
    code, shown, errors = guard(folder, "tape", "info", tmp_path)
    assert (code, f"{largest.name}: damaged, " in shown) == (0, True), errors
    code, shown, errors = guard(folder, "replay", "--as-recorded", tmp_path)
    assert (code, "these need not be the decisions of the run" in shown) == (1, True), errors
