"""Detectors in plain Python: what they get, what they may answer, and what is told when they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from dsl.judging import judged, screened
from dsl.small import CATALOGUE, FIELDS, facts, row
from pydantic import BaseModel

from guard.detection.detector import Family
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.dsl import Program

NAN = float("nan")
RULE = """
rules:
  odd:
    mode: alert
    use: {mine: {detector: mine, params: {most: 4}}}
    when: mine.score > 0.5 and volume(1s) > 1
    risk: {trade_pattern: {weight: 1, value: mine.score}}
"""


class Parameters(BaseModel, frozen=True, extra="forbid"):
    """Parameters of the test's detector."""

    most: float = 2.0


def rules(answer: Callable[[Any, Any], Any], text: str = RULE, **changes: Any) -> Program:  # noqa: ANN401 - of a class
    """Compile a rule with a detector that answers so."""

    class Mine:
        """A detector of somebody else."""

        name: ClassVar[str] = "mine"
        title: ClassVar[str] = "Mine"
        family: ClassVar[Family] = Family.PATTERN
        is_hard: ClassVar[bool] = False
        Parameters: ClassVar[type[BaseModel]] = Parameters
        features: ClassVar[Mapping[str, str]] = {"count": "trades(10s) / most", "move": "ret(10s)"}
        evidence: ClassVar[tuple[str, ...]] = ("count", "trades(10s)")

        def __init__(self, parameters: BaseModel) -> None:
            self.parameters = parameters

        def score(self, features: Any) -> Any:  # noqa: ANN401 - a named tuple
            return answer(self.parameters, features)

    for name, value in changes.items():
        setattr(Mine, name, value)
    report = Report()
    found = rules_from_text(text, report)
    assert not report.errors
    return compile_rules(found, fields=FIELDS, catalogue=CATALOGUE, detectors={"mine": Mine})


def outcome(of: Program, **values: float) -> Any:  # noqa: ANN401 - an outcome
    """Return what the rule says of a row."""
    known = {"trades_10s": 3.0, "ret_10s": 0.1, "volume_1s": 2.0}
    return of.bind(facts()).evaluate(row(of, **{**known, **values}))[0]


def test_score_gets_its_features_and_parameters_by_name() -> None:
    made = rules(lambda parameters, features: features.count + 0.0 * features.move + (parameters.most - 4.0))
    found = outcome(made)
    assert (found.fires, found.score, found.detectors) == (True, 0.75, (0.75,))
    assert made.evidence(0, row(made, trades_10s=3.0)) == {"count": 0.75, "trades(10s)": 3.0}
    assert [call.calls for call in made.plain_detectors] == [1]
    assert made.detector_faults == ()


def test_unknown_feature_makes_the_score_unknown_without_a_call() -> None:
    made = rules(lambda _, __: 1.0)
    found = outcome(made, ret_10s=NAN)
    assert (found.fires, found.score) == (None, None)
    assert made.plain_detectors[0].calls == 0


def test_detector_that_takes_unknown_features_is_called_with_them() -> None:
    made = rules(lambda _, features: 0.9 if features.move != features.move else 0.0, takes_unknown=True)
    assert outcome(made, ret_10s=NAN).score == 0.9


@pytest.mark.parametrize("answer", [1.5, -0.1, float("inf"), "high", [], object()])
def test_score_that_is_no_share_is_unknown_and_told(answer: object) -> None:
    made = rules(lambda _, __: answer)
    assert outcome(made).score is None
    (fault,) = made.detector_faults
    assert (fault.detector, fault.times, fault.calls) == ("mine", 1, 1)
    assert len(fault.text) <= 200


def test_exception_is_told_with_its_words_and_raises_nothing() -> None:
    made = rules(lambda _, __: 1 // 0)
    assert outcome(made).fires is None
    assert made.detector_faults[0].text.startswith("ZeroDivisionError")


@pytest.mark.parametrize("answer", [None, NAN])
def test_answer_that_is_unknown_is_no_fault(answer: float | None) -> None:
    made = rules(lambda _, __: answer)
    assert outcome(made).score is None
    assert made.detector_faults == ()


def test_detector_that_is_switched_off_is_unknown_and_not_called() -> None:
    made = rules(lambda _, __: 1.0)
    (call,) = made.plain_detectors
    call.is_off = True
    assert (outcome(made).score, call.calls) == (None, 0)


def test_time_is_counted_where_there_is_a_clock() -> None:
    made = rules(lambda _, __: 1.0)
    (call,) = made.plain_detectors
    outcome(made)
    assert call.nanoseconds == 0
    call.clock = iter(range(0, 1000, 70)).__next__
    outcome(made)
    assert (call.calls, call.nanoseconds) == (2, 70)


def test_equal_uses_share_one_call_for_each_row() -> None:
    two = RULE + RULE.replace("\nrules:", "").replace("odd:", "even:")
    made = rules(lambda _, __: 1.0, two)
    made.bind(facts()).evaluate(row(made, trades_10s=3.0, ret_10s=0.1, volume_1s=2.0))
    assert [call.calls for call in made.plain_detectors] == [1]


def test_what_only_a_plain_detector_tells_is_left_to_it() -> None:
    made = rules(lambda _, __: 0.0)
    binding = made.bind(facts())
    busy, quiet = (row(made, trades_10s=3.0, ret_10s=0.1, volume_1s=value) for value in (2.0, 0.0))
    for leaves, answer in ((busy, 1), (quiet, 0)):
        assert screened(made, binding, leaves, [0]) == answer
        assert judged(made, binding, leaves, [0]) == answer
    assert made.plain_detectors[0].calls == 0


@pytest.mark.parametrize("features", [{"class": "ret(10s)"}, {"_hidden": "ret(10s)"}, {"count": "no_such()"}, {"count": "crossed"}])
def test_features_that_make_no_sense_are_told_at_the_use(features: dict[str, str]) -> None:
    with pytest.raises(RuleError, match=r"E052|the detector 'mine' is broken"):
        rules(lambda _, __: 1.0, features=features, evidence=())


def test_constructor_that_fails_is_told_at_the_use() -> None:
    def broken(_self: object, _parameters: object) -> None:
        raise OSError("no model file")

    with pytest.raises(RuleError, match="no model file"):
        rules(lambda _, __: 1.0, __init__=broken)
