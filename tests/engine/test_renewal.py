"""A market whose tags change while it is open: rules come and go, and nothing else begins anew."""

from __future__ import annotations

import pytest
from engine.grouped import ALONE, EXCHANGE, T0, Bench, S

from guard.model import IsolationState, Market

A, B, C = "one:A/USDT", "one:B/USDT", "one:C/USDT"
SCOPE = "when: trades(10s) >= 3\n    scope: {tags: [st]}"
TAGGED, TAGGED_GROUP = (text.replace("when: trades(10s) >= 3", SCOPE) for text in (ALONE, EXCHANGE))
UNTAGGED = TAGGED.replace("storm", "other").replace("    scope: {tags: [st]}\n", "").partition("rules:\n")[2]


def tag(bench: Bench, name: str, at_s: float, *tags: str, risk: float | None = 0.7) -> None:
    bench.until(at_s)
    bench._take(bench.pipeline.treat(Market.parse(name), frozenset(tags), risk, bench.pipeline.now_us))


def test_a_rule_that_comes_with_a_tag_fires_on_what_is_already_known() -> None:
    bench = Bench(TAGGED, (A, B))
    bench.burst(A, 20)
    bench.burst(B, 20)
    bench.until(21)
    assert bench.lines == []
    tag(bench, A, 22, "st")
    bench.until(23)
    assert [(market, level) for market, _, level in bench.verdicts] == [(A, "danger")]
    assert bench.states(A) is IsolationState.QUARANTINED
    assert bench.states(B) is IsolationState.NORMAL


def test_a_rule_that_goes_with_its_tag_ends_its_level_and_its_quarantine_runs_out_as_announced() -> None:
    bench = Bench(TAGGED, (A,))
    tag(bench, A, 10, "st")
    bench.burst(A, 20)
    tag(bench, A, 25)
    assert [level for _, _, level in bench.verdicts] == ["danger", "normal"]
    (held,) = bench.pipeline.unattended()
    bench.until((held.until_us - T0) / S - 0.1)
    assert bench.states(A) is IsolationState.QUARANTINED
    bench.until((held.until_us - T0) / S + 0.1)
    assert bench.states(A) is IsolationState.NORMAL


def test_a_rule_that_looks_as_before_keeps_its_episode() -> None:
    bench = Bench(TAGGED + UNTAGGED, (A,))
    bench.burst(A, 20)
    before = len(bench.lines)
    assert before > 0
    tag(bench, A, 21, "seed")
    tag(bench, A, 22)
    assert len(bench.lines) == before


@pytest.mark.parametrize("risk", [None, 0.2, 1.0])
def test_only_tags_and_risk_change(risk: float | None) -> None:
    bench = Bench(TAGGED, (A,))
    before = bench.pipeline.engine.watched[0].facts
    tag(bench, A, 5, "x", risk=risk)
    assert bench.pipeline.engine.watched[0].facts == before._replace(tags=frozenset({"x"}), listing_risk=risk)


def test_a_market_that_leaves_a_group_counts_as_calm_there() -> None:
    bench = Bench(TAGGED_GROUP, (A, B, C))
    for name in (A, B, C):
        tag(bench, name, 10, "st")
    bench.burst(A, 20)
    bench.burst(B, 20)
    assert bench.verdicts == [(B, "one", "danger")]
    tag(bench, B, 22)
    assert bench.verdicts[-1][1:] == ("one", "normal")
    bench.until(120)
    assert bench.states(A) is IsolationState.NORMAL


def test_a_market_that_comes_back_to_a_group_is_counted_once() -> None:
    bench = Bench(TAGGED_GROUP, (A, B))
    for at_s in (10, 12):
        for name in (A, B):
            tag(bench, name, at_s, "st")
            tag(bench, name, at_s + 0.5)
            tag(bench, name, at_s + 0.7, "st")
    bench.burst(A, 20)
    bench.burst(B, 21)
    assert bench.lines[0]["quorum"] == {"held": 2, "needed": 2, "of": 2}
