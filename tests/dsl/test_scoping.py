"""By which key of its scope a rule looks at a market."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from guard.dsl import Rule, compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.dsl.scoping import scope_keys
from guard.model import Market, MarketClass, MarketFacts

SYMBOLS = ("BTC/USDT", "ETH/USDT", "PEPE/USDC", "BTC/USDT:USDT")
SOME = {
    "exchange": ["binance", "k*"],
    "symbol": ["*", "*/USDT", "BTC/*"],
    "exclude": ["ETH/*", "*:*"],
    "quote": ["USDT", "USDC"],
    "class": ["spot", "perp", "major"],
    "tags": ["thin", "new"],
}


def rule(scope: dict[str, list[str]], **keys: object) -> Rule:
    report = Report()
    text = json.dumps({"rules": {"one": {"when": "trades(10s) > 1", "level": "warning", "scope": scope, **keys}}})
    found = compile_rules(rules_from_text(text, report)).rules[0]
    assert not report.errors, report.errors
    return found


@given(
    scope=st.fixed_dictionaries({}, optional={key: st.lists(st.sampled_from(words), min_size=1) for key, words in SOME.items()}),
    exchange=st.sampled_from(["binance", "kucoin", "okx"]),
    symbol=st.sampled_from(SYMBOLS),
    market_class=st.sampled_from(MarketClass),
    tags=st.frozensets(st.sampled_from(["thin", "old"])),
    mode=st.sampled_from(["disabled", "shadow", "enforce"]),
)
def test_the_keys_hold_together_where_the_rule_looks(  # noqa: PLR0917 - what hypothesis gives
    scope: dict[str, list[str]], exchange: str, symbol: str, market_class: MarketClass, tags: frozenset[str], mode: str
) -> None:
    facts = MarketFacts(Market(exchange, symbol), market_class=market_class, tags=tags)
    made = rule(scope, mode=mode)
    keys = scope_keys(made, facts)
    assert all(key.holds for key in keys) is made.covers(facts)
    assert {key.key for key in keys} >= set(scope)


def test_a_key_that_does_not_hold_says_what_was_found_and_what_is_allowed() -> None:
    made = rule({"quote": ["USDT"], "class": ["perp"], "tags": ["thin"]})
    keys = {key.key: key for key in scope_keys(made, MarketFacts(Market("x", "A/EUR")))}
    assert keys["quote"] == ("quote", False, "EUR", "USDT")
    assert keys["class"] == ("class", False, "spot", "perp")
    assert keys["tags"] == ("tags", False, "none", "thin")


def test_a_required_factor_without_its_stream_is_named() -> None:
    made = rule({}, level=None, risk={"order_book": {"weight": 1, "value": "ramp(spread_z(), 2, 8)"}})
    facts = MarketFacts(Market("x", "A/EUR"), streams=frozenset({"trades"}))
    assert not made.works_on(facts)
    assert scope_keys(made, facts)[-1] == ("streams", False, "trades", "book")
