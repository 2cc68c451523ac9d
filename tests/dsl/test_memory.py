from __future__ import annotations

import gc

import pytest
from dsl.small import CATALOGUE, DETECTORS, FIELDS, condition, program

from guard.dsl.collector import paused_collector
from guard.dsl.compilation import compiled
from guard.dsl.problems import PROBLEMS_MAX, Place, Report, Source, meant
from guard.dsl.rules import rules_from_text
from guard.dsl.tokens import written_quantity
from guard.errors import Problem, RuleError
from guard.features.tables import Unit
from guard.model import Market, MarketFacts

RULE = "  {name}:\n    level: warning\n    when: {when}\n    let: {{move: {move}}}\n"


def problems(text: str) -> list[tuple[str, int, int]]:
    report = Report()
    compiled(rules_from_text(text, report), report, fields=FIELDS, catalogue=CATALOGUE, detectors=DETECTORS)
    return [(row.id, row.line, row.column) for row in report.problems]


def test_same_words_with_other_meanings_are_told_apart() -> None:
    rules = "".join(
        RULE.format(name=name, when="move > 1%", move=f"ret({window})") for name, window in (("a", "10s"), ("b", "60s"))
    )
    made = program(f"rules:\n{rules}")
    assert {str(leaf) for leaf in made.leaves} == {"ret(10000000)", "ret(60000000)"}
    rows = {"ret(10000000)": 0.02, "ret(60000000)": 0.0}
    binding = made.bind(MarketFacts(Market("x", "A/B")))
    outcomes = binding.evaluate([rows[str(leaf)] for leaf in made.leaves])
    assert [outcome.fires for outcome in outcomes] == [True, False]


def test_mistake_is_told_at_every_place_where_it_stands() -> None:
    rules = "".join(RULE.format(name=name, when="retn(60s) > 1% and ret(60s) > 3 and move > 0", move="ret(60s)") for name in "ab")
    found = problems(f"rules:\n{rules}")
    assert found == [("E042", 4, 11), ("E046", 4, 41), ("E042", 8, 11), ("E046", 8, 41)]


def test_names_and_lists_that_are_recalled_count_as_used() -> None:
    rules = "".join(RULE.format(name=name, when="hot and market.symbol in $few and move > 0", move="ret(10s)") for name in "abc")
    assert problems(f"lists: {{few: [A/B]}}\nmacros: {{hot: ret(60s) > 1%}}\nrules:\n{rules}") == []


def test_score_of_one_rule_is_not_that_of_another() -> None:
    rules = "".join(
        f"  {name}:\n    risk: {{x: {{weight: 1, value: {value}}}}}\n    clear: {{when: score < 0.5}}\n"
        for name, value in (("a", "ret(60s)"), ("b", "spread()"))
    )
    made = program(f"rules:\n{rules}")
    binding = made.bind(MarketFacts(Market("x", "A/B")))
    rows = {"ret(60000000)": 0.9, "spread()": 0.1}
    outcomes = binding.evaluate([rows[str(leaf)] for leaf in made.leaves])
    assert [(outcome.score, outcome.clears) for outcome in outcomes] == [(0.9, False), (0.1, True)]


def test_warnings_of_any_number_hide_no_error() -> None:
    macros = "".join(f"  m{number}: ret(60s) > 1%\n" for number in range(3 * PROBLEMS_MAX))
    with pytest.raises(RuleError) as caught:
        program(
            f"macros:\n{macros}rules:\n  one: {{level: warning, when: ret(60s) > 1%}}\n  two: {{level: warning, when: wrong > 1}}\n"
        )
    assert [row.id for row in caught.value.problems] == ["E042"]
    report = Report()
    for number in range(2 * PROBLEMS_MAX):
        report.add("W001", Place(Source.of("x", ""), number + 1), "unused")
    report.add("E042", Place(Source.of("x", "")), "wrong")
    assert [row.id for row in report.errors] == ["E042"]
    assert not report.is_full


def test_expression_full_of_mistakes_tells_the_first_ones() -> None:
    found = problems("rules:\n  one: {level: warning, when: '" + " + ".join(f"q{number}" for number in range(60)) + " > 0'}\n")
    assert len(found) == 20
    assert {row[0] for row in found} == {"E042"}


def test_long_line_is_shown_around_its_mistake() -> None:
    line = f"{'a' * 5_000} wrong {'b' * 5_000}"
    shown = str(Problem("x.yaml", 1, 5_002, "E042", "unknown-name", "error", "unknown", "", line)).split("\n")
    assert len(shown[1]) < 300
    assert shown[1][shown[2].index("^") :].startswith("wrong")
    assert shown[1].startswith("    ...a")
    assert shown[1].endswith("b...")


def test_names_that_double_are_explained_in_bounds() -> None:
    lines = "".join(f"  m{number}: m{number - 1} and m{number - 1}\n" for number in range(1, 40))
    made = program(f"macros:\n  m0: ret(1s) > 1%\n{lines}rules: {{one: {{level: danger, when: m39}}}}")
    binding = made.bind(MarketFacts(Market("x", "A/B")))
    (tree,) = made.explain(binding, 0, [0.02])
    assert tree.value is True


def test_chain_of_names_in_many_conditions_is_refused_before_it_is_too_deep_to_show() -> None:
    lets = "".join(f"      a{number}: {'-' * 38}(a{number - 1})\n" for number in range(1, 60))
    unless = "".join(f"      u{number}: a{number} > 0\n" for number in range(60))
    found = problems(
        f"rules:\n  one:\n    level: warning\n    when: 1 < ret(60s)\n    let:\n      a0: ret(60s)\n{lets}    unless:\n{unless}"
    )
    assert {row[0] for row in found} == {"E041"}


@pytest.mark.parametrize("text", ["ret(1e200s * 1e200) > 0", "ret(0s / 0) > 0"])
def test_endless_and_unknown_durations_are_refused_with_their_name(text: str) -> None:
    with pytest.raises(RuleError, match="must be longer than 0"):
        condition(text)
    assert written_quantity(float("inf"), Unit.DURATION) == "inf"


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("retn", ["ret", "rush"], "ret"),
        ("rte", ["ret", "spread"], "ret"),
        ("dangr", ["warning", "danger"], "danger"),
        ("zzz", ["ret"], None),
    ],
)
def test_word_that_was_meant_is_found(word: str, known: list[str], found: str | None) -> None:
    assert meant(word, [*known, *(f"other_{number}" for number in range(500))]) == found


def test_collector_is_halted_and_left_as_it_was() -> None:
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ZeroDivisionError), paused_collector():
        _ = 1 / 0
    assert gc.isenabled()
