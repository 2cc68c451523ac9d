"""Warnings are true: what is called impossible never happens, and sound rules are left in peace."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.cli.rules_check import find_problems
from guard.dsl import pack_folder
from guard.dsl.atoms import Atom, Span, clashes, covers, implies
from guard.dsl.bounds import BOUNDS, KnownRanges, decided
from guard.dsl.checker import Checker
from guard.dsl.config_lint import meet
from guard.dsl.graph import Graph
from guard.dsl.lint import truth_at
from guard.dsl.parser import parse
from guard.dsl.patterns import matches
from guard.dsl.problems import PROBLEMS_MAX, Place, Report, Source
from guard.dsl.tables import Tables, installed_tables
from guard.dsl.terms import Names, Scope
from guard.features.fields import FIELDS_BY_NAME

ROOT: Final = Path(__file__).parents[2]
NUMBERS: Final = st.sampled_from(
    ["buy_share(60s)", "trades(60s)", "ret(60s)", "imbalance(20bp)", "spread()", "0.5", "2", "-1", "3"]
)


def graph_of(*texts: str) -> tuple[Graph, Checker, list[int]]:
    """Return the nodes of conditions or numbers in one graph."""
    graph = Graph()
    checker = Checker(graph, Tables(*installed_tables()))
    scope = Scope("", Names({}), {}, lambda *_: None, has_strict_units=False)
    return graph, checker, [checker.check(parse(text), scope).node for text in texts]


def expressions() -> st.SearchStrategy[str]:
    def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        two = st.tuples(inner, inner)
        return st.one_of(
            two.flatmap(lambda pair: st.sampled_from("+-*/").map(lambda sign: f"({pair[0]} {sign} {pair[1]})")),
            two.map(lambda pair: f"min({pair[0]}, {pair[1]})"),
            two.map(lambda pair: f"max({pair[0]}, {pair[1]})"),
            inner.map(lambda text: f"abs({text})"),
            inner.map(lambda text: f"sqrt({text})"),
            inner.map(lambda text: f"-({text})"),
            inner.map(lambda text: f"clamp({text}, 0.2, 0.7)"),
            inner.map(lambda text: f"ramp({text}, 0.9, 0.1)"),
        )

    return st.recursive(NUMBERS, joined, max_leaves=6)


def leaf_value(graph: Graph, number: int, share: float) -> float:
    """Return a value that a field can have."""
    low, high = BOUNDS.get(graph.leaves[number].field, (-5.0, 5.0))
    low, high = max(low, -5.0), min(high, 5.0)
    return low + share * (high - low)


@settings(deadline=None, max_examples=300)
@given(expressions(), st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_no_expression_leaves_its_bounds(text: str, shares: list[float]) -> None:
    graph, checker, (node,) = graph_of(text)
    row = [leaf_value(graph, number, shares[number % len(shares)]) for number in range(len(graph.leaves))]
    # Features whose bounds are told stand for what they are: a reading that their formula could not give is no case.
    for feature, called in checker.advice.called.items():
        value = graph.evaluate([feature], leaves=row, facts={})[0]
        low, high = BOUNDS.get(called.name, (-math.inf, math.inf))
        if not math.isnan(value) and not low <= value <= high:
            return
    value = graph.evaluate([node], leaves=row, facts={})[0]
    low, high = checker.advice.ranges.of(node)
    assert math.isnan(value) or low - 1e-9 <= value <= high + 1e-9


def test_bounds_are_of_features_that_there_are() -> None:
    fields, catalogue = installed_tables()
    assert set(BOUNDS) <= {row.name for row in (*fields, *catalogue)}
    assert all(low < high for low, high in BOUNDS.values())
    assert BOUNDS["buy_share"] == (0.0, 1.0)
    assert "ret" not in FIELDS_BY_NAME


ENDS: Final = st.sampled_from([-math.inf, 0.0, 1.0, 2.0, math.inf])
SPANS: Final = st.builds(Span, ENDS, st.booleans(), ENDS, st.booleans()).filter(lambda span: span.low < span.high)
POINTS: Final = (-9.0, 0.0, 0.5, 1.0, 1.5, 2.0, 9.0)


def holds(span: Span, value: float) -> bool:
    above = value > span.low or (value == span.low and not span.is_low_open)
    return above and (value < span.high or (value == span.high and not span.is_high_open))


@given(SPANS, SPANS)
def test_spans_meet_cover_and_fill_up_as_their_points_say(one: Span, other: Span) -> None:
    both = [value for value in POINTS if holds(one, value) and holds(other, value)]
    assert one.meets(other) == bool(both)
    if one.within(other):
        assert all(holds(other, value) for value in POINTS if holds(one, value))
    if one.fills_up(other):
        assert all(holds(one, value) or holds(other, value) for value in POINTS)
    assert covers(Atom(0, other), Atom(0, one)) == one.within(other)


@given(
    st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">=", "=="]), st.integers(0, 3)), min_size=2, max_size=3),
    st.sampled_from(["and", "or"]),
)
def test_what_is_said_of_joined_conditions_is_true_of_every_number(parts: list[tuple[str, int]], joined: str) -> None:
    texts = [f"ret(60s) {sign} {bound}" for sign, bound in parts]
    graph, _, nodes = graph_of(*texts)
    truths = [[eval_at(sign, bound, value) for value in (-1, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4)] for sign, bound in parts]
    for kind, first, second in clashes(graph, nodes, joined):
        pairs = list(zip(truths[first], truths[second], strict=True))
        if kind == "excludes":
            assert not any(one and other for one, other in pairs)
        elif kind == "fills":
            assert all(one or other for one, other in pairs)
        else:
            whole = [(one and other) if joined == "and" else (one or other) for one, other in pairs]
            assert whole == truths[second]


def eval_at(sign: str, bound: float, value: float) -> bool:
    return {"<": value < bound, "<=": value <= bound, ">": value > bound, ">=": value >= bound, "==": value == bound}[sign]


def test_condition_implies_what_it_holds_and_what_is_weaker() -> None:
    graph, _, (when, weaker, other, either, alike) = graph_of(
        "ret(60s) > 2 and trades(60s) > 20",
        "ret(60s) > 1",
        "ret(60s) > 3",
        "ret(60s) > 3 or trades(60s) >= 20",
        "trades(60s) > 20 and ret(60s) > 2",
    )
    assert [implies(graph, when, node) for node in (weaker, other, either, alike)] == [True, False, True, True]
    assert not implies(graph, weaker, when)


def test_truth_by_the_score_alone_is_unknown_where_anything_else_matters() -> None:
    graph, _, nodes = graph_of(
        "sqrt(2) < 3", "ret(60s) < 1", "ret(60s) < 1 or 1 < 2", "default(ret(60s), 0) < 1", "market_age() > 1d and 2 < 1"
    )
    assert [truth_at(graph, node, -1, 0.5) for node in nodes] == [True, None, True, None, False]
    score = graph.score(0, ())
    below = graph.apply("less", score, graph.const(0.7))
    assert [truth_at(graph, below, score, value) for value in (0.6, 0.7)] == [True, False]


DECIDED: Final = [
    ("less", (0, 1), (1, 2), None),
    ("less", (0, 1), (2, 3), True),
    ("less", (1, 2), (0, 1), False),
    ("less_equal", (0, 1), (1, 2), True),
    ("less_equal", (2, 3), (0, 1), False),
    ("equal", (0, 1), (2, 3), False),
    ("equal", (0, 1), (1, 1), None),
]


@pytest.mark.parametrize("row", DECIDED, ids=str)
def test_comparison_is_decided_only_where_every_value_agrees(
    row: tuple[str, tuple[int, int], tuple[int, int], bool | None],
) -> None:
    operation, left, right, answer = row
    assert decided(operation, left, right) is answer


def test_patterns_meet_where_a_text_fits_both() -> None:
    texts = ["".join(text) for length in range(7) for text in product("ab", repeat=length)]
    patterns = ["".join(text) for length in range(4) for text in product("a*?", repeat=length)] + ["*b", "b*", "ab*", "*ab*"]
    for one, other in product(patterns, patterns):
        assert meet(one, other) == any(matches(one, text) and matches(other, text) for text in texts), (one, other)
    assert meet("*" * 5000, "x")


@pytest.mark.parametrize("path", [pack_folder(), ROOT / "guard.yaml"], ids=["packs", "guard.yaml"])
def test_what_guard_ships_draws_no_warning(path: Path) -> None:
    assert find_problems([path], {}) == ()


def test_warnings_never_take_the_room_of_an_error() -> None:
    report, place = Report(), Place(Source.of("a.yaml", "x"))
    for number in range(PROBLEMS_MAX + 50):
        report.add("W001", place, f"unused {number}")
    report.add("E042", place, "unknown")
    assert len(report.problems) <= PROBLEMS_MAX
    assert len(report.errors) == 1


def test_chains_of_names_end_as_problems_and_not_as_a_crash(tmp_path: Path) -> None:
    lines = ["macros:", "  m0: ret(60s) > 1%"]
    lines += [f"  m{n}: m{n - 1} and m{n - 1} and trades(60s) > {n} or not (m{n - 1} or spread() > {n}%)" for n in range(1, 70)]
    lines += [
        "rules:",
        "  deep:",
        "    title: Deep",
        "    level: warning",
        "    when: m69",
        "    unless: {other: m3 and m40}",
        "    clear: {when: m60}",
    ]
    (tmp_path / "deep.yaml").write_text("\n".join(lines))
    found = {problem.id for problem in find_problems([tmp_path / "deep.yaml"], {})}
    assert "W008" in found
    assert {code for code in found if code.startswith("E")} <= {"E041"}


def test_bounds_of_a_long_chain_need_no_deep_calls() -> None:
    graph = Graph()
    node = graph.leaf(FIELDS_BY_NAME["spread"], ())
    for _ in range(5000):
        node = graph.apply("abs", graph.apply("negative", node))
    assert KnownRanges(graph).of(node) == (0.0, math.inf)
