"""The keys per and quorum: what they mean, and every mistake with them at its place."""

from __future__ import annotations

import pytest
from dsl.small import facts, program
from dsl.test_rules import found

from guard.dsl import load_rules, rules_from_text
from guard.dsl.describe import shown
from guard.dsl.problems import Report
from guard.dsl.rule_models import RuleSpec
from guard.dsl.schema import pack_schema
from guard.model import Level, Market, Per, Quorum, TargetKind


def pack(keys: str) -> str:
    return f"rules:\n  one:\n    when: ret(10s) > 2%\n    level: danger\n{keys}\n"


def problems(keys: str) -> list[tuple[str, int, int]]:
    return [(problem.id, problem.line, problem.column) for problem in found(pack(keys))]


def quarantine(**keys: str) -> str:
    written = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"    actions: {{danger: [{{quarantine: {{{written}}}}}]}}"


def test_a_rule_judges_each_market_alone_unless_it_says_otherwise() -> None:
    (rule,) = program(pack("")).rules
    assert (rule.per, rule.quorum) == (Per.MARKET, None)
    assert program(pack("")).grouped == frozenset()
    grouped = program(pack("    per: symbol"))
    assert (grouped.rules[0].per, grouped.rules[0].quorum) == (Per.SYMBOL, Quorum(1))
    assert grouped.grouped == {0}
    assert grouped.bind(facts()).rules == (0,)


@pytest.mark.parametrize(
    ("written", "quorum"),
    [("3", Quorum(3)), ("30%", Quorum(ratio=0.3)), ('"33.5%"', Quorum(ratio=0.335)), ("100%", Quorum(ratio=1.0))],
)
def test_a_quorum_is_a_count_or_a_share(written: str, quorum: Quorum) -> None:
    (rule,) = program(pack(f"    per: exchange\n    quorum: {written}")).rules
    assert rule.quorum == quorum


@pytest.mark.parametrize("written", ["0", "-1", "20001", "0.3", "1.0", "0%", "101%", "30bp", "true", "many", "[3]", "30s", '""'])
def test_what_is_no_quorum_is_refused_where_it_stands(written: str) -> None:
    (problem,) = found(pack(f"    per: exchange\n    quorum: {written}"))
    assert (problem.id, problem.line) == ("E025", 6)
    assert "a count of markets such as 3 (at least 1), or a share such as 30%" in problem.message


@pytest.mark.parametrize(
    ("per", "target", "is_wide_enough"),
    [
        ("symbol", "market", False),
        ("symbol", "symbol", True),
        ("symbol", "base", True),
        ("symbol", "exchange", False),
        ("exchange", "market", False),
        ("exchange", "symbol", False),
        ("exchange", "base", False),
        ("exchange", "exchange", True),
        ("market", "market", True),
        ("market", "exchange", True),
    ],
)
def test_a_target_holds_the_whole_group_or_is_refused(per: str, target: str, *, is_wide_enough: bool) -> None:
    quorum = "" if per == "market" else "    quorum: 2\n"
    ids = problems(f"    per: {per}\n{quorum}{quarantine(target=target)}")
    line = 6 if per == "market" else 7
    assert ids == ([] if is_wide_enough else [("E065", line, 46)])


@pytest.mark.parametrize("per", Per)
@pytest.mark.parametrize("action", ["quarantine", "{quarantine: {for: 5m}}"])
def test_the_default_target_is_what_has_the_level(per: Per, action: str) -> None:
    (rule,) = program(pack(f"    per: {per}\n    actions: {{danger: [alert, {action}]}}")).rules
    order = rule.actions[Level.DANGER].quarantine
    assert order is not None
    assert order.target == TargetKind(str(per))


