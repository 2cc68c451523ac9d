"""guard replay with rules that judge markets together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

T0_MS = 1_536_334_200_000
RULE = """
rules:
  storm:
    mode: enforce
    per: exchange
    quorum: 50%
    when: trades(5s) >= 3
    level: danger
    clear: {for: 4s}
    actions: {danger: [alert, {quarantine: {for: 10s, release: {for: 5s, probation: 5s}}}]}
  each: {mode: enforce, when: trades(5s) >= 4, level: warning}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(RULE)
    rows = []
    for at in range(900):
        # Markets come one by one, and trade in waves of their own length.
        market = "ABCDE"[at * at % 5]
        wave = (at // (20 + 7 * (at * at % 5))) % 3
        if at > 100 * "ABCDE".index(market) and wave:
            rows.append(f"{market}/BTC,{T0_MS + 400 * at},buy,{1 + at % 3},1")
    (tmp_path / "tape.csv").write_text("\n".join(["symbol,timestamp,side,price,amount", *rows, ""]))
    return tmp_path


def replay(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> list[dict[str, Any]]:
    with pytest.raises(SystemExit) as caught:
        main(["--json", "replay", str(folder / "tape.csv"), "--exchange", "binance", "--rules", str(folder / "rules"), *words])
    assert not caught.value.code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_groups_do_not_depend_on_the_batch(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *lines, summary = replay(capsys, folder, "--batch", "1")
    tipped = [line for line in lines if line.get("group") == "binance"]
    assert {line["level"] for line in tipped} == {"danger", "normal"}
    assert len({line["quorum"]["of"] for line in tipped}) > 1
    assert {line["target"] for line in lines if line["type"] == "quarantine"} == {"exchange:binance"}
    assert any(line["type"] == "verdict" and "group" not in line for line in lines)
    for size in ("4096", "7"):
        *same, other = replay(capsys, folder, "--batch", size)
        assert same == lines
        assert other["digest"] == summary["digest"]
