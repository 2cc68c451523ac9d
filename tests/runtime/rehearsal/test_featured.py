"""Tests that give the values of features themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.cli.main import main

PACK = """version: 1
lists: {majors: [BTC/USDT]}
rules:
  fall:
    mode: enforce
    scope: {where: volume_24h_usd() < 20M}
    use: {pump: {detector: pump_dump}, spoof: {detector: spoofing}}
    let: {down: "max(-residual_ret(60s), 0)"}
    when: down > 2% and trades(60s) >= 20 and not crossed()
    unless: {majors: market.symbol in $majors}
    risk:
      price_volatility: {weight: 0.5, value: "ramp(down, 1%, 4%)"}
      trade_pattern: {weight: 0.5, value: pump.score}
      order_book: {weight: 0.5, value: "ramp(spread_z(), 2, 8)", optional: true}
    for: 2s
    clear: {when: score < 0.4, for: 5s}
    actions: {warning: [alert], danger: [alert, {quarantine: {for: 15s, release: {when: score < 0.3, for: 5s, probation: 10s}}}]}
"""
FEATURES = {
    "residual_ret(60s)": "0x9 -5%x9 0x200",
    "trades(60s)": 40,
    "crossed()": "false",
    "pump.score": "0x9 1x9 0",
    "spread_z()": 0,
}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARD_CONFIG", raising=False)


def played(capsys: pytest.CaptureFixture[str], expect: str, features: dict[str, Any], **more: object) -> dict[str, Any]:
    case = {"rule": "fall", "features": features, "expect": ["@"], **more}
    Path("pack.yaml").write_text(PACK)
    Path("pack.test.yaml").write_text(f"tests:\n  one: {json.dumps(case)}\n".replace('"@"', expect))
    with pytest.raises(SystemExit):
        main(["rules", "test", "pack.yaml", "--json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_the_state_machine_runs_over_given_values_to_the_microsecond(capsys: pytest.CaptureFixture[str]) -> None:
    expect = (
        "{at: 11999ms, level: normal}, {at: 12s, level: critical, blocked: true}, {at: 24999ms, level: critical}, "
        "{at: 25s, level: normal, blocked: true}, {at: 26999ms, blocked: true}, {at: 32s, blocked: false}"
    )
    document = played(capsys, expect, FEATURES)
    assert (document["errors"], document["tests"][0]["misses"]) == ([], [])
    assert document["tests"][0]["not_given"] == ["volume_24h_usd()"]


def test_steps_last_as_long_as_they_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    document = played(capsys, "{at: 6999ms, level: normal}, {at: 7s, level: critical}", FEATURES, step="500ms")
    assert document["tests"][0]["passed"], document


def test_unknown_values_freeze_the_level_as_live(capsys: pytest.CaptureFixture[str]) -> None:
    frozen = {**FEATURES, "residual_ret(60s)": "0x9 -5%x4 _x60 0x60"}
    document = played(
        capsys, "{at: 14s, level: critical}, {at: 70s, level: critical, blocked: true}, {by: 90s, level: normal}", frozen
    )
    assert document["tests"][0]["passed"], document["tests"][0]["misses"]


def test_a_rule_that_cannot_tell_does_not_pass_for_silent(capsys: pytest.CaptureFixture[str]) -> None:
    document = played(capsys, "{never: warning}", {"trades(60s)": 40})
    (miss,) = document["tests"][0]["misses"]
    assert miss["expected"] == "the rule fall can tell while it stays silent"
    given = document["tests"][0]["not_given"]
    assert {"crossed()", "residual_ret(60s)", "spread_z()", "volume_24h_usd()", "rush(10s)"} <= set(given)
    assert not {"trades(60s)", "pump.score"} & set(given)


def test_an_exception_by_the_name_of_the_market_holds(capsys: pytest.CaptureFixture[str]) -> None:
    document = played(capsys, "{never: warning}", FEATURES, market="sim:BTC/USDT")
    assert document["tests"][0]["passed"]
    rows = {row["where"]: row for row in document["clauses"]}
    assert rows["unless.majors"]["times_true"] > 0
    assert rows["scope.where"]["lack"] == "was never decided"


@pytest.mark.parametrize(
    ("name", "series", "code", "told"),
    [
        ("retn(60s)", 0, "E042", "unknown name 'retn'; did you mean ret?"),
        ("ret(60)", 0, "E043", "did you mean 60s?"),
        ("ret(30s)", 0, "E079", "the rule fall does not read ret(30s); it reads crossed(), "),
        ("pmp.score", 0, "E078", "the rule uses no detector as 'pmp'; did you mean pump?"),
        ("pump.scor", 0, "E078", "pump has no part 'scor'; did you mean score?"),
        ("spoof.score", 0, "E079", "does not read spoof.score"),
        ("2 * trades(60s)", 0, "E078", "a series stands for one feature, found 2 * trades(60s)"),
        ("ret(60s", 0, "E040", ""),
        ("trades(60s)", "1 2 5%", "E081", "5% is wrong here: the feature is a count"),
        ("trades(60s)", "1 2 five", "E080", "'five' is no value of a series"),
        ("trades(1m)", 0, "E079", "trades(1m) is given twice"),
    ],
)
def test_a_wrong_series_is_told_with_its_place(
    name: str, series: object, code: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    features = {key: value for key, value in FEATURES.items() if key != name.strip()}
    document = played(capsys, "{never: warning}", {**features, name: series})
    (problem,) = document["errors"]
    assert (problem["file"], problem["line"], problem["id"]) == ("pack.test.yaml", 2, code)
    assert told in problem["message"]
    line = Path("pack.test.yaml").read_text().splitlines()[1]
    if code == "E042":
        assert line[problem["column"] - 1 :].startswith("retn(60s)")
    if code in {"E080", "E081"}:
        assert line[problem["column"] - 1 :].startswith(("five", "5%"))


@pytest.mark.parametrize("more", [{"feed": [{"at": "1s", "price": "+1%"}]}, {"recording": "x.csv"}, {"reference": "sim:TEST/USDT"}])
def test_series_stand_alone(more: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    document = played(capsys, "{never: warning}", FEATURES, **more)
    assert "features: stand in place of feed:" in document["errors"][0]["message"]


def test_a_step_without_series_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    document = played(capsys, "{never: warning}", {}, step="5s")
    assert "step: belongs to features:" in document["errors"][0]["message"]
