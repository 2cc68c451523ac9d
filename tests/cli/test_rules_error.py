from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from guard.cli.main import main
from guard.dsl import explanations
from guard.dsl.problems import NAMES

if TYPE_CHECKING:
    from pathlib import Path

ODD = "rules:\n  one:\n    title: One\n    level: danger\n    when: ret(60s) > 1% and ret(60s) > 2%\n"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    streams = capsys.readouterr()
    return int(caught.value.code or 0), streams.out, streams.err


@pytest.mark.parametrize(
    "words", [("rules", "error", "E042"), ("rules", "error", "unknown-name"), ("rules", "check", "--explain", "e042")]
)
def test_id_is_explained_with_examples_and_without_markdown(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert out.startswith("E042 unknown-name\n\nError. Nothing of this name")
    assert "    E042.yaml:5:11: error[E042 unknown-name]: unknown name 'retn'\n" in out
    assert "hint: did you mean ret?" in out
    assert "```" not in out


@pytest.mark.parametrize(
    ("word", "says"), [("E42", "did you mean E042?"), ("unknown-nam", "did you mean unknown-name?"), ("zzz", "lists")]
)
def test_unknown_id_ends_with_usage(word: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "rules", "error", word)
    assert (code, out) == (2, "")
    assert says in err


def test_all_ids_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert [line.split()[0] for line in run(capsys, "rules", "error")[1].splitlines()] == list(NAMES)
    rows = json.loads(run(capsys, "--json", "rules", "error")[1])["problems"]
    assert [row["id"] for row in rows] == list(NAMES)


def test_json_holds_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, "--json", "rules", "error", "W005")[1])
    assert (document["schema"], document["id"], document["severity"]) == (1, "W005", "warning")
    assert "clear" in document["page"]


def test_explanation_is_there_without_the_pages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(explanations.guard, "__file__", str(tmp_path / "guard" / "__init__.py"))
    code, out, _ = run(capsys, "rules", "error", "E042")
    assert code == 0
    assert "would be unknown for ever" in out


def test_warnings_fail_only_where_they_shall(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(ODD)
    assert run(capsys, "rules", "check", str(path))[0] == 0
    code, out, _ = run(capsys, "rules", "check", "--strict", str(path))
    assert code == 1
    assert out.splitlines()[-1].endswith("pack.yaml: 1 warning")
    config = tmp_path / "guard.yaml"
    config.write_text("exchanges: {sim: {connector: sim}}\nalerts: {group: {}}\n")
    assert run(capsys, "config", "check", str(config))[0] == 0
    assert run(capsys, "config", "check", "--strict", str(config))[0] == 1


def test_rows_of_json_name_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text(ODD)
    rows = json.loads(run(capsys, "--json", "rules", "check", str(path))[1])["errors"]
    assert [row["doc"] for row in rows] == ["docs/errors/W008.md"]
    (tmp_path / "guard.yaml").write_text("mode: x\n")
    rows = json.loads(run(capsys, "--json", "config", "check", str(tmp_path / "guard.yaml"))[1])["errors"]
    assert {row["doc"] for row in rows} == {"docs/errors/E021.md", "docs/errors/E023.md"}
