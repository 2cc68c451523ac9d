from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.errors import OperationRefused
from guard.model import AddQuarantine, Batch, IsolationState, Level, ReleaseQuarantine, Target, TargetKind
from guard.pipeline import Pipeline, Settings
from guard.runtime.lines import alert_line, lines_of
from guard_sim import tape

if TYPE_CHECKING:
    from guard.model import Decision

SYMBOLS = ["BTC/USDT", "MOON/USDT", "SUDS/USDT"]
START_US = 1_750_000_000_000_000
PROGRAM = compile_rules(load_rules(shipped_packs()))
POLICY = AlertPolicy(channels=(ChannelPolicy("push", frozenset({Level.DANGER, Level.CRITICAL})),))


@pytest.fixture(scope="module")
def rows() -> list[tape.Row]:
    """Return a minute and a half with a pump in it: enough for every kind of decision."""
    schedule = [{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 62}]
    return list(tape.events(duration_s=95.0, history_s=86_400.0, symbols=SYMBOLS, schedule=schedule))


def fresh() -> Pipeline:
    pipeline = Pipeline(PROGRAM, Settings(alerts=POLICY, references={"sim": "BTC/USDT"}))
    for facts in tape.facts(symbols=SYMBOLS):
        pipeline.open(facts)
    return pipeline


def batch_of(rows: list[tape.Row]) -> Batch:
    batch = Batch(max(1, len(rows)))
    for row in rows:
        columns = row._asdict()
        batch.append(columns.pop("kind"), columns.pop("market"), **columns)
    return batch


def told(decisions: list[Decision]) -> list[dict[str, Any]]:
    return [record for d in decisions for record in (*lines_of(d), *map(alert_line, d.deliveries))]


def log(decisions: list[Decision]) -> list[str]:
    records = told(decisions)
    return sorted(json.dumps(record, sort_keys=True) for record in records)


@pytest.fixture(scope="module")
def whole(rows: list[tape.Row]) -> Decision:
    return fresh().process(batch_of(rows))


def test_a_pump_becomes_verdict_quarantine_and_message_in_one_decision(whole: Decision) -> None:
    (opening,) = [t for t in whole.transitions if t.quarantine.state is IsolationState.QUARANTINED]
    assert str(opening.quarantine.target) == "sim:MOON/USDT"
    assert opening.quarantine.hold.rule == "pump_dump"
    (verdict,) = [v for v in whole.verdicts if v.level is Level.DANGER and v.rule == "pump_dump"]
    assert verdict.at_us == opening.at_us
    assert sum(part.share for part in verdict.risk.contributions) == pytest.approx(verdict.risk.score)
    assert verdict.findings[0].detector == "pump_dump"
    assert any(d.kind == "quarantine" and d.market == "sim:MOON/USDT" for d in whole.deliveries)


@settings(max_examples=4, deadline=None)
@given(cuts=st.lists(st.integers(0, 10**6), max_size=6))
def test_decisions_do_not_depend_on_how_events_are_cut(rows: list[tape.Row], whole: Decision, cuts: list[int]) -> None:
    places = sorted({cut % len(rows) for cut in cuts} | {0, len(rows)})
    pipeline = fresh()
    decisions = [pipeline.process(batch_of(rows[a:b])) for a, b in pairwise(places)]
    assert any(d.log for d in decisions)
    assert log(decisions) == log([whole])
    assert [line for d in decisions for line in lines_of(d)] == list(lines_of(whole))


def test_saving_and_restoring_mid_stream_changes_nothing(rows: list[tape.Row], whole: Decision) -> None:
    half = len(rows) * 4 // 5
    first, second = fresh(), fresh()
    decisions = [first.process(batch_of(rows[:half]))]
    second.restore(json.loads(json.dumps(first.save())))
    decisions.append(second.process(batch_of(rows[half:])))
    assert log(decisions) == log([whole])


def held(pipeline: Pipeline, *, for_us: int = 60_000_000) -> Decision:
    target = Target(TargetKind.BASE, "MOON")
    return pipeline.operate(AddQuarantine(target, for_us, "news", "ann"), START_US)


def test_a_person_holds_and_releases() -> None:
    pipeline = fresh()
    decision = held(pipeline)
    assert [str(t.quarantine.target) for t in decision.transitions] == ["base:MOON"]
    assert pipeline.image().blocks[0].hold.reason == "news"
    with pytest.raises(OperationRefused):
        pipeline.operate(ReleaseQuarantine(Target(TargetKind.BASE, "SUN"), None, "x", "ann"), START_US)
    pipeline.operate(ReleaseQuarantine(Target(TargetKind.BASE, "MOON"), None, "false alarm", "ann"), START_US + 1)
    assert pipeline.image().blocks == ()


def test_a_hold_ends_at_its_own_time_whatever_passes_it() -> None:
    pipeline = fresh()
    held(pipeline)
    (transition,) = pipeline.advance(START_US + 10**12).transitions
    assert transition.at_us == START_US + 60_000_000
    assert transition.quarantine.state is IsolationState.NORMAL


def test_the_image_names_every_watched_market_with_its_rules(rows: list[tape.Row]) -> None:
    pipeline = fresh()
    pipeline.process(batch_of(rows[:2000]))
    views = pipeline.image().markets
    assert set(views) == {f"sim:{symbol}" for symbol in SYMBOLS}
    assert all(view.rules_expected >= 1 for view in views.values())
