"""One contract for every registered detector, and for the scores of the shipped packs."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest
from contracts.registered import NAMES, REGISTERED, compiled_alone, detectors
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from guard.detection.detector import Family
from guard.dsl import compile_rules, load_rules
from guard.dsl.detectors import named_formulas
from guard.dsl.problems import Report
from guard.dsl.rules import rules_from_text
from guard.features.fields import FIELDS, FIELDS_BY_NAME
from guard.model import Level, Market, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.detection.detector import Detector
    from guard.dsl import Program
    from guard.dsl.rule import Outcome

NAN: Final = math.nan
ROOT: Final = Path(__file__).parents[2]
STREAMS: Final = frozenset(field.stream for field in FIELDS) - {"market"}
FACTS: Final = MarketFacts(Market("sim", "X/USDT"), streams=STREAMS)
EXTREMES: Final = [NAN, NAN, 0.0, -0.0, 1.0, -1.0, 0.01, 0.5, 60.0, 1e4, 1e-12, 1e308, -1e308, 5e-324, math.inf, -math.inf]
values: Final = st.one_of(st.sampled_from(EXTREMES), st.floats(0.0, 2.0), st.floats())


def detector(name: str) -> type[Detector]:
    found: type[Detector] = detectors()[name]
    return found


@cache
def alone(name: str) -> Program:
    return compiled_alone(name)


def raw(program: Program, leaves: Sequence[float]) -> float:
    """Return the detector's own score by the reference, before rules cut it off at 0 and 1."""
    graph = program._graph
    (number,) = program._plans[0].detectors
    node = graph.nodes[number]
    # The last step of every score is the cut, unless the formula is bounded by its own last step.
    own = node.arguments[0] if node.operation == "clamp" else number
    found: float = graph.evaluate([own], leaves=leaves, facts={})[0]
    return found


def outcomes(program: Program, leaves: Sequence[float], streams: frozenset[str] = STREAMS) -> dict[int, Outcome]:
    """Return what each rule makes of a row, by its number."""
    return {outcome.rule: outcome for outcome in program.bind(FACTS._replace(streams=streams)).evaluate(leaves)}


@st.composite
def rows(draw: st.DrawFn, program: Program) -> list[float]:
    return draw(st.lists(values, min_size=len(program.leaves), max_size=len(program.leaves)))


def test_guard_ships_its_detectors() -> None:
    assert {"pump_dump", "wash_trading", "spoofing", "divergence", "spread_blowout"} <= set(REGISTERED)


@pytest.mark.parametrize("name", NAMES)
def test_detector_has_every_attribute_of_the_protocol(name: str) -> None:
    found = detector(name)
    assert found.name == name
    assert isinstance(found.title, str)
    assert found.title
    assert found.family in Family
    assert isinstance(found.is_hard, bool)
    assert issubclass(found.Parameters, BaseModel)
    formulas, is_plain = named_formulas(found)
    assert callable(found.score) if is_plain else isinstance(found.score, str)
    assert found.evidence
    assert all(isinstance(text, str) for text in (*formulas.values(), *found.evidence))


SECTIONS: Final = ("In words", "When it is silent", "What was measured", "Weak points")


@pytest.mark.parametrize("name", [each for each in REGISTERED if detector(each).__module__.startswith("guard.")])
def test_page_of_the_detector_has_what_a_reader_looks_for(name: str) -> None:
    page = (ROOT / "docs" / "detectors" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    found = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)+)", page, re.MULTILINE))
    headings = [next((heading for heading in found if heading.startswith(section)), None) for section in SECTIONS]
    assert None not in headings, dict(zip(SECTIONS, headings, strict=True))
    places = [list(found).index(str(heading)) for heading in headings]
    assert places == sorted(places), "in this order"
    assert all(len(found[str(heading)].split()) >= 10 for heading in headings), "each says something"
    assert f"guard/detection/{name}.py" in page


