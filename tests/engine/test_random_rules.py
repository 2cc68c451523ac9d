"""Random rules over random streams: asked in every evaluation, or only where a rule says something new, they decide the same."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from engine.streams import batches

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import OperationRefused
from guard.model import AddQuarantine, Kind, Market, MarketFacts, ReleaseQuarantine, Status, Target, TargetKind
from guard.pipeline import Pipeline, Settings
from guard.runtime.clock import seeded_random
from guard.runtime.lines import lines_of
from guard_sim import tape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl import Program

T = TypeVar("T")
S = 1_000_000
T0 = 1_700_000_000 * S
TARGETS = [
    Target(TargetKind.MARKET, "one:AAA/USDT"),
    Target(TargetKind.SYMBOL, "AAA/USDT"),
    Target(TargetKind.BASE, "AAA"),
    Target(TargetKind.EXCHANGE, "two"),
]
PER = {"market": ["market", "base", "exchange"], "symbol": ["symbol", "base"], "exchange": ["exchange"]}
MARKETS = [
    MarketFacts(Market(exchange, symbol), streams=frozenset(streams))
    for exchange, symbol, streams in (
        ("one", "AAA/USDT", ["trades", "book"]),
        ("one", "BBB/USDT", ["trades"]),
        ("two", "AAA/USDT", ["trades"]),
    )
]
NUMBERS = [
    "trades(1s)", "trades(5s)", "volume(3s)", "buy_share(2s) / 20%", "abs(ret(2s)) / 0.2%", "age(trades) / 1s",
    "default(spread() / 5bp, 1)", "max(trades(1s), trades(2s))", "depth(1%) / 50", "path(2s) / 1%",
]  # fmt: skip


class Choices:
    """Random choices from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = seeded_random(seed)

    def share(self) -> float:
        return self._random.random()

    def of(self, choices: Sequence[T]) -> T:
        return choices[int(len(choices) * self.share())]

    def condition(self, depth: int = 0) -> str:
        chance = self.share()
        if depth < 2 and chance < 0.3:
            return f"({self.condition(depth + 1)} {self.of(['and', 'or'])} {self.condition(depth + 1)})"
        if depth < 2 and chance < 0.4:
            return f"default({self.condition(depth + 1)}, {self.of(['true', 'false'])})"
        return f"{self.of(NUMBERS)} {self.of(['<', '>', '<=', '>='])} {self.of([0, 0.5, 1, 2, 3, 5])}"

    def rule(self, name: str) -> str:
        release = f"{{when: {self.condition()!r}, for: {self.of(['0s', '1s', '4s'])}, probation: {self.of(['0s', '10s'])}}}"
        per = self.of(["market", "market", "symbol", "exchange"])
        order = f"{{for: {self.of(['2s', '5s'])}, target: {self.of(PER[per])}, release: {release}}}"
        quorum = "" if per == "market" else f"quorum: {self.of(['1', '2', '50%'])}"
        return f"""
  {name}:
    mode: enforce
    per: {per}
    {quorum}
    level: danger
    when: {self.condition()!r}
    for: {self.of(["0s", "500ms", "2s"])}
    clear: {{when: {self.condition()!r}, for: {self.of(["0s", "1s", "3s"])}}}
    actions: {{danger: [{{quarantine: {order}}}]}}
"""

    def program(self) -> Program:
        report = Report()
        rules = rules_from_text("rules:" + "".join(self.rule(name) for name in "ab"), report)
        assert not report.errors, report.errors
        return compile_rules(rules)

    def rows(self, count: int) -> list[tape.Row]:
        at_us, found = T0, [tape.Row(Kind.STATUS, row, T0, T0, 0.0, 0.0, 0, Status.LIVE, 0) for row in range(len(MARKETS))]
        for key in range(count):
            at_us += int(S * (self.of([3, 20]) if self.share() < 0.01 else self.share() * self.of([0.02, 0.2, 1.0])))
            row, price = int(3 * self.share()), 100.0 + round(self.share(), 2)
            side = self.of([-1, 1])
            if self.share() < 0.02:
                status = self.of([Status.LOST, Status.LIVE, Status.LIVE, Status.STALLED])
                found.append(tape.Row(Kind.STATUS, row, at_us, at_us, 0.0, 0.0, 0, status, 0))
            elif row == 0 and self.share() < 0.3:
                sides = ((1, 99.9, 1), (-1, 101.1, 3))
                found += [
                    tape.Row(Kind.LEVEL, 0, at_us, at_us, near, 2 * self.share(), of, key, flags) for of, near, flags in sides
                ]
            else:
                found.append(tape.Row(Kind.TRADE, row, at_us, at_us, price, 0.1 + self.share(), side, key, 0))
        return found


def fresh(program: Program, *, jit: bool) -> Pipeline:
    pipeline = Pipeline(program, Settings(), jit=jit)
    for facts in MARKETS:
        pipeline.open(facts)
    return pipeline


def always_asked(pipeline: Pipeline) -> None:
    for row, watched in enumerate(pipeline.engine.watched):
        pipeline.engine.kernel.bind(row, 0, None, looks=watched.looks_at_age)


def episodes(state: dict[str, Any]) -> str:
    return json.dumps([market["episodes"] for market in state["engine"]["markets"]], sort_keys=True)


def decided(seed: int, prepare: Callable[[Pipeline], None], *, jit: bool) -> list[str]:
    choices = Choices(seed)
    first, second, rows = choices.program(), choices.program(), choices.rows(300)
    pipeline, at, program, told = fresh(first, jit=jit), 0, first, []
    prepare(pipeline)
    while at < len(rows):
        part = rows[at : at + choices.of([1, 5, 40])]
        at += len(part)
        decisions = [pipeline.process(each) for each in batches(part, len(part))]
        chance, target, now_us = choices.share(), choices.of(TARGETS), pipeline.now_us
        try:
            if chance < 0.1:
                decisions.append(pipeline.operate(AddQuarantine(target, 5 * S, "news", "ann"), now_us))
            elif chance < 0.2:
                decisions.append(pipeline.operate(ReleaseQuarantine(target, None, "fine", "ann", 0), now_us))
        except OperationRefused as error:
            told.append(str(error).partition(" (")[0])
        if 0.2 < chance < 0.25:
            program = second if program is first else first
            decisions.append(pipeline.load(program, now_us))
        elif 0.25 < chance < 0.3:
            state = json.loads(json.dumps(pipeline.save()))
            told.append(episodes(state))
            pipeline = fresh(program, jit=jit)
            pipeline.restore(state)
        if 0.2 < chance < 0.3:
            prepare(pipeline)
        told += [json.dumps(line, sort_keys=True) for decision in decisions for line in lines_of(decision)]
        told += [f"{at} {row} {pipeline.view(row)._replace(score=None)}" for row in range(len(MARKETS))]
    told.append(episodes(pipeline.save()))
    last = pipeline.advance(pipeline.now_us + 60 * S)
    # Sorted: what falls due at the very time of an evaluation comes before or after its verdicts.
    return sorted([*told, *(json.dumps(line, sort_keys=True) for line in lines_of(last))])


@pytest.mark.parametrize("seed", range(6))
def test_rules_asked_where_they_say_something_new_decide_as_rules_that_are_always_asked(seed: int) -> None:
    always = decided(seed, always_asked, jit=False)
    assert decided(seed, lambda _: None, jit=False) == always
    if find_spec("numba") is not None:
        assert decided(seed, lambda _: None, jit=True) == always