def test_one_market_that_would_block_its_exchange_draws_a_warning() -> None:
    assert problems(f"    per: exchange\n{quarantine()}") == [("W065", 5, 5)]
    assert problems(f"    per: exchange\n    quorum: 1\n{quarantine()}") == [("W065", 6, 5)]
    assert problems(f"    per: exchange\n    quorum: 2\n{quarantine()}") == []
    assert problems(f"    per: exchange\n    quorum: 10%\n{quarantine()}") == []
    assert problems("    per: exchange") == []
    assert problems(f"    per: symbol\n{quarantine()}") == []
    assert problems("    per: exchange\n    actions: {danger: [quarantine]}") == [("W065", 5, 5)]
    assert problems(f"    mode: disabled\n    per: exchange\n{quarantine()}") == []


@pytest.mark.parametrize(
    ("keys", "ids"),
    [
        ("    per: symbol\n    quorum: 3\n    scope: {exchange: [okx, kucoin]}", [("W066", 6, 5)]),
        ("    per: symbol\n    quorum: 3\n    scope: {exchange: [okx, okx, okx]}", [("W066", 6, 5)]),
        ("    per: symbol\n    quorum: 50%\n    scope: {exchange: okx}", [("W066", 6, 5)]),
        ("    per: exchange\n    quorum: 2\n    scope: {symbol: BTC/USDT}", [("W066", 6, 5)]),
        ("    per: symbol\n    quorum: 2\n    scope: {exchange: [okx, kucoin]}", []),
        ("    per: symbol\n    quorum: 100%\n    scope: {exchange: [okx, kucoin]}", []),
        ("    per: symbol\n    quorum: 3\n    scope: {exchange: [okx, kuc*]}", []),
        ("    per: symbol\n    quorum: 3\n    scope: {exchange: [okx, kucoi?]}", []),
        ("    per: symbol\n    quorum: 3", []),
        ("    per: symbol\n    scope: {exchange: okx}", []),
    ],
)
def test_a_quorum_that_no_group_can_reach_draws_a_warning(keys: str, ids: list[tuple[str, int, int]]) -> None:
    assert problems(keys) == ids


def test_a_quorum_without_a_group_is_refused() -> None:
    assert problems("    quorum: 2") == [("E066", 5, 5)]
    assert problems("    per: market\n    quorum: 30%") == [("E066", 6, 5)]


def test_a_resolved_rule_shows_what_follows_from_per() -> None:
    report = Report()
    rules = rules_from_text(pack(f"    per: exchange\n{quarantine(**{'for': '5m'})}"), report)
    keys = shown(rules.rules[0], resolved=True)
    assert (keys["per"], keys["quorum"]) == ("exchange", 1)
    assert keys["actions"]["danger"][0]["quarantine"]["target"] == "exchange"
    assert "quorum" not in shown(rules.rules[0], resolved=False)
    share = RuleSpec.model_validate({"when": "true", "level": "danger", "per": "symbol", "quorum": "30%"})
    assert share.model_dump(mode="json")["quorum"] == "30%"


def test_the_schema_describes_the_keys() -> None:
    keys = pack_schema()["$defs"]["RuleSpec"]["properties"]
    assert "one alert and one quarantine" in keys["per"]["description"]
    assert "30%" in keys["quorum"]["description"]
    assert pack_schema()["$defs"]["Per"]["enum"] == ["market", "symbol", "exchange"]


def test_a_changed_per_or_quorum_is_another_rule() -> None:
    texts = ["", "    per: symbol", "    per: symbol\n    quorum: 2", "    per: exchange\n    quorum: 2"]
    assert len({program(pack(text)).rules[0].hash for text in texts}) == len(texts)


def test_the_shipped_rules_judge_each_market_alone() -> None:
    from guard.dsl import shipped_packs

    specs = [rule.spec for rule in load_rules(shipped_packs()).rules]
    assert all(spec is not None and spec.per is Per.MARKET for spec in specs)


def test_a_group_is_named_by_its_symbol_or_exchange() -> None:
    market = Market("okx", "BTC/USDT:USDT")
    assert [per.name_of(market) for per in Per] == ["okx:BTC/USDT:USDT", "BTC/USDT:USDT", "okx"]
