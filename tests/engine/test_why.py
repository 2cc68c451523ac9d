"""What a rule says of itself: every condition with its value, and what is missing."""

from __future__ import annotations

import json

from engine.running import take, wait

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.engine import Engine, outside, why
from guard.model import BUY, Batch, Channel, Kind, Market, MarketFacts, Status

S = 1_000_000
T0 = 1_700_000_000 * S
RULE = """
rules:
  busy:
    mode: enforce
    when: trades(10s) >= 3 and vol_z(10s, baseline=6h) > 2
    unless: {many: trades(10s) > 100}
    risk: {trade_pattern: {weight: 1, value: "ramp(trades(10s), 0, 10)"}}
"""


def engine(trades: int) -> tuple[Engine, int]:
    report = Report()
    rules = rules_from_text(RULE, report)
    assert not report.errors, report.errors
    made = Engine(compile_rules(rules))
    row = made.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"})))
    batch = Batch(trades + 1)
    batch.append(Kind.STATUS, row, at_us=T0, received_us=T0, side=Channel.TRADES, key=Status.LIVE)
    for step in range(trades):
        at_us = T0 + 20 * S + step * S // 100
        batch.append(Kind.TRADE, row, at_us=at_us, received_us=at_us, price=1.0, amount=1.0, side=BUY, key=step + 1)
    take(made, batch)
    wait(made, T0 + 21 * S)
    return made, row


def test_what_is_unknown_and_what_is_too_low_is_named_with_its_value() -> None:
    made, row = engine(2)
    (told,) = why(made, row, T0 + 21 * S)
    assert told["missing"] == [
        "trades(10s) >= 3 (trades(10s) is 2)",
        "score >= 0.6 (is 0.20)",
        "vol_z(10s, baseline=6h) > 2 (vol_z(10s, baseline=6h) is unknown: its baseline has seen 0 of 30 minutes with trades)",
    ]
    assert (told["fires"], told["unless"], told["level"]) == (False, None, "normal")


def test_an_exception_that_holds_is_named() -> None:
    made, row = engine(150)
    (told,) = why(made, row, T0 + 21 * S)
    assert told["unless"] == "many"
    assert "the exception many holds" in told["missing"]


def test_it_is_json_and_shares_sum_to_the_score() -> None:
    for trades in (0, 5, 150):
        made, row = engine(trades)
        (told,) = json.loads(json.dumps(why(made, row, T0 + 21 * S), allow_nan=False))
        if told["score"] is not None:
            assert sum(part["share"] for part in told["factors"]) == told["score"]


def test_before_the_first_evaluation_there_is_nothing_to_tell() -> None:
    report = Report()
    made = Engine(compile_rules(rules_from_text(RULE, report)))
    assert why(made, made.open(MarketFacts(Market("x", "A/USDT"))), T0) == []


def made_with(text: str, trades: int, **facts: object) -> tuple[Engine, int]:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.errors, report.errors
    made = Engine(compile_rules(rules))
    row = made.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"}))._replace(**facts))
    batch = Batch(trades + 1)
    batch.append(Kind.STATUS, row, at_us=T0, received_us=T0, side=Channel.TRADES, key=Status.LIVE)
    for step in range(trades):
        at_us = T0 + 20 * S + step * S // 100
        batch.append(Kind.TRADE, row, at_us=at_us, received_us=at_us, price=1.0, amount=1.0, side=BUY, key=step + 1)
    take(made, batch)
    return made, row


def test_too_few_trades_are_counted() -> None:
    text = "rules: {few: {level: warning, when: mirror_share(10s) > 50%}}"
    made, row = made_with(text, 7)
    wait(made, T0 + 21 * S)
    (told,) = why(made, row, T0 + 21 * S)
    assert told["missing"] == ["mirror_share(10s) > 50% (mirror_share(10s) is unknown: too few trades: 7 of 20 in 10s)"]


