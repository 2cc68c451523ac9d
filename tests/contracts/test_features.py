"""One contract for every feature and field over streams of events: determinism, any cut, round trip, no value out of its unit."""

from __future__ import annotations

import json
import math
import re
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest
from contracts.made import FACTS, START, batch, streams
from contracts.test_fields import ALL, calls
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.features.catalogue import CATALOGUE
from guard.features.kernel import DONE, Kernel
from guard.features.tables import Unit
from guard.model import BUY, Kind
from guard_sim.tape import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl import Program
    from guard.features.tables import Feature

CALLS: Final = [call for entry in ALL for call in calls(entry)]
_SHARES: Final = ("buy_share", "prints_pairs", "prints_top_size", "prints_alternation")


@cache
def program() -> Program:
    """Return one rule whose factors are all fields and features, as numbers from 0 up where known."""
    report = Report()
    lines = [f"  f{number}: {{mode: alert, level: danger, when: 'known({call})'}}" for number, call in enumerate(CALLS)]
    found = rules_from_text("rules:\n" + "\n".join(lines), report)
    assert not report.errors
    return compile_rules(found)


@cache
def nodes() -> tuple[int, ...]:
    """Return the node of each call's value in the program's graph: what `known` is asked of."""
    graph, found = program()._graph, []
    for plan in program()._plans:
        node = graph.nodes[plan.fires]
        while node.operation not in ("known", "known_truth"):
            node = graph.nodes[node.arguments[0]]
        found.append(node.arguments[0])
    return tuple(found)


def opened() -> Kernel:
    kernel = Kernel(program().leaves)
    for facts in FACTS:
        kernel.open(facts)
    kernel.set_reference(0, 3)
    return kernel


def fed(kernel: Kernel, rows: Sequence[Row]) -> Kernel:
    kernel.start(batch(rows))
    while kernel.run(None) != DONE:
        pass
    return kernel


def values(kernel: Kernel) -> list[dict[str, float | bool | None]]:
    """Return what every call gives on every market now."""
    graph = program()._graph
    now_us = max(kernel.now_us, START)
    return [
        dict(zip(CALLS, graph.evaluate(nodes(), leaves=kernel.values(row, now_us), facts={}), strict=True))
        for row in range(len(FACTS))
    ]


def test_every_call_is_there() -> None:
    assert len(nodes()) == len(CALLS) > len(ALL)


@settings(max_examples=40, deadline=None)
@given(rows=streams(), cuts=st.lists(st.integers(0, 10**6), max_size=5))
def test_same_events_give_the_same_values_however_they_are_cut(rows: list[Row], cuts: list[int]) -> None:
    whole = values(fed(opened(), rows))
    assert repr(values(fed(opened(), rows))) == repr(whole)
    places = sorted({cut % len(rows) for cut in cuts} | {0, len(rows)})
    pieces = opened()
    for a, b in pairwise(places):
        fed(pieces, rows[a:b])
    assert repr(values(pieces)) == repr(whole)


@settings(max_examples=40, deadline=None)
@given(rows=streams(), cut=st.integers(0, 10**6))
def test_values_go_on_from_a_saved_state(rows: list[Row], cut: int) -> None:
    at = cut % len(rows)
    first, second = fed(opened(), rows[:at]), opened()
    second.restore(json.loads(json.dumps(first.save())))
    assert repr(values(second)) == repr(values(first))
    assert repr(values(fed(second, rows[at:]))) == repr(values(fed(opened(), rows)))


@settings(max_examples=40, deadline=None)
@given(rows=streams())
def test_values_are_numbers_or_unknown_and_reading_changes_nothing(rows: list[Row]) -> None:
    kernel = fed(opened(), rows)
    found = values(kernel)
    assert repr(values(kernel)) == repr(found)
    for market in found:
        for call, value in market.items():
            assert value is None or isinstance(value, bool) or not math.isinf(value), call
            if call.startswith(_SHARES) and isinstance(value, float) and not math.isnan(value):
                assert 0.0 <= value <= 1.0, call


@pytest.mark.parametrize("feature", CATALOGUE, ids=lambda each: each.name)
def test_feature_says_what_it_is_in_its_unit_and_from_what(feature: Feature) -> None:
    assert feature.formula
    assert feature.unit in Unit
    names = {argument.name for argument in feature.arguments}
    assert all(re.search(rf"\b{name}\b", feature.formula) for name in names), "every argument is of use"


def test_a_market_of_which_nothing_came_knows_nothing_of_its_own() -> None:
    rows = [Row(Kind.TRADE, 3, START + step * 100_000, START + step * 100_000, 50.0, 1.0, BUY, step, 0) for step in range(1_000)]
    quiet = values(fed(opened(), rows))[1]
    found = {call.partition("(")[0] for call, value in quiet.items() if value is not None and not math.isnan(value)}
    # A stream that never came has no hole and covers nothing; and without a leader there is nothing to take off a return.
    assert found <= {"gaps", "coverage", "beta", "corr", "reference_ret", "reference_gap"}