@pytest.mark.parametrize("name", REGISTERED)
def test_docstring_is_the_specification(name: str) -> None:
    found = detector(name)
    text = " ".join((found.__doc__ or "").split())
    assert text.startswith("Score "), "says first what it scores"
    for field in found.Parameters.model_fields:
        assert f" {field} " in text.partition("Parameters ----------")[2], f"parameter {field} is not described"
    assert any(word in text for word in ("Unknown", "Silent", "unknown", "silent")), "says when it stays silent"
    assert "Source: " in text, "says where the idea comes from"
    assert "Examples -------- >>>" in text


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_frozen_with_defaults_that_hold(name: str) -> None:
    model = detector(name).Parameters
    defaults = model()
    assert model.model_validate(defaults.model_dump()) == defaults
    with pytest.raises(ValidationError, match="extra"):
        model.model_validate({"no_such_parameter": 1})
    for field in model.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(defaults, field, getattr(defaults, field))


@pytest.mark.parametrize("name", NAMES)
def test_numeric_parameters_refuse_what_makes_no_sense(name: str) -> None:
    model = detector(name).Parameters
    for field, about in model.model_fields.items():
        if about.annotation in (int, float):
            for wrong in (-1.0, NAN):
                with pytest.raises(ValidationError):
                    model.model_validate({field: wrong})


@pytest.mark.parametrize("name", NAMES)
def test_let_score_and_evidence_compile(name: str) -> None:
    program = alone(name)
    (used,) = program.rules[0].detectors
    assert (used.name, used.is_hard, used.family) == (name, detector(name).is_hard, detector(name).family)
    assert program.leaves
    shown = program.evidence(0, [1.0] * len(program.leaves))
    assert len(shown) == len(detector(name).evidence)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_in_let_is_of_use_to_the_detector_or_to_a_rule(name: str) -> None:
    for label in named_formulas(detector(name))[0]:
        report = Report()
        use = f"{{it: {{detector: {name}}}}}"
        text = f"rules:\n  one:\n    mode: alert\n    level: danger\n    use: {use}\n    when: known(it.{label})\n"
        compile_rules(rules_from_text(text, report), detectors=detectors())
        assert not report.errors


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_score_is_between_0_and_1_or_unknown_and_the_same_for_the_same_row(name: str, data: st.DataObject) -> None:
    program = alone(name)
    row = data.draw(rows(program))
    score = raw(program, row)
    assert math.isnan(score) or 0.0 <= score <= 1.0
    outcome = outcomes(program, row)[0]
    assert outcome.detectors == ((None if math.isnan(score) else score),)
    assert outcomes(program, list(row)) == {0: outcome}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_score_does_not_depend_on_when_it_was_compiled(name: str, data: st.DataObject) -> None:
    program, again = alone(name), compiled_alone(name)
    assert program.leaves == again.leaves
    row = data.draw(rows(program))
    assert outcomes(program, row) == outcomes(again, row)


@pytest.mark.parametrize("name", NAMES)
def test_detector_is_silent_when_everything_is_unknown(name: str) -> None:
    program = alone(name)
    outcome = outcomes(program, [NAN] * len(program.leaves))[0]
    assert outcome.detectors[0] in (None, 0.0)
    assert outcome.score in (None, 0.0)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_removing_information_never_raises_a_detectors_score(name: str, data: st.DataObject) -> None:
    program = alone(name)
    row = data.draw(rows(program))
    gone = data.draw(st.sets(st.integers(0, len(row) - 1), min_size=1))
    before = raw(program, row)
    after = raw(program, [NAN if at in gone else value for at, value in enumerate(row)])
    if not math.isnan(before):
        assert math.isnan(after) or after <= before, [str(program.leaves[at]) for at in sorted(gone)]


class NoParameters(BaseModel, frozen=True, extra="forbid"):
    """None."""


