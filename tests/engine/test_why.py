"""What a rule says of itself: every condition with its value, and what is missing."""

from __future__ import annotations

import json

from engine.running import take, wait

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.engine import Engine
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
    (told,) = made.why(row, T0 + 21 * S)
    assert told["missing"] == [
        "trades(10s) >= 3 (trades(10s) is 2)",
        "score >= 0.6 (is 0.20)",
        "vol_z(10s, baseline=6h) > 2 (vol_z(10s, baseline=6h) is unknown: its baseline has seen 0 of 30 minutes with trades)",
    ]
    assert (told["fires"], told["unless"], told["level"]) == (False, None, "normal")


def test_an_exception_that_holds_is_named() -> None:
    made, row = engine(150)
    (told,) = made.why(row, T0 + 21 * S)
    assert told["unless"] == "many"
    assert "the exception many holds" in told["missing"]


def test_it_is_json_and_shares_sum_to_the_score() -> None:
    for trades in (0, 5, 150):
        made, row = engine(trades)
        (told,) = json.loads(json.dumps(made.why(row, T0 + 21 * S), allow_nan=False))
        if told["score"] is not None:
            assert sum(part["share"] for part in told["factors"]) == told["score"]


def test_before_the_first_evaluation_there_is_nothing_to_tell() -> None:
    report = Report()
    made = Engine(compile_rules(rules_from_text(RULE, report)))
    assert made.why(made.open(MarketFacts(Market("x", "A/USDT"))), T0) == []
