from __future__ import annotations

from typing import Any

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.model.exchange import ExchangeOffer
from guard.runtime.offers import fits, offers

BOTH = frozenset({"trades", "book"})
ALL = frozenset({"candles", "trades", "tickers", "status"})


def judged(**facts: frozenset[str] | str) -> dict[str, tuple[str, str]]:
    program = compile_rules(load_rules(shipped_packs()))
    given: dict[str, Any] = {"streams": BOTH, "rest": ALL, "prints": "single", "stamp": "ms", **facts}
    return {fit.rule: (fit.state, fit.why) for fit in fits(ExchangeOffer("x", "X", "generic", **given), program)}


def test_all_rules_work_where_everything_is_there() -> None:
    assert set(judged().values()) == {("works", "")}


def test_rules_of_a_stream_that_is_missing_never_work_and_say_which() -> None:
    found = judged(streams=frozenset({"trades"}))
    assert found["spread_blowout"] == ("never", "needs the stream of the book")
    assert found["divergence"][0] == found["spoofing"][0] == found["wash_trading"][0] == "never"
    assert found["pump_dump"] == ("works", "")


def test_a_key_that_a_stream_wants_is_said() -> None:
    found = judged(streams=frozenset({"trades"}), keyed=frozenset({"book"}))
    assert "guard has no key" in found["divergence"][1]
    assert "guard has no key" in found["spoofing"][1]


def test_fills_put_together_weaken_what_counts_them() -> None:
    found = judged(prints="taker")
    assert found["wash_trading"][0] == "weaker"
    assert found["pump_dump"] == ("works", "")


def test_whole_seconds_weaken_what_looks_within_them() -> None:
    found = judged(stamp="s")
    assert {rule for rule, (state, _) in found.items() if state == "weaker"} == {"pump_dump", "spoofing", "wash_trading"}


def test_what_is_not_known_is_not_called_sound() -> None:
    found = judged(prints="unknown", stamp="unknown")
    assert {rule for rule, (state, _) in found.items() if state == "unsure"} == {"pump_dump", "spoofing", "wash_trading"}


def test_without_candles_long_baselines_of_turnover_are_learned_live() -> None:
    found = judged(rest=frozenset())
    assert "learned live" in found["wash_trading"][1]
    assert found["spread_blowout"] == ("works", "")


def test_every_exchange_with_both_streams_is_offered() -> None:
    found = {offer.id: offer for offer in offers()}
    assert len(found) >= 73
    assert {offer.streams | offer.keyed for offer in found.values()} == {BOTH}
    fast = {name for name, offer in found.items() if offer.tier == "fast"}
    assert fast >= {"binance", "binanceusdm", "kucoin", "gate", "okx", "bybit"}
    assert {offer.tier for offer in found.values()} == {"fast", "generic"}
    assert {name for name, offer in found.items() if offer.keyed} == {
        *("alpaca", "cex", "coinbaseexchange", "coinbaseinternational", "luno")
    }
    assert found["okx"].prints == "taker"
    assert found["binance"].choice
