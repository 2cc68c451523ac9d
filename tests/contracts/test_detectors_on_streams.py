"""One contract for every registered detector over streams of events: determinism, round trip, range, silence."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from contracts.made import FACTS, SEEDED, START, batch, seeded, streams
from contracts.registered import NAMES, compiled_alone
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.model import BUY, Kind, Status
from guard.pipeline import Pipeline, Settings
from guard.runtime.lines import lines_of
from guard_sim.tape import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.model import MarketFacts

cuts = st.lists(st.integers(0, 10**6), max_size=5)


def opened(name: str, facts: Sequence[MarketFacts] = FACTS) -> Pipeline:
    references = {each.market.exchange: "BTC/USDT" for each in facts}
    pipeline = Pipeline(compiled_alone(name), Settings(references=references))
    for each in facts:
        pipeline.open(each)
    return pipeline


def run(pipeline: Pipeline, rows: Sequence[Row]) -> list[str]:
    """Return the log of a batch."""
    return [json.dumps(record, sort_keys=True) for record in lines_of(pipeline.process(batch(rows)))]


def state(pipeline: Pipeline) -> str:
    """Return what can be seen of a pipeline: scores, leaves, episodes, and when something is due next."""
    engine, found = pipeline.engine, [repr(scores(pipeline))]
    for row, watched in enumerate(engine.watched):
        found.append(repr((engine.kernel.values(row, pipeline.now_us), [episode.save() for episode in watched.episodes])))
        found.append(repr((watched.is_held, engine.data_state(row, pipeline.now_us))))
    return "\n".join([*found, repr(pipeline.next_deadline_us), repr(pipeline.now_us)])


def scores(pipeline: Pipeline) -> list[float | None]:
    for row in range(len(pipeline.engine.watched)):
        pipeline.engine.look(row, pipeline.now_us)
    return [score for watched in pipeline.engine.watched for found in watched.outcomes for score in found.detectors]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(rows=streams(), cuts=cuts)
def test_same_events_make_the_same_scores_however_they_are_cut(name: str, rows: list[Row], cuts: list[int]) -> None:
    whole, again, pieces = opened(name), opened(name), opened(name)
    log = run(whole, rows)
    assert run(again, rows) == log
    assert state(again) == state(whole)
    places = sorted({cut % len(rows) for cut in cuts} | {0, len(rows)})
    assert [line for a, b in pairwise(places) for line in run(pieces, rows[a:b])] == log
    assert state(pieces) == state(whole)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, deadline=None)
@given(rows=streams(), cut=st.integers(0, 10**6))
def test_a_state_that_is_taken_up_again_goes_on_as_if_nothing_had_been(name: str, rows: list[Row], cut: int) -> None:
    at = cut % len(rows)
    whole, first, second = opened(name), opened(name), opened(name)
    log = run(whole, rows)
    begun = run(first, rows[:at])
    second.restore(json.loads(json.dumps(first.save())))
    assert [*begun, *run(second, rows[at:])] == log
    assert state(second) == state(whole)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(rows=streams(size=40))
def test_a_score_is_a_share_or_unknown_after_every_event(name: str, rows: list[Row]) -> None:
    pipeline = opened(name)
    for row in rows:
        run(pipeline, [row])
        assert all(score is None or 0.0 <= score <= 1.0 for score in scores(pipeline))
    assert pipeline.engine.program.detector_faults == ()


@pytest.mark.parametrize("name", NAMES)
def test_it_says_nothing_before_there_is_data(name: str) -> None:
    pipeline = opened(name)
    assert scores(pipeline) == []
    for step, key in enumerate((Status.LIVE, Status.WARM, Status.LOST, Status.LIVE)):
        for row in range(len(FACTS)):
            at_us = START + step
            run(pipeline, [Row(Kind.STATUS, row, at_us, at_us, 0.0, 0.0, 0, key, 0)])
    assert set(scores(pipeline)) <= {None, 0.0}
    pipeline.advance(START + 3_600_000_000)
    assert set(scores(pipeline)) <= {None, 0.0}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(prices=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=20))
def test_it_says_nothing_in_the_first_seconds_of_a_market_whatever_trades(name: str, prices: list[float]) -> None:
    pipeline = opened(name)
    for number, price in enumerate(prices):
        at_us = START + number * 400_000
        run(pipeline, [Row(Kind.TRADE, 0, at_us, at_us + 5, price, 1e6, BUY, number, 0)])
        assert set(scores(pipeline)) <= {None, 0.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_market_with_something_to_find_is_cut_and_taken_up_alike(name: str) -> None:
    rows = seeded()
    whole, first, second = (opened(name, SEEDED) for _ in range(3))
    log = run(whole, rows)
    at = 2 * len(rows) // 3
    begun = [*run(first, rows[: at // 2]), *run(first, rows[at // 2 : at])]
    second.restore(json.loads(json.dumps(first.save())))
    assert [*begun, *run(second, rows[at:])] == log
    assert state(second) == state(whole)


def known(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None]


@pytest.mark.parametrize("name", ["pump_dump", "wash_trading", "spread_blowout"])
def test_the_seeded_market_makes_its_detector_speak(name: str) -> None:
    pipeline = opened(name, SEEDED)
    assert run(pipeline, seeded())
    assert known(scores(pipeline))
