"""Rules swapped while markets trade, at any moment: those that nobody touched say the same."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from engine.streams import batches

from guard.dsl import compile_rules, rules_from_texts
from guard.dsl.problems import Report
from guard.model import Channel, Kind, Market, MarketFacts, Status
from guard.pipeline import Pipeline
from guard.runtime.clock import seeded_random
from guard_sim.tape import Row

if TYPE_CHECKING:
    from guard.dsl import Program
    from guard.model import Decision

S = 1_000_000
T0 = 1_750_000_000 * S
JITTED = [False, *([True] if find_spec("numba") else [])]
OURS = """
lists: {majors: [B/USDT]}
rules:
  busy:
    mode: enforce
    when: trades(10s) >= 20
    level: danger
    for: 2s
    clear: {when: trades(10s) <= 5, for: 3s}
    actions: {danger: [{quarantine: {for: 5s, release: {when: trades(10s) <= 5, for: 2s, probation: 5s}}}]}
  busier:
    mode: shadow
    when: trades(5s) >= 15 and market.symbol not in $majors
    level: warning
    for: 5s
    clear: {when: trades(5s) <= 3, for: 1s}
"""
# What a person may do to one rule beside ours: other windows, thresholds and modes, another name, nothing of it.
BESIDE = (
    "",
    "rules: {beside: {mode: shadow, when: trades(7s) > 4, level: warning, clear: {for: 1s}}}",
    "rules: {beside: {mode: shadow, when: trades(13s) > 9 and buy_share(45s) > 20%, level: warning}}",
    "rules: {beside: {mode: alert, when: ret(7s) > 1bp, level: danger, for: 3s}}",
    "rules: {other: {mode: shadow, when: age(trades) > 3s, level: warning, clear: {for: 2s}}}",
)
MARKETS = [MarketFacts(Market("x", f"{name}/USDT"), streams=frozenset({"trades"})) for name in "ABC"]
Told = list[tuple[str, str, str, int]]


@cache
def program(beside: str, ours: str = OURS) -> Program:
    report = Report()
    rules = rules_from_texts([beside, ours] if beside else [ours], report)
    assert not report.errors, report.errors
    return compile_rules(rules)


@cache
def rows(seed: int) -> tuple[Row, ...]:
    """Return six minutes in which each market is now busy, now silent."""
    random = seeded_random(seed).random
    found = [Row(Kind.STATUS, row, T0, T0, 0.0, 0.0, Channel.TRADES, Status.LIVE, 0) for row in range(len(MARKETS))]
    for row in range(len(MARKETS)):
        at_us, end_us = T0 + int(20 * random() * S), T0
        while at_us < T0 + 360 * S:
            end_us = at_us + int((6 + 14 * random()) * S)
            while at_us < end_us:
                at_us += 1 + int(0.3 * random() * S)
                found.append(Row(Kind.TRADE, row, at_us, at_us, 100 + random(), 1.0, 1 if random() < 0.5 else -1, len(found), 0))
            at_us += int((18 + 25 * random()) * S)
    return tuple(sorted(found, key=lambda each: each.received_us))


def fresh(of: Program, *, jit: bool = False) -> Pipeline:
    pipeline = Pipeline(of, jit=jit)
    for facts in MARKETS:
        pipeline.open(facts)
    return pipeline


def told(decisions: list[Decision]) -> tuple[Told, Told]:
    """Return verdicts and transitions of the rules that nobody touched, in order for each of them on each market."""
    verdicts = [
        (each.rule, str(each.market), str(each.level), each.at_us)
        for decision in decisions
        for each in decision.verdicts
        if each.rule in {"busy", "busier"}
    ]
    transitions = [
        (each.quarantine.hold.rule, str(each.quarantine.target), f"{each.quarantine.state} {each.cause}", each.at_us)
        for decision in decisions
        for each in decision.transitions
        if each.cause != "extend"
    ]
    return sorted(verdicts, key=_by), sorted(transitions, key=_by)


def _by(each: tuple[str, str, str, int]) -> tuple[str, str, int]:
    return each[0], each[1], each[3]


@cache
def undisturbed(seed: int) -> tuple[Told, Told]:
    pipeline = fresh(program(""))
    found = told([*(pipeline.process(batch) for batch in batches(rows(seed), 4096)), pipeline.advance(T0 + 460 * S)])
    assert len(found[0]) > 20
    assert len(found[1]) > 10
    return found


@pytest.mark.parametrize("jit", JITTED)
@pytest.mark.parametrize("seed", range(8))
def test_reloads_at_any_moment_lose_no_verdict_of_rules_that_nobody_touched(seed: int, *, jit: bool) -> None:
    random = seeded_random(100 + seed).random
    pipeline = fresh(program(""), jit=jit)
    found: list[Decision] = []
    # The last seed reloads ten times a second, at its busiest.
    cuts = sorted({int(len(rows(seed)) * random()) for _ in range(1 + 5 * seed)}) if seed < 7 else range(500, 1_000, 2)
    at = 0
    for number, stop in enumerate(cuts):
        found += [pipeline.process(batch) for batch in batches(rows(seed)[at:stop], 256)]
        # Time may have gone on by itself, up to the next event.
        now_us = pipeline.now_us + int(random() * (rows(seed)[stop].received_us - pipeline.now_us))
        found.append(pipeline.load(program(BESIDE[int(len(BESIDE) * random())] if number % 5 else ""), now_us))
        at = stop
    found += [pipeline.process(batch) for batch in batches(rows(seed)[at:], 256)]
    found.append(pipeline.advance(T0 + 460 * S))
    for ours, theirs in zip(told(found), undisturbed(seed), strict=True):
        assert [each[:3] for each in ours] == [each[:3] for each in theirs]
        # Where nothing trades, a market is looked at each second, and anew after a reload.
        assert max(abs(one[3] - other[3]) for one, other in zip(ours, theirs, strict=True)) <= S
