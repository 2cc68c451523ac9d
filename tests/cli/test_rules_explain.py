"""`guard rules explain` as its user sees it, and the page that shows it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guard.cli.explanation import Tree, tree_lines
from guard.cli.main import main
from guard.cli.why_page import why_lines

ROOT = Path(__file__).parents[2]
TAPE = ROOT / "../shared/data/pump_trades/AST_2018-09-07_15.30.csv.gz"
recorded = pytest.mark.skipif(not TAPE.is_file(), reason="the recorded pumps are not here")
EXAMPLES = re.compile(r"^    (guard rules explain [^\n]*)\n\n```text\n(.*?)```", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    monkeypatch.setenv("GUARD_STATE", str(tmp_path / "state"))


def guard(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    told = capsys.readouterr()
    return int(caught.value.code or 0), told.out, told.err


def examples() -> list[tuple[str, str]]:
    return EXAMPLES.findall((ROOT / "docs" / "explain.md").read_text(encoding="utf-8"))


@recorded
@pytest.mark.parametrize(("command", "shown"), examples())
def test_the_page_shows_what_is_printed(command: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("trades.csv.gz").symlink_to(TAPE.resolve())
    code, out, _ = guard(capsys, *shlex.split(command)[1:])
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    at = 0
    for part in shown.split("...\n"):
        assert part in out[at:], part
        at = out.index(part, at) + len(part)


def test_the_page_has_examples() -> None:
    assert len(examples()) == 4


@recorded
def test_json_is_one_document_with_the_same_tree(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("rules", "explain", "pump_dump", "AST/BTC", "--tape", str(TAPE), "--at", "2018-08-27T15:30:12+00:00")
    document = json.loads(guard(capsys, *words, "--json")[1])
    assert document["schema"] == 1
    (told,) = document["rules"]
    when = next(node for node in told["tree"] if node["text"] == "when")
    assert (when["value"], when["children"][0]["text"]) == (False, "pump.score > 0.5")
    assert sum(part["share"] for part in told["factors"]) == pytest.approx(told["score"], abs=1e-12)
    text = guard(capsys, *words)[1]
    assert "\n".join(why_lines(document, width=80, is_full=True)) + "\n" == text
    assert "score 0.00  (enforce)  Pump & dump" in text
    for ceiling, mode in (("observe", "enforce, held to observe by guard.yaml"), ("enforce", "enforce")):
        lines = why_lines({**document, "mode": ceiling}, width=110, is_full=True)
        assert any(f"({mode})  Pump & dump" in line for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("pump_dump", "x:A/B"), 4, "no live guard at"),
        (("pump_dump", "A/B", "--at", "+5s"), 2, "--at and --rules go with --tape"),
        (("pump_dump", "A/B", "--tape", "no.csv"), 2, "'no.csv' does not exist"),
        (("pump_dump", "A/B", "--tape", "t.csv", "--at", "+5"), 2, "expected a moment such as 2018-09-07T15:31:05Z, or +90s"),
        (("pump_dump", "A/B", "--tape", "t.csv", "--at", "soon"), 2, "found 'soon'"),
        (("pump_dump", "A/B", "--tape", "t.csv"), 1, "the tape is empty"),
        (("pump_dump", "A/B", "--tape", "."), 2, "is a directory"),
        (("pump_dump", "A/B", "--tape", "t.csv", "--rules", "empty"), 3, "rule file"),
    ],
)
def test_what_cannot_be_explained_ends_with_its_code(
    words: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.csv").write_text("symbol,timestamp,side,price,amount\n")
    Path("empty").mkdir()
    found, out, err = guard(capsys, "rules", "explain", *words)
    assert (found, told in out + err) == (code, True), out + err


@recorded
def test_a_reader_who_stops_early_is_no_error() -> None:
    words = [sys.executable, "-m", "guard", "rules", "explain", "pump_dump", "AST/BTC", "--tape", str(TAPE), "--at", "+1h"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "connectors")))}
    head = shutil.which("head")
    assert head is not None
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        subprocess.run([head, "-1"], stdin=run.stdout, check=True, stdout=subprocess.DEVNULL)
        run.stdout.close()
        assert (run.wait(60), run.stderr.read().decode().replace("\n", " ").find("Traceback")) == (0, -1)


@pytest.mark.parametrize("width", [40, 80, 110])
def test_trees_keep_to_the_width_and_lose_no_word(width: int) -> None:
    words = " ".join(f"word{number}" for number in range(30))
    deep = Tree("leaf " + words, "unknown", ("why " + words,))
    for _ in range(4):
        deep = Tree(words, "0.5", (), (deep, Tree("short", "1")))
    lines = list(tree_lines([deep], width=width))
    assert max(map(len, lines)) <= max(width, 45)
    assert " ".join(re.findall(r"word\d+", " ".join(lines))) == " ".join([words] * 6)


def test_guides_that_the_output_cannot_show_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", open(os.devnull, "w", encoding="ascii"))  # noqa: SIM115, PTH123 - lives as long as the test
    lines = list(tree_lines([Tree("a", "1", (), (Tree("b", "2"), Tree("c", "3")))], width=40))
    sys.stdout.close()
    assert [line.split()[0] for line in lines] == ["a", "|-", "`-"]
