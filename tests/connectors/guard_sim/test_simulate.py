from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

from guard.cli.main import _run
from guard.cli.output import Exit, Output

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_truth_of_the_demo_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["simulate", "--for", "120s"], Output()) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["wash_trading", "pump_dump", "layering", "spread_blowout", "market_drop"]


def test_a_tape_is_written_and_told_as_one_document(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "calm.csv.gz"
    assert _run(["simulate", "--schedule", "calm", "--for", "30s", "--out", str(path)], Output(is_json=True)) == Exit.OK
    document = json.loads(capsys.readouterr().out)
    assert document["trades"] > 200
    assert path.stat().st_size > 1000


def test_a_duration_without_a_unit_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["simulate", "--for", "120"], Output()) == Exit.USAGE
    assert "a duration is written" in capsys.readouterr().err


def test_a_path_that_cannot_be_written_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run(["simulate", "--out", str(tmp_path / "no" / "x.csv")], Output()) == Exit.FINDINGS
    assert _run(["simulate", "--serve", "--truth"], Output()) == Exit.USAGE
    assert "--serve runs in real time" in capsys.readouterr().err


def test_a_served_exchange_answers_until_interrupted() -> None:
    words = [sys.executable, "-m", "guard", "simulate", "--serve", "--inbox", "0", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            urls = json.loads(process.stdout.readline())
            with urllib.request.urlopen(f"{urls['rest']}/control/truth", timeout=5) as response:  # noqa: S310 - loopback
                assert json.loads(response.read())["symbols"][0] == "BTC/USDT"
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


def test_a_tape_is_named_as_what_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert _run(["simulate", "--out", str(tmp_path / "tape")], Output()) == Exit.USAGE
    assert "X.csv.gz or X.csv" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
