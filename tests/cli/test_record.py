"""guard record as a process, what guard.yaml says about recording, and what is told where it cannot be."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from cli.test_run import CONFIG, GUARD, Running, environment, folder_of, guard, until

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pyarrow")


def test_markets_are_recorded_without_rules_or_ledger(tmp_path: Path) -> None:
    code, shown, errors = guard(tmp_path, "--json", "record", "sim:BTC/USDT", "sim:ETH/*", "--for", "2s", "--out", "tapes")
    assert code == 0, errors
    summary = json.loads(shown.splitlines()[-1])
    assert summary["type"] == "summary"
    assert summary["markets"] == 2
    assert summary["kinds"]["trade"] > 0
    assert summary["kinds"]["level"] > 0
    assert summary["is_whole"]
    assert not (tmp_path / ".guard").exists()
    code, shown, _ = guard(tmp_path, "--json", "tape", "info", "tapes")
    (tape,) = json.loads(shown)["tapes"]
    assert tape["rows"] == sum(summary["kinds"].values())
    assert {market["market"] for market in tape["markets"]} == {"sim:BTC/USDT", "sim:ETH/USDT"}
    code, shown, _ = guard(tmp_path, "replay", "--as-recorded", "tapes")
    assert code == 3, "it has no rules"


def test_what_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    assert guard(tmp_path, "record", "BTC/USDT")[0] == 2
    code, _, errors = guard(tmp_path, "record", "nowhere:BTC/USDT", "--for", "5s")
    assert code == 2
    assert "ccxt streams no exchange 'nowhere'" in errors
    code, _, errors = guard(tmp_path, "exchanges", "test", "kukoin")
    assert (code, "did you mean kucoin?" in errors) == (2, True), errors
    code, _, errors = guard(tmp_path, "record", "sim:NOTHING/*", "--for", "5s", "--out", "other")
    assert code == 1
    assert "none matches" in errors
    (tmp_path / "pyarrow.py").write_text("raise ImportError('not here')\n")
    env = environment()
    env["PYTHONPATH"] = f"{tmp_path}:{env.get('PYTHONPATH', '')}"
    words = [*GUARD, "record", "sim:BTC/USDT", "--for", "1s", "--out", "third"]
    found = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 3
    assert "pip install 'trading-guard[record]'" in found.stderr
    assert not (tmp_path / "third").exists()


def test_a_choice_of_markets_is_recorded_and_the_second_guard_in_a_folder_says_so(tmp_path: Path) -> None:
    tapes = tmp_path / "tapes"
    record = f"record: {{folder: {tapes}, markets: ['sim:MOON/*'], events: [trades], leave_free: 0}}\n"
    folders = [tmp_path / name for name in ("first", "second")]
    with (tmp_path / "out").open("w") as out:
        guards = []
        try:
            for folder in folders:
                folder.mkdir()
                (folder_of(folder) / "guard.yaml").write_text(CONFIG.replace("INBOX", "") + record)
                guards.append(Running(folder, out.fileno(), "--json"))
                until(guards[-1].is_streaming)
            first, second = (each.ask("status")["recording"] for each in guards)
            assert first["problem"] is None
            assert "another process records" in second["problem"]
        finally:
            codes = [each.stop() for each in guards]
    assert codes == [0, 0]
    (tape,) = json.loads(guard(tmp_path, "--json", "tape", "info", "tapes")[1])["tapes"]
    assert [market["market"] for market in tape["markets"]] == ["sim:MOON/USDT"]
    assert set(tape["kinds"]) <= {"trade", "status", "gap"}
    assert tape["rule_sets"] == []
    assert "another process records" in guards[1].log.read_text()
