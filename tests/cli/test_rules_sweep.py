"""guard rules sweep: other values for a rule's numbers, on a recording."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cli.bursts import T0_MS, document, pack, run, write_tape

from guard.dsl import load_rules
from guard.dsl.trials import trials
from guard.runtime.sweep import Sweep, Tried, sweep

BURSTS = [(100, 15), (400, 30), (900, 30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.yaml").write_text(pack())
    write_tape(tmp_path / "tape.csv", BURSTS)
    start = datetime.fromtimestamp(T0_MS / 1000, UTC)
    rows = [
        f"AST/BTC,{(start + timedelta(seconds=at)).isoformat()},{(start + timedelta(seconds=at + 60)).isoformat()}"
        for at in (400, 900)
    ]
    (tmp_path / "truth.csv").write_text("\n".join(["market,start,end", *rows, "XXX/BTC,1,2", ""]))
    return tmp_path


def words(folder: Path, *more: str, rule: str = "busy") -> tuple[str, ...]:
    return ("rules", "sweep", rule, "--tape", str(folder / "tape.csv"), "--rules", str(folder / "own.yaml"), *more)


def rows(found: dict[str, Any], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in keys) for row in found["settings"]]


def test_each_value_has_its_row_and_the_one_in_use_is_marked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ("--truth", str(folder / "truth.csv"))
    code, found = document(capsys, *words(folder, "--param", "levels.danger=0.5..0.93", "--steps", "3", *truth))
    assert code == 0
    assert [row["values"]["levels.danger"] for row in found["settings"]] == ["0.5", "0.6", "0.715", "0.93"]
    assert [row["in_use"] for row in found["settings"]] == [False, True, False, False]
    assert rows(found, "quarantines", "found", "known", "detections", "others") == [
        (3, 2, 2, 2, 1), (3, 2, 2, 2, 1), (3, 2, 2, 2, 1), (2, 2, 2, 2, 0),
    ]  # fmt: skip
    delays = [row["median_delay_s"] for row in found["settings"]]
    assert delays == sorted(delays)
    assert 0 < delays[0] < delays[-1] < 10
    assert (found["settings_tried"], found["in_sample"]) == (4, True)
    assert "4 settings were tried on this tape" in found["note"]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_value_gives_the_log_of_a_replay_with_it(folder: Path, capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    params = ("--param", "levels.danger=0.6,0.9", "--param", "for=0s,3s", "--jobs", jobs)
    _, found = document(capsys, *words(folder, *params))
    assert len(found["settings"]) == 4
    for row in found["settings"]:
        (folder / "mine.yaml").write_text(pack(danger=float(row["values"]["levels.danger"]), held=row["values"]["for"]))
        out = run(capsys, "replay", str(folder / "tape.csv"), "--rules", str(folder / "mine.yaml"), "--json")[1]
        summary = json.loads(out.splitlines()[-1])
        assert (summary["digest"], summary["blocked_minutes"]) == (row["digest"], row["blocked_minutes_all_rules"])
        assert (summary["verdicts"], summary["quarantines"]) == (row["verdicts"], row["quarantines"])


def asked(folder: Path, **more: int) -> Sweep:
    rules = load_rules([folder / "own.yaml"])
    settings = trials(rules, "busy", ["levels.danger=0.6,0.9"], steps=2)[1]
    return Sweep([folder / "tape.csv"], "tape", rules, "busy", settings, **more)


def test_recording_that_is_too_long_to_keep_is_read_anew_with_the_same_logs(folder: Path) -> None:
    kept = list(sweep(asked(folder), jobs=1))
    streamed = list(sweep(asked(folder, rows_max=100), jobs=1))
    spawned = list(sweep(asked(folder, rows_max=100), jobs=2))
    assert kept == streamed == spawned
    assert all(row.error is None for row in kept)


def test_a_value_that_fails_loses_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Sweep.replay

    def failing(self: Sweep, number: int) -> Tried:
        if number == 0:
            raise MemoryError
        return before(self, number)

    monkeypatch.setattr(Sweep, "replay", failing)
    code, found = document(capsys, *words(folder, "--param", "levels.danger=0.6,0.9", "--jobs", "2"))
    assert code == 1
    assert [row["error"] for row in found["settings"]] == ["MemoryError", None]
    code, out, _ = run(capsys, *words(folder, "--param", "levels.danger=0.6,0.9", "--jobs", "1"))
    assert code == 1
    assert "0.6 failed: MemoryError" in out


def test_text_has_the_table_the_mark_and_what_it_is_worth(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words(folder, "--param", "let.many=20,40", "--truth", str(folder / "truth.csv")))
    assert (code, err) == (
        0,
        "this replay runs without compiled code; `guard warm`, once, makes replays several times faster\n" if err else "",
    )
    assert "2 things are known to have happened; 1 more lie on no market or time of these recordings" in out
    assert any("20" in line and "< in use" in line and "2/2" in line and "█" in line for line in out.splitlines())
    assert "in sample: 2 settings were tried on this tape" in out
    assert max(map(len, out.splitlines())) <= 150


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<svg "), ("png", b"\x89PNG")])
def test_picture_is_drawn(folder: Path, capsys: pytest.CaptureFixture[str], suffix: str, start: bytes) -> None:
    path = folder / f"picture.{suffix}"
    code, out, _ = run(capsys, *words(folder, "--param", "levels.danger=0.6,0.9", "--param", "for=0s,3s", "--out", str(path)))
    assert code == 0
    assert f"picture: {path}" in out
    assert path.read_bytes().startswith(start)


def test_picture_that_cannot_be_written_costs_nothing_but_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.svg").mkdir()
    code, _, err = run(capsys, *words(folder, "--param", "for=0s", "--out", str(folder / "x.svg")))
    assert code == 2
    assert "is a directory" in err
    (folder / "y.svg").symlink_to(folder / "nowhere" / "y.svg")
    code, found = document(capsys, *words(folder, "--param", "for=0s", "--out", str(folder / "y.svg")))
    assert (code, found["picture"], len(found["settings"])) == (1, None, 1)
    assert "cannot be written: No such file" in found["picture_error"]


def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    line = [sys.executable, "-m", "guard", *words(folder, "--param", "for=0s,1s", "--jobs", "1")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
        assert b"Traceback" not in err
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--param", "levels.dangr=0.7"), 3, "did you mean levels.danger?"),
        (("--param", "levels.danger=0.5..1"), 3, "settings are refused"),
        (("--param", "levels.danger=0.7", "--steps", "0"), 2, "0 is not in the range"),
        (("--param", "levels.danger=0.7", "--out", "x.jpg"), 2, "NAME.svg or NAME.png"),
        (("--param", "levels.danger=0.7", "--out", "nowhere/x.png"), 2, "there is no folder nowhere"),
        (("--param", "levels.danger=0.7", "--truth", "nowhere.csv"), 2, "does not exist"),
        ((), 2, "--param"),
    ],
)
def test_what_is_wrong_with_the_line_is_told_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], code: int, says: str
) -> None:
    found, out, err = run(capsys, *words(folder, *more))
    assert found == code
    assert says in out + err


def test_unknown_rule_is_told_as_one_document(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = document(capsys, *words(folder, "--param", "for=1s", rule="bussy"))
    assert (code, found["exit"], found["errors"][0]["id"], found["errors"][0]["hint"]) == (3, 3, "E027", "did you mean busy?")


def test_no_recording_and_an_empty_one_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "rules", "sweep", "busy", "--rules", str(folder / "own.yaml"), "--param", "for=1s")
    assert code == 2
    assert "--tape FILES" in err
    write_tape(folder / "tape.csv", [], seconds=0)
    code, out, err = run(capsys, *words(folder, "--param", "for=1s"))
    assert (code, out) == (1, "")
    assert "no event" in err


def test_rule_that_is_switched_off_is_refused_until_it_is_switched_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "own.yaml").write_text(pack(mode="disabled"))
    code, _, err = run(capsys, *words(folder, "--param", "for=0s,1s"))
    assert code == 1
    assert "--param mode=enforce" in err
    code, found = document(capsys, *words(folder, "--param", "for=0s,1s", "--param", "mode=enforce"))
    assert (code, rows(found, "quarantines")) == (0, [(3,), (3,), (0,)])


def test_rule_that_may_not_quarantine_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "own.yaml").write_text(pack(mode="alert"))
    assert "mode alert, which never quarantines" in run(capsys, *words(folder, "--param", "for=0s,1s"))[1]


def test_recording_without_what_the_rule_needs_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ("rules", "sweep", "spoofing", "--rules", "guard:", "--tape", str(folder / "tape.csv"), "--param", "for=0s,1s")
    assert "spoofing says nothing here: it needs an order book" in run(capsys, *line)[1]
    assert document(capsys, *line)[1]["needs"] == ["book"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_ends_it_with_all_its_processes(folder: Path) -> None:
    write_tape(folder / "tape.csv", BURSTS, seconds=100_000)
    line = words(folder, "--param", "for=0s..60s", "--steps", "60", "--jobs", "2")
    with subprocess.Popen(
        [sys.executable, "-m", "guard", *line],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env={**os.environ, "GUARD_JIT": "0"},
    ) as process:  # fmt: skip
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text(encoding="ascii"):
            pass
        workers = [int(one) for one in children.read_text(encoding="ascii").split()]
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert b"Traceback" not in err
        assert process.returncode == 130
    assert workers
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
