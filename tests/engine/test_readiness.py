"""From when on a rule can tell something of a market, held against when it really could."""

from __future__ import annotations

import pytest
from engine.running import take

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.engine import Engine, Ready, RuleReadiness, readiness
from guard.model import BUY, Batch, Channel, Flag, Kind, Market, MarketFacts, Status

T = 1_700_000_000_000_000
SECOND = 1_000_000
RULES = """
version: 1
rules:
  short: {title: a, why: a, mode: alert, when: ret(60s) > 1%, level: warning}
  long: {title: b, why: b, mode: alert, when: "ret(60s) > 1% and vol_z(60s, baseline=6h) > 3", level: warning}
  either: {title: c, why: c, mode: alert, when: "ret(60s) > 1% or vol_z(60s, baseline=6h) > 3", level: warning}
  book: {title: d, why: d, mode: alert, when: spread() > 1%, level: warning}
  elsewhere: {title: e, why: e, mode: alert, scope: {symbol: "Z/*"}, when: price() > 1, level: warning}
  off: {title: f, why: f, mode: disabled, when: price() > 1, level: warning}
"""


def engine(*streams: str) -> Engine:
    report = Report()
    rules = rules_from_text(RULES, report)
    assert not report.errors, report.errors
    made = Engine(compile_rules(rules))
    made.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset(streams or ("trades", "book")), usd_rate=1.0, tick=0.01))
    return made


def put(made: Engine, kind: Kind, at_us: int, **columns: float) -> None:
    batch = Batch(1)
    batch.append(kind, 0, at_us=at_us, received_us=at_us, **columns)  # type: ignore[arg-type] - whole where they must be
    take(made, batch)


def told(made: Engine, now_us: int) -> dict[str, RuleReadiness]:
    return {each.rule: each for each in readiness(made, 0, now_us)}


def live(made: Engine) -> Engine:
    put(made, Kind.STATUS, T, side=Channel.ALL, key=Status.LIVE)
    return made


def trades(made: Engine, seconds: range) -> None:
    for second in seconds:
        put(made, Kind.TRADE, T + second * SECOND, price=1.0, amount=2.0, side=BUY, key=second + 1)


def test_before_its_streams_begin_nobody_can_say_when() -> None:
    found = told(engine(), T)
    assert {found[rule].state for rule in ("short", "long", "book")} == {Ready.WAITING}
    assert found["short"].text == "waiting: the stream of trades has not begun yet"


def test_rules_that_do_not_look_at_a_market_are_not_told() -> None:
    assert not {"elsewhere", "off"} & set(told(engine(), T))


def test_a_stream_that_never_comes_is_never_and_says_which() -> None:
    found = told(live(engine("trades")), T)
    assert (found["book"].state, found["book"].text) == (Ready.NEVER, "never: no stream of the book")
    assert found["short"].state is not Ready.NEVER


def test_the_time_left_is_that_until_the_rule_really_knows() -> None:
    made = live(engine())
    trades(made, range(1, 21))
    found = told(made, T + 20 * SECOND)["short"]
    assert found.state is Ready.WARMING
    assert found.in_s is not None
    ends = 20 + int(found.in_s)
    trades(made, range(21, ends - 2))
    assert told(made, T + (ends - 3) * SECOND)["short"].state is Ready.WARMING
    trades(made, range(ends - 2, ends + 6))
    assert told(made, T + (ends + 5) * SECOND)["short"].state is Ready.READY
    assert made.watched[0].outcomes[0].fires is False


def test_a_longer_baseline_keeps_only_the_rule_that_cannot_do_without() -> None:
    made = live(engine())
    trades(made, range(1, 900))
    found = told(made, T + 899 * SECOND)
    assert (found["short"].state, found["either"].state, found["long"].state) == (Ready.READY, Ready.READY, Ready.WARMING)
    assert found["long"].in_s == pytest.approx((30 - 14) * 60, abs=60)  # every minute held trades
    assert found["long"].text.startswith("ready in 1")


def test_a_past_that_comes_behind_live_trades_makes_it_ready_and_is_counted_once() -> None:
    made = live(engine())
    trades(made, range(1, 100))
    now_us = T + 99 * SECOND
    assert told(made, now_us)["long"].state is not Ready.READY
    batch = Batch(500)
    for minute in range(-400, 2):  # the last two are live already
        at_us = T + minute * 60 * SECOND
        batch.append(Kind.TRADE, 0, at_us=at_us, received_us=now_us, price=1.0, amount=2.0, flags=int(Flag.BACKFILL))
    batch.append(Kind.STATUS, 0, at_us=now_us, received_us=now_us, side=Channel.ALL, key=Status.WARM)
    take(made, batch)
    trades(made, range(100, 102))
    found = told(made, T + 101 * SECOND)
    assert found["long"].state is Ready.READY
    assert found["short"].state is Ready.READY  # time did not go back, and what was covered is


def test_no_trade_is_no_time_that_anybody_could_tell() -> None:
    found = told(live(engine()), T + 3600 * SECOND)["long"]
    assert (found.state, found.in_s) == (Ready.WAITING, None)
