"""guard replay: its lines, its summary, and readers that leave."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

T0_MS = 1_536_334_200_000
RULE = "rules:\n  busy: {mode: enforce, when: trades(10s) >= 3, level: danger, actions: {danger: [alert, quarantine]}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(RULE)
    rows = [f"AST/BTC,{T0_MS + 1000 * at},buy,{1 + at % 3},1" for at in range(200)]
    (tmp_path / "tape.csv").write_text("\n".join(["symbol,timestamp,side,price,amount", *rows, "AST/BTC,x,buy,1,1", ""]))
    return tmp_path


def replay(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, list[dict[str, object]]]:
    with pytest.raises(SystemExit) as caught:
        main(["--json", "replay", str(folder / "tape.csv"), "--exchange", "binance", "--rules", str(folder / "rules"), *words])
    return int(caught.value.code or 0), [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_lines_and_summary_are_as_promised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, (*lines, summary) = replay(capsys, folder)
    assert code == 0
    verdict = next(line for line in lines if line["type"] == "verdict")
    assert verdict.items() >= {"market": "binance:AST/BTC", "rule": "busy", "level": "danger"}.items()
    opening = next(line for line in lines if line["type"] == "quarantine")
    assert {"ts", "target", "market", "state", "until", "rule", "id"} <= set(opening)
    assert summary.items() >= {"type": "summary", "events": 200, "markets": 1, "quarantines": 1}.items()
    assert summary["verdicts"] == {"warning": 0, "danger": 1, "critical": 0}
    assert sum(summary["rejected"].values()) == 1  # type: ignore[attr-defined] - JSON
    assert {"seconds", "events_per_second", "blocked_minutes", "digest"} <= set(summary)


def test_the_digest_does_not_depend_on_the_batch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = {replay(capsys, folder, "--batch", size)[1][-1]["digest"] for size in ("1", "7", "1000")}
    assert len(digests) == 1


def test_a_reader_that_leaves_ends_it_quietly(folder: Path) -> None:
    words = ["replay", str(folder / "tape.csv"), "--rules", str(folder / "rules"), "--json"]
    with subprocess.Popen([sys.executable, "-m", "guard", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


def test_what_is_no_tape_ends_with_three(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tape.csv").write_text("a,b\n1,2\n")
    code, (document,) = replay(capsys, folder)
    assert (code, document["exit"]) == (3, 3)
