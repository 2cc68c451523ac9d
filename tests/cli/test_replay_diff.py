"""guard replay --diff: what two rule sets make of one recording."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli.bursts import document, pack, run, write_tape

from guard.dsl import pack_folder

if TYPE_CHECKING:
    from collections.abc import Callable

PUMPS = Path(__file__).parents[2] / "../shared/data/pump_trades"
BURSTS = [(100, 15), (400, 30), (900, 30)]


@pytest.fixture
def tape(tmp_path: Path) -> str:
    return str(write_tape(tmp_path / "tape.csv", BURSTS))


@pytest.fixture
def rules(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, **keys: object) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.yaml").write_text(pack(**keys))  # type: ignore[arg-type]
        return str(tmp_path / name)

    return write


def test_equal_rule_sets_differ_in_nothing_and_end_with_zero(
    tape: str, rules: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("--diff", rules("old"), rules("new"))
    code, found = document(capsys, "replay", tape, *names)
    assert (code, found["same"], found["same_log"], found["changes"], found["rules"]) == (0, True, True, [], [])
    assert found["counts"]["quarantines"]["same"] == found["old"]["quarantines"] == 3
    code, out, _ = run(capsys, "replay", tape, *names)
    assert code == 0
    assert out.endswith("nothing differs\n")


def test_higher_level_loses_a_quarantine_and_moves_none_of_the_others(
    tape: str, rules: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = document(capsys, "replay", tape, "--diff", rules("old"), rules("new", danger=0.93))
    assert code == 1
    assert found["counts"]["episodes"]["other_level"] == 1
    assert found["counts"]["quarantines"].items() >= {"same": 0, "gained": 0, "lost": 1, "changed": 2}.items()
    lost = next(row for row in found["changes"] if row["change"] == "lost")
    assert (lost["what"], lost["place"], lost["new"]) == ("quarantine", "tape:AST/BTC", None)
    moved = [row for row in found["changes"] if row["what"] == "quarantine" and row["change"] == "changed"]
    assert all(0 < row["start_shift_s"] <= 5 for row in moved)
    weaker = next(row for row in found["changes"] if row["what"] == "episode")
    assert (weaker["old"]["level"], weaker["new"]["level"], weaker["start_shift_s"]) == ("danger", "warning", 0.0)
    (change,) = found["rules"]
    assert (change["rule"], change["keys"]) == ("busy", [{"key": "levels.danger", "old": "0.6", "new": "0.93"}])
    (blocked,) = found["blocked"]
    assert blocked["old"] > blocked["new"] > 0
    assert blocked["old"] == found["old"]["blocked_minutes"]


def test_episode_that_begins_later_is_one_that_moved(
    tape: str, rules: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "replay", tape, "--diff", rules("old"), rules("new", held="3s"))
    assert code == 1
    assert "busy: for 0s -> 3s" in out
    assert "begins 3s later" in out
    assert "GAINED" not in out
    assert "LOST" not in out
    code, out, _ = run(capsys, "replay", tape, "--diff", rules("late", held="3s"), rules("early"))
    assert "begins 3s earlier" in out


def test_rule_of_one_set_alone_is_named_and_gains_all_it_says(
    tape: str, rules: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = rules("old")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "own.yaml").write_text(pack().replace("busy:", "busier:"))
    code, found = document(capsys, "replay", tape, "--diff", old, str(tmp_path / "new"))
    assert code == 1
    assert [(row["rule"], row["change"]) for row in found["rules"]] == [("busier", "added"), ("busy", "removed")]
    assert {row["change"] for row in found["changes"]} == {"gained", "lost"}
    _, found = document(capsys, "replay", tape, "--diff", old, str(tmp_path / "new"), "--only", "busier")
    assert {(row["rule"], row["change"]) for row in found["changes"]} == {("busier", "gained")}
    assert found["old"]["blocked_minutes"] == 0 < found["new"]["blocked_minutes"]


def test_scores_that_differ_without_an_effect_are_no_difference(
    tape: str, rules: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = rules("old")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "own.yaml").write_text(pack().replace("{volume_anomaly:", "{trade_pattern:"))
    code, out, _ = run(capsys, "replay", tape, "--diff", old, str(tmp_path / "new"))
    assert code == 0
    assert "nothing differs but scores" in out


def test_digests_are_those_of_two_replays(tape: str, rules: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    names = [rules("old"), rules("new", danger=0.93)]
    _, found = document(capsys, "replay", tape, "--diff", *names)
    for side, name in zip(("old", "new"), names, strict=True):
        summary = json.loads(run(capsys, "replay", tape, "--rules", name, "--json")[1].splitlines()[-1])
        assert {key: summary[key] for key in ("digest", "verdicts", "quarantines", "blocked_minutes")} == {
            key: found[side][key] for key in ("digest", "verdicts", "quarantines", "blocked_minutes")
        }


def test_a_guard_yaml_stands_for_its_own_rules_and_overrides(
    tape: str, rules: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packs = rules("packs")
    (tmp_path / "guard.yaml").write_text(
        "version: 1\nmode: observe\nrules: [packs/*.yaml]\noverride: {busy: {for: 3s}}\nexchanges: {sim: {}}\n"
    )
    for name in (str(tmp_path / "guard.yaml"), str(tmp_path)):
        _, found = document(capsys, "replay", tape, "--diff", packs, name)
        assert found["rules"][0]["keys"] == [{"key": "for", "old": "0s", "new": "3s"}]
    code, out, _ = run(capsys, "replay", tape, "--rules", str(tmp_path / "guard.yaml"), "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["digest"] == found["new"]["digest"]


def test_rule_that_needs_a_book_is_told_where_the_tape_has_none(tape: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = document(capsys, "replay", tape, "--diff", "guard:spoofing", "guard:spoofing")
    assert (code, found["unseen"]) == (0, [{"rule": "spoofing", "streams": ["book"]}])
    assert "it needs an order book" in run(capsys, "replay", tape, "--diff", "guard:spoofing", "guard:spoofing")[1]
    assert document(capsys, "replay", tape, "--diff", "guard:pump_dump", "guard:pump_dump")[1]["unseen"] == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--diff", "guard:", "guard:pump_dmp"), 3, "there is no shipped pack 'pump_dmp'"),
        (("--diff", "guard:", "nowhere"), 3, "cannot be read"),
        (("--diff", "guard:", "guard:", "--only", "pumpdump"), 1, "did you mean pump_dump?"),
        (("--diff", "guard:", "guard:", "--rules", "guard:"), 2, "--diff names both"),
        (("--only", "pump_dump"), 2, "--only goes with --diff"),
        (("--diff", "guard:", "guard:", "--within", "soon"), 2, "a duration is written"),
    ],
)
def test_what_is_wrong_with_the_line_is_told(
    tape: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, says: str
) -> None:
    found, out, err = run(capsys, "replay", tape, *words)
    assert found == code
    assert says in out + err


def test_empty_recording_compares_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tape = write_tape(tmp_path / "empty.csv", [], seconds=0)
    code, _, err = run(capsys, "replay", str(tape), "--diff", "guard:", "guard:")
    assert code == 1
    assert err.endswith("the recordings hold no event, so there is nothing to compare\n")


def test_a_reader_that_leaves_is_no_error(tape: str, rules: Callable[..., str]) -> None:
    words = ["replay", tape, "--diff", rules("old"), rules("new", held="3s")]
    with subprocess.Popen([sys.executable, "-m", "guard", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) == 1


@pytest.mark.skipif(not PUMPS.is_dir(), reason="the recorded pumps are not beside this checkout")
def test_shipped_pack_against_one_with_a_lower_level_on_a_recorded_pump(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (pack_folder() / "pump_dump.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("    for: 2s\n", "    for: 2s\n    levels: {danger: 0.7}\n"))
    (file,) = PUMPS.glob("DLT_*")
    words = ("replay", str(file), "--exchange", "binance", "--diff", "guard:pump_dump", str(tmp_path / "mine.yaml"))
    code, found = document(capsys, *words)
    assert code == 1
    assert found["rules"][0]["keys"] == [{"key": "levels.danger", "old": "0.8", "new": "0.7"}]
    assert found["counts"]["quarantines"]["lost"] == 0
    assert found["new"]["quarantines"] > found["old"]["quarantines"]
    assert found["new"]["blocked_minutes"] > found["old"]["blocked_minutes"]
    # The announced pump is found by both, not later by the one with the lower level.
    pump = [
        row
        for row in found["changes"]
        if row["what"] == "quarantine" and (row["old"] or {}).get("start", "").startswith("2018-08-23T16:00")
    ]
    assert all(row["start_shift_s"] < 0 for row in pump)
