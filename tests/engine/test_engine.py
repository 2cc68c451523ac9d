from __future__ import annotations

from typing import TYPE_CHECKING

from engine.running import take, wait

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.engine import Engine
from guard.model import BUY, Batch, Channel, DataState, Kind, Level, Market, MarketFacts, Status

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.model import Verdict

S = 1_000_000
T0 = 1_700_000_000 * S
BUSY = """
rules:
  busy:
    mode: enforce
    when: trades(10s) >= 3
    level: danger
    for: 2s
    clear: {when: trades(10s) == 0, for: 3s}
"""


def program(text: str = BUSY) -> Program:
    report = Report()
    rules = rules_from_text(text, report)
    assert not report.errors, report.errors
    return compile_rules(rules)


class Feed:
    """Feeds an engine event by event, firing what is due before."""

    def __init__(self, text: str = BUSY) -> None:
        self.engine = Engine(program(text))
        self.row = self.engine.open(MarketFacts(Market("x", "A/USDT"), streams=frozenset({"trades"})))
        self.told: list[tuple[float, str]] = []
        self.put(Kind.STATUS, 0, side=Channel.TRADES, key=Status.LIVE)

    def until(self, at_s: float) -> None:
        self._tell(wait(self.engine, T0 + int(at_s * S)))

    def put(self, kind: Kind, at_s: float, **columns: float) -> None:
        batch = Batch(1)
        batch.append(kind, self.row, at_us=T0 + int(at_s * S), received_us=T0 + int(at_s * S), **columns)  # type: ignore[arg-type]
        self._tell(take(self.engine, batch))

    def trade(self, at_s: float) -> None:
        self.put(Kind.TRADE, at_s, price=1.0, amount=1.0, side=BUY, key=int(at_s * 1000))

    def _tell(self, verdicts: list[Verdict]) -> None:
        self.told += [(round((v.at_us - T0) / S, 1), str(v.level)) for v in verdicts]


def burst(feed: Feed, at_s: float) -> None:
    for step in range(4):
        feed.trade(at_s + step / 10)


def test_a_level_is_entered_after_for_without_another_event() -> None:
    feed = Feed()
    burst(feed, 20)
    feed.until(30)
    assert feed.told == [(22.2, "danger")]


def test_a_level_ends_by_silence_alone() -> None:
    feed = Feed()
    burst(feed, 20)
    feed.until(60)
    assert [level for _, level in feed.told] == ["danger", "normal"]
    assert 33 <= feed.told[-1][0] <= 35


def test_a_quiet_market_costs_nothing() -> None:
    feed = Feed()
    feed.trade(20)
    feed.until(10_000)
    assert feed.engine.next_deadline_us is None
    assert feed.engine.evaluations <= 4


def test_a_rule_that_cannot_tell_does_not_keep_the_engine_busy() -> None:
    unknown = BUSY.replace("trades(10s) >= 3", "vol_z(10s, baseline=6h) > 3")
    shadow = Feed(unknown.replace("enforce", "shadow"))
    burst(shadow, 20)
    shadow.until(10_000)
    assert shadow.engine.data_state(shadow.row, T0 + 10_000 * S) is not DataState.DEGRADED
    feed = Feed(unknown)
    burst(feed, 20)
    feed.until(10_000)
    assert feed.engine.evaluations <= 12
    assert feed.told == []
    assert feed.engine.watched[0].episodes[0].is_unknown(T0 + 10_000 * S)
    assert feed.engine.data_state(feed.row, T0 + 10_000 * S) is DataState.DEGRADED


def test_a_lost_stream_makes_the_data_stale_and_a_live_one_does_not() -> None:
    feed = Feed()
    feed.trade(1)
    feed.trade(70)
    assert feed.engine.data_state(feed.row, T0 + 70 * S) is DataState.OK
    feed.put(Kind.STATUS, 71, side=Channel.TRADES, key=Status.LOST)
    assert feed.engine.data_state(feed.row, T0 + 71 * S) is DataState.STALE
    feed.put(Kind.STATUS, 72, side=Channel.TRADES, key=Status.LIVE)
    assert feed.engine.data_state(feed.row, T0 + 72 * S) is not DataState.STALE


def test_a_reload_keeps_the_episode_of_an_unchanged_rule_and_drops_a_changed_one() -> None:
    feed = Feed()
    burst(feed, 20)
    feed.until(25)
    feed.engine.load(program(BUSY + "\n  other: {when: trades(10s) > 100, level: warning}\n"), T0 + 25 * S)
    assert [episode.level for episode in feed.engine.watched[0].episodes] == [Level.DANGER, Level.NORMAL]
    feed.engine.load(program(BUSY.replace("for: 2s", "for: 4s")), T0 + 25 * S)
    assert [episode.level for episode in feed.engine.watched[0].episodes] == [Level.NORMAL]


def test_a_reload_keeps_the_timers_of_an_unchanged_rule() -> None:
    more = program(BUSY + "\n  other: {when: trades(10s) > 100, level: warning}\n")
    for reloads in ((), (21.5,), (21.5, 22.0, 31.0)):
        feed = Feed()
        burst(feed, 20)
        for number, at_s in enumerate(reloads):
            feed.until(at_s)
            feed.engine.load(program() if number % 2 else more, T0 + int(at_s * S))
        feed.until(60)
        entered, ended = feed.told
        assert entered == (22.2, "danger")
        # A second is how often a market that falls silent is looked at; anew after each reload.
        assert ended[1] == "normal"
        assert 33 <= ended[0] <= 35


SOFT = """
rules:
  pump:
    mode: enforce
    use: {pump: {detector: pump_dump}}
    when: trades(10s) >= 3
    risk:
      trade_pattern: {weight: 1, value: "ramp(trades(10s), 0, 3)"}
      volume_anomaly: {weight: 0.01, value: "SECOND"}
"""


def test_a_soft_detector_blocks_only_with_a_factor_of_another_family() -> None:
    for second, level in (("0.4", "warning"), ("0.6", "critical")):
        feed = Feed(SOFT.replace("SECOND", second))
        burst(feed, 20)
        feed.until(25)
        assert feed.told[-1][1] == level


TRADES_ONLY = frozenset({"trades"})


def test_a_rule_whose_required_streams_never_arrive_is_not_watched() -> None:
    text = """
rules:
  book: {when: spread() > 0, risk: {order_book: {weight: 1, value: "ramp(spread(), 0, 1)"}}}
  both: {when: trades(10s) > 0, risk: {price_volatility: {weight: 1, value: "0.5"}, order_book: {weight: 1, value: spread()}}}
"""
    compiled = program(text)
    bound = compiled.bind(MarketFacts(Market("x", "A/USDT"), streams=TRADES_ONLY)).rules
    assert [compiled.rules[number].id for number in bound] == ["both"]
