"""Random rules, edited, saved and asked about while random events come in: none of it depends on who looks, or when."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import pytest
from engine.streams import batches
from engine.test_random_rules import MARKETS, NUMBERS, PER, TARGETS, Choices, S, always_asked, episodes

from guard.alerts.policy import AlertPolicy, ChannelPolicy
from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.errors import OperationRefused
from guard.model import AddQuarantine, Level, ReleaseQuarantine
from guard.pipeline import Pipeline, Settings
from guard.runtime.lines import lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.dsl import Program
    from guard.model import Decision

JITTED: Final = [False, *([True] if find_spec("numba") else [])]
MODES: Final = ["enforce", "enforce", "alert", "shadow", "disabled"]


class Edits(Choices):
    """Random rules of all modes, and what a person does to one of them."""

    def rule(self, name: str) -> str:
        release = f"{{when: {self.condition()!r}, for: {self.of(['0s', '1s', '4s'])}, probation: {self.of(['0s', '10s'])}}}"
        per = self.of(["market", "market", "symbol", "exchange"])
        order = f"{{for: {self.of(['2s', '5s'])}, target: {self.of(PER[per])}, release: {release}}}"
        quorum = "" if per == "market" else f"quorum: {self.of(['1', '2', '50%'])}"
        return f"""
  {name}:
    mode: {self.of(MODES)}
    per: {per}
    {quorum}
    {self.level()}
    when: {self.condition()!r}
    for: {self.of(["0s", "500ms", "2s"])}
    clear: {{when: {self.condition()!r}, for: {self.of(["0s", "1s", "3s"])}}}
    actions:
      warning: [{{quarantine: {order}}}, {{webhook: bot}}]
      danger: [alert, {{quarantine: {order}}}]
"""

    def level(self) -> str:
        if self.share() < 0.5:
            return f"level: {self.of(['warning', 'danger'])}"
        first, second = (f"{{weight: 0.5, value: 'ramp({self.of(NUMBERS)}, 0, {self.of([1, 3, 5])})'" for _ in range(2))
        factors = f"{{price_volatility: {first}}}, order_book: {second}{self.of(['', ', optional: true'])}}}}}"
        return f"risk: {factors}\n    levels: {{warning: {self.of([0.3, 0.5])}, danger: {self.of([0.6, 0.9])}}}"

    def text(self) -> str:
        return "".join(self.rule(name) for name in "ab")

    def edited(self, text: str) -> str:
        """Return the rules with one of them in another mode, with other actions or conditions, gone, or all in another order."""
        rules = re.split(r"(?m)^(?=  [ab]:)", text)[1:]
        place, chance = int(len(rules) * self.share()), self.share()
        if chance < 0.4:
            rules[place] = re.sub(r"mode: \w+", f"mode: {self.of(MODES)}", rules[place])
        elif chance < 0.6:
            old, new = self.of([("[alert, ", "["), (", {webhook: bot}", ""), ("for: 2s, target", "for: 3s, target")])
            rules[place] = rules[place].replace(old, new)
        elif chance < 0.9:
            rules[place] = re.sub("when: '[^']*'", f"when: {self.condition()!r}", rules[place], count=1)
        elif len(rules) > 1 and chance < 0.95:
            del rules[place]
        else:
            rules.reverse()
        return "".join(rules)


def program(text: str) -> Program:
    report = Report()
    rules = rules_from_text("rules:\n" + text, report)
    assert not report.errors, report.errors
    return compile_rules(rules)


def fresh(of: Program, *, jit: bool) -> Pipeline:
    pipeline = Pipeline(of, Settings(alerts=AlertPolicy((ChannelPolicy("push", frozenset(Level)),))), jit=jit)
    for facts in MARKETS:
        pipeline.open(facts)
    return pipeline


class Life:
    """One pipeline from its first event to its last, with what it told."""

    def __init__(self, seed: int, prepare: Callable[[Pipeline], None] = lambda _: None, *, jit: bool = False) -> None:
        self.choices = self.made(seed)
        self.first = self.text = self.choices.text()
        self.prepare, self.jit = prepare, jit
        self.pipeline = fresh(program(self.text), jit=jit)
        self.told: list[str] = []
        prepare(self.pipeline)

    @staticmethod
    def made(seed: int) -> Edits:
        return Edits(seed)

    def run(self, *, restores: bool = True, views: bool = True, cut: int | None = None) -> list[str]:
        choices, rows, at = self.choices, self.choices.rows(300), 0
        while at < len(rows):
            part = rows[at : at + choices.of([1, 5, 20])]
            at += len(part)
            for batch in batches(part, cut or len(part)):
                self.take(self.pipeline.process(batch))
            chance = choices.share()
            self.order(chance)
            if 0.2 < chance < 0.4:
                self.text = choices.edited(self.text) if choices.share() < 0.8 else self.first
                self.take(self.pipeline.load(program(self.text), self.pipeline.now_us))
                self.prepare(self.pipeline)
            elif 0.4 < chance < 0.5 and restores:
                self.restart()
            if views:
                self.told += [f"{at} {row} {self.pipeline.view(row)._replace(score=None)}" for row in range(len(MARKETS))]
                self.told += [f"{at} {row} {self.pipeline.why(row)['rules']}" for row in range(len(MARKETS)) if chance < 0.1]
        state = self.pipeline.save()
        self.told += [episodes(state), json.dumps(state["engine"]["groups"], sort_keys=True)]
        self.take(self.pipeline.advance(self.pipeline.now_us + 60 * S))
        # Sorted: what falls due at the very time of an evaluation comes before or after its verdicts.
        return sorted(self.told)

    def order(self, chance: float) -> None:
        """Let a person hold or release something."""
        target, now_us = self.choices.of(TARGETS), self.pipeline.now_us
        try:
            if chance < 0.07:
                self.take(self.pipeline.operate(AddQuarantine(target, 5 * S, "news", "ann"), now_us))
            elif chance < 0.17:
                self.take(self.pipeline.operate(ReleaseQuarantine(target, None, "fine", "ann", 0), now_us))
        except OperationRefused as error:
            self.told.append(str(error).partition(" (")[0])

    def restart(self) -> None:
        state = json.loads(json.dumps(self.pipeline.save()))
        self.pipeline = fresh(program(self.text), jit=self.jit)
        self.pipeline.restore(state)
        self.prepare(self.pipeline)

    def take(self, decision: Decision) -> None:
        self.told += [json.dumps(line, sort_keys=True) for line in lines_of(decision)]
        self.told += [f"{each.channel} {each.id} {each.title}" for each in decision.deliveries]


@pytest.mark.parametrize("jit", JITTED)
@pytest.mark.parametrize("seed", range(8))
def test_rules_that_are_edited_decide_the_same_where_they_are_asked_always(seed: int, *, jit: bool) -> None:
    assert Life(seed, jit=jit).run() == Life(seed, always_asked).run()


@pytest.mark.parametrize("seed", range(8, 16))
def test_neither_restarts_nor_looks_nor_the_cut_of_batches_change_what_is_decided(seed: int) -> None:
    told = Life(seed).run(views=False)
    assert Life(seed).run(views=False, restores=False) == told
    assert Life(seed).run(views=False, cut=1) == told
    assert set(told) <= set(Life(seed).run())
