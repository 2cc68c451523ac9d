from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.main import main
from guard.cli.output import Exit

if TYPE_CHECKING:
    from pathlib import Path

DEAD = "version: 1\nexchanges:\n  dead: {id: okx, urls: {api.rest: 'http://127.0.0.1:9', api.ws: 'ws://127.0.0.1:9/ws/v5'}}\n"
SIM = "version: 1\nexchanges:\n  sim: {connector: sim, options: {count: 4, schedule: calm}}\n"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def written(folder: Path, text: str) -> str:
    path = folder / "guard.yaml"
    path.write_text(text)
    return str(path)


def test_list_is_readable_at_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "exchanges", "ls")
    assert code == Exit.OK
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) > 73
    code, out, _ = run(capsys, "exchanges", "ls", "okx", "coincheck", "luno")
    assert code == Exit.OK
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("divergence") == 3
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_list_as_json_tells_each_rule(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "exchanges", "ls", "kucoin", "--json")
    (kucoin,) = json.loads(out)["exchanges"]
    assert kucoin["tier"] == "fast"
    assert kucoin["streams"] == ["book", "trades"]
    assert {rule["state"] for rule in kucoin["rules"]} == {"works"}


def test_a_slip_in_an_id_is_answered_with_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "exchanges", "ls", "kucion")
    assert code == Exit.USAGE
    assert "did you mean 'kucoin'?" in err


def test_trial_of_the_embedded_exchange_tells_both_streams(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = written(tmp_path, SIM)
    code, out, _ = run(capsys, "exchanges", "test", "sim", "--for", "4s", "--config", config, "--json")
    found: dict[str, Any] = json.loads(out)
    assert code == Exit.OK, found
    assert found["market"] == "sim:BTC/USDT"
    assert found["failures"] == []
    assert found["streams"]["trades"]["events"] == found["trades"] > 0
    assert found["streams"]["book"]["events"] > 0
    assert 0 < found["streams"]["book"]["first_s"] < 4
    assert found["health"]["tier"] == "fast"
    assert set(found["health"]["connections"].values()) == {"live"}
    assert 0 < found["health"]["fallbacks"] < found["health"]["frames"]
    assert found["stamp"] in {"ms", "s"}
    assert 0 <= found["latency_ms"][0] <= found["latency_ms"][1] < 5000
    assert found["rest"]["markets"].startswith("4 in ")
    assert "rows of the last hour" in found["rest"]["history"]


def test_trial_says_when_the_market_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("exchanges", "test", "sim", "--for", "1s", "--config", written(tmp_path, SIM), "--market", "NO/NO")
    code, out, _ = run(capsys, *words)
    assert code == Exit.FINDINGS
    assert "has no market NO/NO" in out


def test_trial_of_a_dead_address_says_what_failed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = written(tmp_path, DEAD)
    for name in ("dead", "okx"):  # by its name in guard.yaml, and by ccxt's id
        code, out, _ = run(capsys, "exchanges", "test", name, "--for", "1s", "--config", config)
        assert code == Exit.FINDINGS
        assert out.startswith("dead: no market was streamed")
        assert "cannot be opened" in out
        assert max(map(len, out.splitlines())) <= 80


def test_trial_of_an_exchange_that_nobody_knows_is_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, _, err = run(capsys, "exchanges", "test", "binnance", "--config", str(tmp_path / "none.yaml"))
    assert code == Exit.USAGE
    assert "did you mean binance" in err


def test_trial_lasts_an_hour_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "exchanges", "test", "sim", "--for", "2h")[0] == Exit.USAGE
