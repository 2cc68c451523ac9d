"""Tests of rules that judge markets together: what is expected of a group."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

PACK = """
version: 1
rules:
  storm:
    mode: enforce
    per: {per}
    quorum: 2
    scope: {{symbol: "*/USDT"}}
    when: ret(10s) > 2%
    level: danger
    for: 1s
    clear: {{for: 5s}}
    actions: {{danger: [{{quarantine: {{for: 5m}}}}]}}
tests:
  two_of_three:
    rule: storm
    market: one:PEPE/USDT
    markets: {{"two:PEPE/USDT": {{}}, "three:PEPE/USDT": {{}}, "two:DOGE/USDT": {{}}, "two:DOGE/EUR": {{}}}}
    warm: {{live: 60s, history: 0s}}
    feed:
      - {{at: 10s, price: "100 -> 106 over 20s", trades: 8/s}}
      - {{at: 20s, market: "three:PEPE/USDT", price: "100 -> 106 over 20s", trades: 8/s}}
    expect: {expect}
"""


def played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: str, *, per: str = "symbol", is_json: bool = True
) -> dict[str, Any] | str:
    file = tmp_path / "storm.yaml"
    file.write_text(PACK.format(per=per, expect=expect))
    with pytest.raises(SystemExit):
        main([*(["--json"] if is_json else []), "rules", "test", str(file)])
    out = capsys.readouterr().out
    return json.loads(out) if is_json else out  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "expect",
    [
        "[{at: 18s, group: PEPE/USDT, level: normal, blocked: false}, {by: 35s, group: PEPE/USDT, level: danger, blocked: true}]",
        '[{by: 35s, market: "two:PEPE/USDT", level: danger, blocked: true}, {never: warning, group: DOGE/USDT}]',
        '[{by: 35s, level: danger, blocked: true}, {never: blocked, market: "two:DOGE/EUR"}]',
        "[{by: 35s, group: PEPE/USDT, level: danger}, {by: 60s, group: PEPE/USDT, level: normal, blocked: true}]",
    ],
)
def test_every_market_of_a_group_stands_as_the_group(tmp_path: Path, capsys: pytest.CaptureFixture[str], expect: str) -> None:
    found = played(tmp_path, capsys, expect)
    assert isinstance(found, dict)
    assert (found["passed"], found["errors"], found["tests"][0]["misses"]) == (1, [], [])


def test_an_exchange_that_lacks_a_second_market_stays_normal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = played(tmp_path, capsys, "[{never: warning}, {never: warning, group: two}]", per="exchange")
    assert isinstance(found, dict)
    assert found["passed"] == 1


def test_a_miss_shows_the_group_and_how_far_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expect = "[{at: 18s, group: PEPE/USDT, level: danger}]"
    found = played(tmp_path, capsys, expect)
    assert isinstance(found, dict)
    (miss,) = found["tests"][0]["misses"]
    assert (miss["group"], miss["market"]) == ("PEPE/USDT", "one:PEPE/USDT")
    assert {(row["quorum"]["held"], row["quorum"]["needed"]) for row in miss["around"] if "quorum" in row} == {(0, 2), (1, 2)}
    text = played(tmp_path, capsys, expect, is_json=False)
    assert "on the group PEPE/USDT; its market one:PEPE/USDT" in text
    assert "1 of 2 needed" in text


@pytest.mark.parametrize(
    ("per", "expect", "says"),
    [
        ("symbol", "[{never: warning, group: DOGE/EUR}]", "has no group 'DOGE/EUR' in this test; it has PEPE/USDT, DOGE/USDT"),
        ("exchange", "[{never: warning, group: okx}]", "has no group 'okx' in this test; it has one, two, three"),
        ("symbol", '[{never: warning, group: PEPE/USDT, market: "two:PEPE/USDT"}]', "is about a market: or a group:"),
    ],
)
def test_a_group_that_is_not_there_is_a_mistake_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], per: str, expect: str, says: str
) -> None:
    found = played(tmp_path, capsys, expect, per=per)
    assert isinstance(found, dict)
    (problem,) = found["errors"]
    assert says in problem["message"]
    assert problem["line"] == PACK[: PACK.index("expect:")].count("\n") + 1


def test_a_rule_of_single_markets_has_no_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "storm.yaml"
    text = PACK.format(per="market", expect="[{never: warning, group: PEPE/USDT}]").replace("    quorum: 2\n", "")
    file.write_text(text)
    with pytest.raises(SystemExit):
        main(["rules", "test", str(file)])
    assert "a group takes per: symbol or per: exchange in the rule" in capsys.readouterr().out
