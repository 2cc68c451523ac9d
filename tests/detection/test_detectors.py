"""What every detector keeps to."""

from __future__ import annotations

import math
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
from detection.markets import PACKS, Bench, program
from features.streams import SECOND, START, feed, read
from features.test_book import snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from guard.model import Kind, Market, MarketFacts

if TYPE_CHECKING:
    from guard.detection.detector import Detector

DETECTORS = {entry.name: entry for entry in entry_points(group="guard.detectors")}
NAMES = sorted(path.stem for path in PACKS.glob("*.yaml") if not path.name.endswith(".test.yaml") and path.stem in DETECTORS)
STREAMS = frozenset({"trades", "book", "peers"})
_values = st.one_of(st.just(math.nan), st.just(0.0), st.floats(-1e9, 1e9), st.floats(0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_is_named_documented_and_has_a_frozen_model(name: str) -> None:
    detector: type[Detector] = DETECTORS[name].load()
    assert detector.name == name
    assert detector.__doc__
    assert ">>>" in detector.__doc__
    parameters = detector.Parameters()
    with pytest.raises(ValidationError):
        parameters.anything = 1  # type: ignore[attr-defined]
    with pytest.raises(ValidationError):
        detector.Parameters(nonsense=1)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_scores_stay_in_range_and_unknown_raises_none(name: str, data: st.DataObject) -> None:
    compiled = program(name)
    binding = compiled.bind(MarketFacts(Market("sim", "X/USDT"), streams=STREAMS))
    values = data.draw(st.lists(_values, min_size=len(compiled.leaves), max_size=len(compiled.leaves)))
    (outcome,) = binding.evaluate(values)
    for score in (outcome.score, *outcome.detectors):
        assert score is None or 0.0 <= score <= 1.0
    hidden = data.draw(st.integers(0, len(values) - 1))
    (poorer,) = binding.evaluate([math.nan if number == hidden else value for number, value in enumerate(values)])
    for before, after in zip((outcome.score, *outcome.detectors), (poorer.score, *poorer.detectors), strict=True):
        assert after is None or before is None or after <= before + 1e-12


@pytest.mark.parametrize("name", NAMES)
def test_a_cold_market_is_unknown(name: str) -> None:
    bench = Bench(program(name), [MarketFacts(Market("sim", "X/USDT"), streams=STREAMS)])
    (moment,) = bench.append(Kind.TRADE, 0, at_us=START, received_us=START, price=1.0, amount=1.0, side=1)
    assert not moment.fires
    assert not moment.score


def test_an_exchange_away_from_two_others_is_in_danger() -> None:
    bench = Bench(program("divergence"), [MarketFacts(Market(f"x{number}", "A/USDT"), streams=STREAMS) for number in range(3)])
    for row, mid in enumerate((100.0, 101.0, 100.0)):
        feed(bench.kernel, snapshot(START, mid, row))
    scores = [next(bench.look(row, START + 1, START + SECOND)).score for row in range(3)]
    assert scores == [0.0, 1.0, 0.0]
    assert math.isnan(read(bench.kernel, START, 1, START + 9 * SECOND)["divergence(2000000)"])
