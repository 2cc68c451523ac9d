"""What people read about groups: why, the list of rules, a replay, the console of a run."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from engine.test_grouped_rules import EXCHANGE, Bench
from rich.console import Console

from guard.cli.console import LogConsole
from guard.cli.main import main
from guard.cli.output import Output
from guard.cli.status import _print_why
from guard.model import Decision, Verdict
from guard.runtime.printer import Printer

if TYPE_CHECKING:
    from pathlib import Path


def why(bench: Bench, name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    found = json.loads(json.dumps({**bench.pipeline.why(bench.rows[name]), "quarantines": [], "holds": []}))
    _print_why(Output(), found)
    return [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_why_tells_the_group_and_how_many_markets_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    lines = why(bench, "one:A/USDT", capsys)
    assert "storm (enforce): danger, score 1.00" in lines
    assert "exchange one: normal; 1 of 3 markets in scope holds warning or above, 2 needed" in lines
    assert "held by one:A/USDT" in lines
    assert "missing to fire: 2 markets of one at warning or above (there are 1)" in lines
    bench.burst("one:B/USDT", 21)
    lines = why(bench, "one:C/USDT", capsys)
    assert "storm (enforce): normal, score 0.00" in lines
    assert "exchange one: danger; 2 of 3 markets in scope hold danger or above, 2 needed" in lines


def test_why_tells_of_a_quorum_that_is_out_of_reach(capsys: pytest.CaptureFixture[str]) -> None:
    bench = Bench(EXCHANGE.replace("quorum: 2", "quorum: 9"))
    bench.until(1)
    bench.trade("one:A/USDT", 2)
    lines = why(bench, "one:A/USDT", capsys)
    assert "exchange one: normal; 0 of 3 markets in scope hold warning or above, 9 needed; it can never be reached here" in lines


def test_the_list_of_rules_names_what_they_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(EXCHANGE.replace("quorum: 2", "quorum: 30%") + "  alone: {when: trades(10s) > 3, level: warning}\n")
    for words in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main([*words, "rules", "list", str(file)])
    text, document = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert "  [per exchange, quorum 30%]  (" in text
    assert text.count("[per") == 1
    rows: list[dict[str, Any]] = json.loads(document)["rules"]
    assert [(row["per"], row["quorum"]) for row in rows] == [("exchange", "30%"), ("market", None)]


def test_a_replay_names_the_group_and_what_is_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.yaml").write_text(EXCHANGE)
    rows = [f"{'AB'[at % 2]}/BTC,{1_536_334_200_000 + 1000 * at},buy,1,1" for at in range(40)]
    (tmp_path / "tape.csv").write_text("\n".join(["symbol,timestamp,side,price,amount", *rows, ""]))
    with pytest.raises(SystemExit):
        main(["replay", str(tmp_path / "tape.csv"), "--exchange", "binance", "--rules", str(tmp_path / "rules")])
    lines = capsys.readouterr().out.splitlines()
    assert "exchange:binance     danger       storm          score 1.00  2 of 2 markets, quorum 2; last binance:" in lines[0]
    assert "exchange:binance     QUARANTINED" in lines[1]


def test_the_console_of_a_run_names_the_group() -> None:
    bench = Bench()
    bench.burst("one:A/USDT", 20)
    bench.burst("one:B/USDT", 21)
    (verdict,) = (entry for entry in bench.log if isinstance(entry, Verdict))
    printer, text = Printer(), StringIO()
    LogConsole(printer, Console(file=text, width=200)).decision(Decision(verdict.at_us, (verdict,), log=(verdict,)))
    assert printer.close()
    assert "exchange:one: storm is danger 1.00 (2 of 3 markets, quorum 2; last one:B/USDT)" in text.getvalue()