class Broken:
    """Score what it should not."""

    name: ClassVar[str] = "broken"
    title: ClassVar[str] = "Broken"
    family: ClassVar[Family] = Family.PRICE
    is_hard: ClassVar[bool] = False
    Parameters: type[BaseModel] = NoParameters
    let: ClassVar[Mapping[str, str]] = {}
    score: ClassVar[str] = "2 * default(ret(60s), 1)"
    evidence: ClassVar[tuple[str, ...]] = ("ret(60s)",)


def test_contract_would_see_a_score_above_1_and_one_that_rises_without_information() -> None:
    pack = "rules: {one: {mode: alert, use: {it: {detector: broken}}, risk: {it: {weight: 1, value: it.score}}}}"
    program = compile_rules(rules_from_text(pack, Report()), detectors={"broken": Broken})
    assert raw(program, [2.0, 1.0]) == 2.0
    assert raw(program, [1.0, 1.0]) == 0.0
    assert raw(program, [NAN, 1.0]) == 2.0


@cache
def packs() -> Program:
    return compile_rules(load_rules([ROOT / "rules"]))


RULES: Final[list[Any]] = [pytest.param(rule.number, id=rule.id) for rule in packs().rules]


def leaves_of(program: Program, *nodes: int) -> set[int]:
    """Return the places in the row that `nodes` rest on."""
    graph = program._graph
    return {graph.nodes[node].value for node in graph.needed(nodes) if graph.nodes[node].operation == "leaf"}


def level(program: Program, rule: int, outcome: Outcome) -> Level:
    classifier = program.rules[rule].classifier
    assert classifier is not None
    return classifier.level(outcome.score)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_losing_what_only_optional_factors_read_never_raises_a_level(rule: int, data: st.DataObject) -> None:
    program = packs()
    resolved, plan = program.rules[rule], program._plans[rule]
    by_need: dict[bool, list[int]] = {True: [], False: []}
    for factor, node in zip(resolved.factors, plan.factors, strict=True):
        by_need[factor.is_optional].append(node)
    others = leaves_of(program, plan.where, plan.fires, *(node for _, node in plan.unless), *by_need[False])
    losable = sorted(leaves_of(program, *by_need[True]) - others)
    if not losable:
        assert not by_need[True] or leaves_of(program, *by_need[True]) <= others
        return
    row = data.draw(rows(program))
    gone = data.draw(st.sets(st.sampled_from(losable), min_size=1))
    before = outcomes(program, row)[rule]
    after = outcomes(program, [NAN if at in gone else value for at, value in enumerate(row)])[rule]
    assert (after.score is None) == (before.score is None)
    assert (after.score or 0.0) <= (before.score or 0.0)
    assert level(program, rule, after) <= level(program, rule, before)
    assert after.fires is before.fires


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_losing_anything_never_raises_a_level_nor_makes_a_rule_fire(rule: int, data: st.DataObject) -> None:
    program = packs()
    row = data.draw(rows(program))
    # An unknown `where` counts as in scope on purpose, so its leaves stay.
    losable = sorted(set(range(len(row))) - leaves_of(program, program._plans[rule].where))
    gone = data.draw(st.sets(st.sampled_from(losable), min_size=1))
    before = outcomes(program, row)[rule]
    after = outcomes(program, [NAN if at in gone else value for at, value in enumerate(row)])[rule]
    if before.score is not None:
        assert after.score is None or after.score <= before.score
        assert level(program, rule, after) <= level(program, rule, before)
    assert after.fires is not True or before.fires is not False


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_market_without_a_book_never_has_a_higher_level(data: st.DataObject) -> None:
    program = packs()
    row = data.draw(rows(program))
    book = {at for at, leaf in enumerate(program.leaves) if FIELDS_BY_NAME[leaf.field].stream not in ("trades", "market")}
    without = outcomes(program, [NAN if at in book else value for at, value in enumerate(row)], frozenset({"trades"}))
    whole = outcomes(program, row)
    for after in without.values():
        before = whole[after.rule]
        if before.score is not None:
            assert after.score is None or after.score <= before.score
