from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.cli.main import main
from guard.dsl import load_guard

GOOD = """
exchanges: {sim: {connector: sim, options: {seed: 7, apiKey: canary, inner: {password: canary}}, urls: {api: "https://canary@x"}}}
alerts: {channels: {a: {url: "json://canary@127.0.0.1"}}}
"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return int(caught.value.code or 0), capsys.readouterr().out


@pytest.fixture
def guard_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)
    path = tmp_path / "guard.yaml"
    path.write_text(GOOD)
    return path


def test_sound_file_passes(guard_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard_yaml.write_text("exchanges: {sim: {connector: sim}}\n")
    assert run(capsys, "config", "check") == (0, "guard.yaml: no mistakes found\n")


def test_broken_file_ends_with_three(guard_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard_yaml.write_text("mode: x\nexchanges: {}\n")
    code, out = run(capsys, "config", "check")
    assert code == 3
    assert out.count("error[") == 2
    code, out = run(capsys, "config", "check", "--json")
    assert code == 3
    assert [row["id"] for row in json.loads(out)["errors"]] == ["E023", "E024"]


@pytest.mark.usefixtures("guard_yaml")
def test_show_hides_secrets_unless_asked(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("config", "show"), ("config", "show", "--redacted"), ("--json", "config", "show")):
        code, out = run(capsys, *words)
        assert code == 0
        assert "canary" not in out
        assert "json://********" in out
        assert "keep" in out
    assert run(capsys, "config", "show", "--plain")[1].count("canary") == 4


def test_what_show_prints_loads_to_the_same_configuration(guard_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard_yaml.write_text(
        GOOD + "allow: [{base: A, until: 2027-01-31, why: x}]\non_market_wide: alert\nbots: {b: {on_unknown: {warming: refuse}}}\n"
    )
    before = load_guard(guard_yaml, {})
    shown = run(capsys, "config", "show", "--plain")[1]
    guard_yaml.write_text(shown)
    assert load_guard(guard_yaml, {}).model_dump() == before.model_dump()


@pytest.mark.usefixtures("guard_yaml")
def test_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GUARD_MODEE", "alert")
    code, out = run(capsys, "config", "check")
    assert code == 3
    assert "did you mean GUARD_MODE?" in out


def test_guard_yaml_of_the_repository_is_sound_and_needs_no_network() -> None:
    config = load_guard(Path(__file__).parents[2] / "guard.yaml", {})
    assert [exchange.connector for exchange in config.exchanges.values()] == ["sim"]
    assert all("127.0.0.1" in channel.url.get_secret_value() for channel in config.alerts.channels.values())


def test_key_without_effect_is_told_by_check_and_doctor(guard_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard_yaml.write_text("version: 1\nexchanges: {sim: {connector: sim}}\n\nalerts: {digest: 1d}\n")
    code, out = run(capsys, "config", "check")
    assert code == 0
    assert "warning[W004 no-effect-yet]: alerts.digest" in out
    assert out.endswith("guard.yaml: 1 warning\n")
    assert [row["id"] for row in json.loads(run(capsys, "--json", "config", "check")[1])["errors"]] == ["W004"]
    code, out = run(capsys, "doctor")
    assert code == 1
    assert "LOOK  guard.yaml:4:10: alerts.digest is read" in out


def test_every_command_reads_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GUARD_CONFIG", "other.yaml")
    (tmp_path / "other.yaml").write_text("mode: x\nexchanges: {}\n")
    for words in (("config", "check"), ("rules", "check"), ("doctor",)):
        assert "other.yaml:1:7" in run(capsys, *words)[1], words
    with pytest.raises(SystemExit) as caught:
        main(["run"])
    assert caught.value.code == 3
    assert "other.yaml:1:7" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("exchange", "line", "told"),
    [
        ("sim:\n    connector: sim\n    options: {sede: 7}", 3, "sede"),
        ("binance: {limits: {rest_share: 7}}", 3, "rest_share is 7"),
        ("one: {connector: sim}\n  two: {connector: smi}", 4, "no connector 'smi'"),
        ("binance: {urls: {api.publik: 'http://127.0.0.1:1'}}", 3, "allowed are api.public,"),
        ("binanse: {}", 3, "did you mean binance,"),
    ],
)
def test_what_a_connector_would_refuse_at_the_start_is_told_with_its_line(
    guard_yaml: Path, capsys: pytest.CaptureFixture[str], exchange: str, line: int, told: str
) -> None:
    guard_yaml.write_text(f"version: 1\nexchanges:\n  {exchange}\n")
    code, out = run(capsys, "config", "check")
    assert code == 3
    assert out.startswith(f"guard.yaml:{line}:3: error[")
    assert told in out
    assert "rules error" not in out


def test_addresses_that_ccxt_has_pass(guard_yaml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guard_yaml.write_text("exchanges: {binance: {urls: {api.ws.spot: 'ws://127.0.0.1:1/stream'}, limits: {rest_share: 0.1}}}\n")
    assert run(capsys, "config", "check") == (0, "guard.yaml: no mistakes found\n")
