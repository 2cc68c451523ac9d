"""CONTROL rows: a detector that is switched off in the middle of the events, the same way each time."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from detection.own import MARKETS, START, batch, compiled, demotion, detector, merged, steep, tape
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.model import IsolationState, Level
from guard.pipeline import Pipeline
from guard.runtime.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.dsl import Program
    from guard.model import Decision

HIGH_AT_30 = {30: 200.0, 45: 50.0}


def opened(program: Program) -> Pipeline:
    pipeline = Pipeline(program)
    for facts in MARKETS:
        pipeline.open(facts)
    return pipeline


def log(*decisions: Decision) -> list[str]:
    return [json.dumps(record, sort_keys=True) for decision in decisions for record in lines_of(decision)]


def played(rows: list[dict[str, Any]], answer: Callable[[Any], Any] = steep) -> tuple[Pipeline, Decision]:
    pipeline = opened(compiled(detector(answer)))
    return pipeline, pipeline.process(batch(rows))


def levels(decision: Decision) -> list[tuple[str, Level]]:
    return [(verdict.market.symbol, verdict.level) for verdict in decision.verdicts]


def test_without_a_demotion_the_detector_holds_both_markets() -> None:
    _, decision = played(tape(HIGH_AT_30))
    assert levels(decision) == [(name, level) for level in (Level.DANGER, Level.NORMAL) for name in ("A/USDT", "B/USDT")]


def test_after_a_demotion_nothing_is_called_and_nothing_rises() -> None:
    seen: list[float] = []

    def answer(features: Any) -> float:  # noqa: ANN401 - a named tuple
        seen.append(features.price)
        return steep(features)

    pipeline, decision = played(merged(tape(HIGH_AT_30), demotion(20.5)), answer)
    assert levels(decision) == []
    assert seen
    assert set(seen) == {50.0}
    assert pipeline.engine.demoted == ("mine",)
    assert [watched.outcomes[0].detectors for watched in pipeline.engine.watched] == [(None,), (None,)]


def test_a_level_that_was_reached_stands_still_after_a_demotion() -> None:
    pipeline, decision = played(merged(tape(HIGH_AT_30), demotion(31.5)))
    assert [level for _, level in levels(decision)] == [Level.DANGER, Level.DANGER]
    assert all(episode.level is Level.DANGER for watched in pipeline.engine.watched for episode in watched.episodes)
    assert {each.quarantine.state for each in decision.transitions} == {IsolationState.QUARANTINED}


def test_markets_of_the_detector_are_looked_at_again_though_nothing_arrives() -> None:
    pipeline, _ = played(tape())
    before = pipeline.engine.evaluations
    pipeline.process(batch([demotion(60)]))
    pipeline.advance(START + 61_000_000)
    assert pipeline.engine.evaluations - before == 2
    assert all(watched.outcomes[0].fires is None for watched in pipeline.engine.watched)


def test_a_market_that_does_not_use_the_detector_is_left_alone() -> None:
    pipeline = opened(compiled(detector(steep), symbol="B/*"))
    pipeline.process(batch(tape()))
    before = pipeline.engine.kernel.sections(0)
    pipeline.process(batch([demotion(60)]))
    pipeline.advance(START + 61_000_000)
    assert pipeline.engine.kernel.sections(0) == before
    assert pipeline.engine.watched[1].outcomes[0].detectors == (None,)


def test_a_control_row_moves_no_market() -> None:
    pipeline, _ = played(tape())
    versions = [pipeline.engine.kernel.version(row) for row in (0, 1)]
    pipeline.process(batch([demotion(1_000, "other"), {**demotion(1_000), "side": 9}]))
    assert [pipeline.engine.kernel.version(row) for row in (0, 1)] == versions
    assert pipeline.engine.kernel.last(0)[0] == START + 59_000_000
    assert pipeline.engine.demoted == ()
    assert pipeline.engine.controls_unknown == 1
    assert pipeline.now_us == START + 1_000_000_000


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 10**6), max_size=6), second=st.floats(1, 59))
def test_the_log_does_not_depend_on_how_events_are_cut(cuts: list[int], second: float) -> None:
    rows = merged(tape(HIGH_AT_30), demotion(second))
    places = sorted({cut % len(rows) for cut in cuts} | {0, len(rows)})
    _, whole = played(rows)
    pipeline = opened(compiled(detector(steep)))
    assert log(*(pipeline.process(batch(rows[a:b])) for a, b in pairwise(places))) == log(whole)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, 119), second=st.sampled_from([10.5, 30.5, 31.5, 44.5]))
def test_a_restored_state_goes_on_with_what_is_demoted(cut: int, second: float) -> None:
    rows = merged(tape(HIGH_AT_30), demotion(second))
    first = opened(compiled(detector(steep)))
    begin = first.process(batch(rows[:cut]))
    saved = json.loads(json.dumps(first.save()))
    second_run = opened(compiled(detector(steep)))
    second_run.restore(saved)
    assert second_run.engine.demoted == first.engine.demoted
    assert log(begin, second_run.process(batch(rows[cut:]))) == log(played(rows)[1])


def test_a_state_from_before_demotions_switches_nothing_off() -> None:
    pipeline, _ = played(tape())
    saved = pipeline.save()
    del saved["engine"]["demoted"]
    pipeline.restore(saved)
    assert pipeline.engine.demoted == ()


def test_a_reload_keeps_a_demotion_while_the_class_is_the_same() -> None:
    kind = detector(steep)
    pipeline = opened(compiled(kind))
    pipeline.process(batch(merged(tape(), demotion(20))))
    pipeline.load(compiled(kind), START + 61_000_000)
    assert pipeline.engine.demoted == ("mine",)
    pipeline.load(compiled(detector(steep)), START + 62_000_000)
    assert pipeline.engine.demoted == ()


def test_a_fresh_engine_asks_every_detector() -> None:
    program = compiled(detector(steep))
    opened(program).process(batch(merged(tape(), demotion(20))))
    assert opened(program).engine.demoted == ()


def test_the_detector_is_called_only_for_markets_in_scope_and_where_rules_are_evaluated() -> None:
    pipeline = opened(compiled(detector(steep), symbol="B/*"))
    pipeline.process(batch(tape()))
    (call,) = pipeline.engine.program.plain_detectors
    assert 0 < call.calls <= pipeline.engine.evaluations
    before = call.calls
    pipeline.process(batch([row for row in tape(seconds=120) if row["market"] == 0 and row["at_us"] > START + 60_000_000]))
    # What was under way on B when its tape ended: at most one bin.
    assert call.calls <= before + 1
