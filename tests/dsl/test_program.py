from __future__ import annotations

from dsl.small import RULE, condition, facts, program, row

from guard.detection.detector import Family
from guard.model import Block, Level, MarketClass, RuleMode, TargetKind

PUMP = program()
HOT = {"ret_60s": 0.05, "ret_30s": 0.05, "volume_24h_usd": 1e6, "spread": 0.006, "trades_60s": 50.0, "trades_30s": 40.0}


def outcome(symbol: str = "X/USDT", **values: float):  # noqa: ANN201 - an Outcome
    found = PUMP.bind(facts(symbol)).evaluate(row(PUMP, **values))
    assert len(found) == 1
    return found[0]


def test_rule_fires_with_score_and_factors() -> None:
    found = outcome(**HOT)
    assert found == (0, True, None, 1.0, (1.0, 1.0, 1.0), False, False, (1.0,))


def test_exception_that_holds_is_named_and_keeps_the_rule_silent() -> None:
    found = outcome("BTC/USDT", **HOT)
    assert (found.fires, found.unless) == (False, "majors")


def test_unknown_where_counts_as_in_scope() -> None:
    known = {name: value for name, value in HOT.items() if name != "volume_24h_usd"}
    assert outcome(**known).fires is True
    assert outcome(**{**known, "volume_24h_usd": 1e9}).fires is False


def test_fixed_facts_decide_the_scope_when_a_market_is_bound() -> None:
    assert PUMP.bind(facts(market_class=MarketClass.PERP)).rules == ()
    assert PUMP.bind(facts("X/BTC")).rules == ()
    assert PUMP.bind(facts()).rules == (0,)
    assert PUMP.bind(facts("X/BTC")).evaluate([]) == ()


def test_known_and_default_never_decide_a_scope_before_there_is_data() -> None:
    made = condition("ret(1s) > 1%", scope="{where: 'known(volume_24h_usd) and default(volume_24h_usd, 9B) < 20M'}")
    binding = made.bind(facts())
    assert binding.rules == (0,)
    assert binding.evaluate(row(made, ret_1s=0.02, volume_24h_usd=1e6))[0].fires is True
    assert binding.evaluate(row(made, ret_1s=0.02))[0].fires is False


def test_optional_factor_without_its_stream_is_absent() -> None:
    about = facts(streams=frozenset({"trades"}))
    assert PUMP.rules[0].factor_absent(about) == (False, True, False)
    found = PUMP.bind(about).evaluate(row(PUMP, **HOT))[0]
    assert found.factors == (1.0, None, 1.0)
    assert found.score == 1.0


def test_factor_on_market_fields_is_never_absent() -> None:
    made = program("rules: {r: {risk: {a: {weight: 1, value: 'ramp(age(of=book), 1s, 9s)'}}}}")
    assert made.rules[0].factor_absent(facts(streams=frozenset())) == (False,)


def test_required_factor_that_is_unknown_makes_the_score_unknown() -> None:
    found = outcome(**{**HOT, "ret_60s": float("nan")})
    assert (found.score, found.clears, found.releases) == (None, None, None)


def test_markets_with_equal_facts_share_one_function() -> None:
    assert PUMP.bind(facts("X/USDT")).evaluate is PUMP.bind(facts("Y/USDT")).evaluate
    assert PUMP.bind(facts("BTC/USDT")).evaluate is not PUMP.bind(facts("Y/USDT")).evaluate


def test_market_that_was_bound_before_answers_with_the_same_binding() -> None:
    assert PUMP.bind(facts("X/USDT")) is PUMP.bind(facts("X/USDT"))


def test_disabled_rule_is_checked_but_never_bound() -> None:
    made = program(RULE.replace("mode: enforce", "mode: disabled"))
    assert made.rules[0].mode is RuleMode.DISABLED
    assert made.bind(facts()).rules == ()


def test_resolved_rule_carries_what_the_engine_needs() -> None:
    rule = PUMP.rules[0]
    assert (rule.id, rule.mode, rule.title, rule.line) == ("pump", RuleMode.ENFORCE, "Pump", 5)
    assert (rule.for_us, rule.clear_for_us) == (2_000_000, 120_000_000)
    assert rule.families == frozenset({Family.PATTERN})
    assert rule.classifier is not None
    assert rule.classifier.level(0.8) is Level.DANGER


def test_higher_level_takes_the_actions_of_the_one_below() -> None:
    actions = PUMP.rules[0].actions
    assert actions[Level.WARNING].alert is False
    assert actions[Level.CRITICAL] == actions[Level.DANGER]
    order = actions[Level.CRITICAL].quarantine
    assert order is not None
    assert (order.target, order.block, order.for_us) == (TargetKind.MARKET, Block.ENTRIES, 1_800_000_000)
    assert (order.release.for_us, order.release.probation_us) == (600_000_000, 1_800_000_000)


def test_rule_without_actions_tells_people() -> None:
    assert condition("ret(1s) > 1%").rules[0].actions[Level.DANGER].alert is True


def test_rule_without_clear_is_calm_when_it_does_not_fire() -> None:
    made = condition("ret(1s) > 1%")
    evaluate = made.bind(facts()).evaluate
    assert evaluate(row(made, ret_1s=0.0))[0].clears is True
    assert evaluate(row(made, ret_1s=0.02))[0].clears is False
    assert evaluate(row(made))[0].clears is None
    assert evaluate(row(made, ret_1s=0.0))[0].releases is True


def test_evidence_shows_parameters_in_their_place() -> None:
    leaves = row(PUMP, **HOT)
    assert PUMP.evidence(0, leaves) == {"ret(30s)": 0.05, "trades(30s)": 40.0}
    assert PUMP.evidence(0, row(PUMP), detector=0) == {"ret(30s)": None, "trades(30s)": None}


def test_explanation_shows_each_part_with_its_value() -> None:
    trees = PUMP.explain(PUMP.bind(facts()), 0, row(PUMP, **HOT))
    by_label = {tree.text: tree for tree in trees}
    assert by_label["when"].value is True
    whole = by_label["when"].children[0]
    assert [part.text for part in whole.children] == ["pump.active", "move > 1% or hot"]
    assert by_label["unless.majors"].value is False
    assert by_label["clear.when"].children[0].children[0][:3] == ("score", 1.0, ())


def test_hash_changes_with_meaning_and_not_with_place() -> None:
    moved = program("\n\n" + RULE).rules[0]
    changed = program(RULE.replace("1%, 4%", "1%, 5%")).rules[0]
    macro = program(RULE.replace("> 75%", "> 80%")).rules[0]
    assert moved.hash == PUMP.rules[0].hash
    assert len({PUMP.rules[0].hash, changed.hash, macro.hash}) == 3
