"""How every command answers what is mistyped, asked for by its wrong name, or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli.main import main
from guard.cli.rules import rules


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    monkeypatch.delenv("GUARD_STATE", raising=False)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    told = capsys.readouterr()
    return int(caught.value.code or 0), told.out, told.err


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["rules", "nothing"],
        ["rules", "show"],
        ["rules", "new"],
        ["rules", "sweep", "pump_dump"],
        ["replay", "nowhere.csv"],
        ["bypass", "--for", "1x"],
        ["check", "MOON/USDT"],
    ],
)
def test_what_is_mistyped_is_one_document_where_json_is_asked_for(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words, "--json")
    found = json.loads(out)
    assert (code, found["schema"], found["exit"], found["errors"]) == (2, 1, 2, [])
    assert found["error"]
    assert not err
    assert found["error"] in run(capsys, *words)[2]


@pytest.mark.parametrize(("words", "meant"), [(["stauts"], "status"), (["rulse", "check"], "rules"), (["rules", "chekc"], "check")])
def test_a_command_with_a_slip_is_answered_with_what_was_meant(
    words: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, *words)
    assert code == 2
    assert f"Did you mean {meant!r}?" in err


def test_the_version_is_told_by_either_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == run(capsys, "version")


def test_every_command_for_rules_stands_once_on_the_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "rules", "--help")
    shown = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line[2:3].isalpha()]
    assert code == 0
    assert sorted(name for name in shown if name in rules.commands) == sorted(rules.commands)


def test_a_word_that_no_feature_has_is_told_and_not_answered_with_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "rules", "features", "spraed")[::2] == (
        1,
        "no feature has 'spraed' in its name or description; did you mean spread?\n",
    )
    code, out, _ = run(capsys, "rules", "features", "zzzz", "--json")
    assert (code, json.loads(out)["exit"]) == (1, 1)


def test_a_folder_in_place_of_a_recording_is_told_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    code, _, err = run(capsys, "rules", "explain", "pump_dump", "tape:A/USDT", "--tape", "folder")
    assert code == 2
    assert "'folder' is a directory" in err
    assert "Errno" not in err


def test_an_empty_recording_is_called_empty(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty.csv").write_text("")
    code, _, err = run(capsys, "replay", "empty.csv")
    assert code == 3
    assert "empty.csv:1:1: error[T002 tape-columns]: the file is empty" in err


@pytest.mark.parametrize("words", [["check"], ["list"], ["test", "-k", "calm"], ["show", "spoofing"]])
def test_a_shipped_pack_is_named_as_in_guard_yaml(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "rules", *words, "guard:spoofing")[0] == 0
    code, out, err = run(capsys, "rules", *words, "guard:spofing")
    assert code == 3
    assert "did you mean spoofing?" in out + err


@pytest.mark.parametrize("words", [["rules", "list"], ["rules", "check"], ["config", "check"], ["run"], ["rules", "promote", "x"]])
def test_without_guard_yaml_it_is_told_how_to_get_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *words)
    assert code in {1, 3}
    assert "hint: guard init writes one; GUARD_CONFIG names one that lies elsewhere" in out + err


@pytest.mark.parametrize("words", [("record",), ("tape", "cut"), ("exchanges", "test"), ("maintenance", "add")])
def test_help_has_an_example_of_the_command(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    shown = capsys.readouterr().out
    assert (ended.value.code, f"\n    guard {' '.join(words)} " in shown) == (0, True), shown


def test_a_dialect_without_a_server_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "--dialect", "kucoin"])
    assert (ended.value.code, "goes with --serve" in capsys.readouterr().err) == (2, True)