def test_either_way_is_told_of_an_or_the_nearer_one_first() -> None:
    text = "rules: {way: {level: warning, when: (trades(10s) > 100 and volume(10s) > 9) or trades(10s) > 8}}"
    made, row = made_with(text, 7)
    wait(made, T0 + 21 * S)
    (told,) = why(made, row, T0 + 21 * S)
    assert told["missing"] == [
        "trades(10s) > 8 (trades(10s) is 7) or trades(10s) > 100 (trades(10s) is 7) and volume(10s) > 9 (volume(10s) is 7)"
    ]


def test_a_division_by_nothing_is_named() -> None:
    made, row = made_with("rules: {ratio: {level: warning, when: trades(10s) / buy_volume(2s) > 1}}", 3)
    wait(made, T0 + 25 * S)
    made.kernel.advance(row, T0 + 25 * S)
    (told,) = why(made, row, T0 + 25 * S)
    assert told["missing"] == [
        "trades(10s) / buy_volume(2s) > 1 (trades(10s) / buy_volume(2s) is unknown: what it is divided by is 0)"
    ]


HELD = """
rules:
  held:
    mode: enforce
    when: trades(10s) >= 3
    risk: {trade_pattern: {weight: 1, value: "ramp(trades(10s), 0, 10)"}, price_volatility: {weight: 1, value: 1, optional: true}}
    for: 5s
    clear: {when: trades(10s) < 2, for: 1h}
"""


def test_how_long_for_has_held_and_what_lacks_to_the_next_level() -> None:
    made, row = made_with(HELD, 4)
    wait(made, T0 + 22 * S)
    (told,) = why(made, row, T0 + 22 * S)
    assert told["level"] == "normal"
    assert told["for"]["needs_s"] == 5.0
    assert 1.8 < told["for"]["held_s"]["warning"] < 2.0
    assert told["missing"] == ["it has to hold: 1.9 s of 5 s"]
    wait(made, T0 + 26 * S)
    (told,) = why(made, row, T0 + 26 * S)
    assert (told["level"], told["missing"], told["rise"]) == ("warning", [], ["danger: score >= 0.8 (is 0.70)"])
    assert told["clear"] == {"needs_s": 3600.0, "held_s": 0.0, "holds": False, "missing": ["trades(10s) < 2 (trades(10s) is 4)"]}


def test_a_rule_out_of_scope_names_the_key_and_an_unknown_where_counts_as_in() -> None:
    text = """
rules:
  in: {level: warning, when: trades(10s) > 9, scope: {where: volume_24h_usd() < 1M}}
  by_where: {level: warning, when: trades(10s) > 9, scope: {where: "market.symbol in ['B/USDT']"}}
  by_quote: {level: warning, when: trades(10s) > 9, scope: {quote: [EUR]}}
"""
    made, row = made_with(text, 1)
    wait(made, T0 + 21 * S)
    (told,) = why(made, row, T0 + 21 * S)
    assert (told["rule"], told["missing"]) == ("in", ["trades(10s) > 9 (trades(10s) is 1)"])
    others = {told["rule"]: told["by"] for told in outside(made, row, T0 + 21 * S)}
    assert others == {
        "by_where": ["where: market.symbol in ['B/USDT'] (market.symbol is A/USDT)"],
        "by_quote": ["quote: found USDT, allowed EUR"],
    }
    made, row = made_with(text, 1, volume_24h_usd=2e6)
    wait(made, T0 + 21 * S)
    (told,) = why(made, row, T0 + 21 * S)
    assert told["missing"] == ["volume_24h_usd() < 1M (volume_24h_usd() is 2M USD)", "trades(10s) > 9 (trades(10s) is 1)"]


def test_a_soft_detector_alone_says_which_other_evidence_lacks() -> None:
    text = """
rules:
  soft:
    use: {pump: {detector: pump_dump}}
    when: trades(10s) >= 1
    risk: {trade_pattern: {weight: 9, value: "1"}, volume_anomaly: {weight: 1, value: "0.2"}}
"""
    made, row = made_with(text, 3)
    wait(made, T0 + 21 * S)
    (told,) = why(made, row, T0 + 21 * S)
    assert (told["level"], told["says"]) == ("warning", "warning")
    assert told["rise"] == ["danger: a factor of another kind must reach 0.5 (volume_anomaly is 0.20)"]
