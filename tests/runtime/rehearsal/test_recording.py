from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runtime.rehearsal.cases import PACK, case

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.runtime.rehearsal.judge import misses
from guard.runtime.rehearsal.scene import recorded
from guard.runtime.rehearsal.script import Unplayable
from guard.runtime.rehearsal.stage import play

if TYPE_CHECKING:
    from pathlib import Path

BEGIN_MS = 1_700_000_000_000


def write(folder: Path) -> None:
    """Write 100 s of trades, one a second, that rise by 1 % a second from 60 s on."""
    rows = ["symbol,timestamp,side,price,amount"]
    rows += [f"AAA/BTC,{BEGIN_MS + 1000 * n},buy,{100.0 * 1.01 ** max(0, n - 60):.6f},1" for n in range(100)]
    (folder / "tape.csv").write_text("\n".join(rows) + "\n")


def judged(folder: Path, keys: str) -> list[str]:
    test = case(f"market: binance:AAA/BTC\n{keys}")
    scene = recorded(test, folder)
    program = compile_rules(rules_from_text(PACK, Report()))
    return [f"{miss.expected}: {miss.found}" for miss in misses(test, scene, play(scene, program, "jump"))]


def test_a_recording_counts_from_its_first_trade(tmp_path: Path) -> None:
    write(tmp_path)
    keys = "recording: {path: tape.csv, exchange: binance}\n"
    assert judged(tmp_path, keys + "expect: [{at: 60s, level: normal}, {by: 70s, level: danger, blocked: true}]") == []
    assert len(judged(tmp_path, keys + "expect: [{never: warning}]")) == 1


def test_a_recording_can_begin_later_and_name_moments(tmp_path: Path) -> None:
    write(tmp_path)
    keys = 'recording: {path: tape.csv, exchange: binance, from: 50s, to: "2023-11-14T22:14:55Z"}\n'
    expect = 'expect: [{at: 10s, level: normal}, {by: "2023-11-14T22:14:30Z", level: danger}]'
    assert judged(tmp_path, keys + expect) == []
    test = case(f"market: binance:AAA/BTC\n{keys}")
    assert recorded(test, tmp_path).end_us == 45_000_000


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("recording: nothing.csv", "there is no recording"),
        ("recording: broken.csv", "cannot be played"),
        ("recording: {path: tape.csv, exchange: okx}", "the recording has okx:AAA/BTC, not binance:AAA/BTC"),
        ("recording: {path: tape.csv, exchange: binance, from: 30s, to: 20s}", "no trades are left"),
    ],
)
def test_a_recording_that_cannot_be_played_says_why(tmp_path: Path, keys: str, words: str) -> None:
    write(tmp_path)
    (tmp_path / "broken.csv").write_text("this is no tape\n1\n")
    with pytest.raises(Unplayable, match=words):
        recorded(case(f"market: binance:AAA/BTC\n{keys}"), tmp_path)
