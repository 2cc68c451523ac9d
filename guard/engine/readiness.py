"""From when on each rule can tell something of a market: now, in some time, or never there."""

from __future__ import annotations

from enum import StrEnum
from math import inf, isnan
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.features.lacking import lacks, lasting
from guard.model import RuleMode

if TYPE_CHECKING:
    from guard.dsl import Program, Rule
    from guard.engine.engine import Engine
    from guard.features.lacking import Lack
    from guard.model import MarketFacts

__all__ = ["Ready", "RuleReadiness", "can_tell", "readiness"]


_NO_STREAM: Final = {
    "trades": "no stream of trades",
    "book": "no stream of the book",
    "peers": "fewer than three exchanges with a book are compared",
}


class Ready(StrEnum):
    """Whether a rule can fire on a market and have a score.

    READY: now. WARMING: time alone makes it so. WAITING: something must happen first, and nobody knows when. NEVER: not on this
    market, whose exchange lacks a stream.
    """

    READY = "ready"
    WARMING = "warming"
    WAITING = "waiting"
    NEVER = "never"


class RuleReadiness(NamedTuple):
    """One rule on one market; `in_s` where it is warming, `why` where it is not ready."""

    rule: str
    state: Ready
    in_s: float | None = None
    why: str = ""

    @property
    def text(self) -> str:
        """It in words, with two units of time at most.

        Examples
        --------
        >>> RuleReadiness("pump", Ready.WARMING, 11_400.0, "few").text, RuleReadiness("pump", Ready.NEVER, None, "no book").text
        ('ready in 3 h 10 m', 'never: no book')
        """
        if self.state is Ready.READY:
            return "ready"
        if self.in_s is not None:
            return f"ready in {lasting(self.in_s * 1e6, is_up=True)}"
        return f"{self.state}: {self.why}"

    def record(self) -> dict[str, Any]:
        """Return it JSON-able."""
        in_s = None if self.in_s is None else round(self.in_s, 1)
        return {"rule": self.rule, "ready": str(self.state), "ready_in_s": in_s, "why": self.why or None, "text": self.text}


def readiness(engine: Engine, row: int, now_us: int) -> list[RuleReadiness]:
    """Return how ready each rule is whose scope holds a market, at `now_us`, local time; disabled ones are left out."""
    engine.look(row, now_us)
    program, watched = engine.program, engine.watched[row]
    values = engine.kernel.values(row, now_us)
    inside = set(watched.binding.rules)
    read = frozenset().union(*map(program.leaf_numbers, inside))
    found = lacks(engine.kernel, row, now_us, [number for number, value in enumerate(values) if number in read and isnan(value)])
    told = []
    for rule in program.rules:
        if rule.number in inside:
            told.append(_of_rule(program, rule, watched.facts, found))
        elif rule.mode is not RuleMode.DISABLED and rule.covers(watched.facts) and not rule.works_on(watched.facts):
            told.append(_never(program, rule, watched.facts))
    return told


def can_tell(engine: Engine, rule: str, market: str) -> bool:
    """Whether a rule watches a market and has seen enough to judge it."""
    row = next((row for known, row in engine.markets.items() if str(known) == market), None)
    if row is None:
        return False
    engine.sync(row)
    watched = engine.watched[row]
    rules = (engine.program.rules[number].id for number in watched.binding.rules)
    return any(
        name == rule and episode.unknown_since_us is None
        for name, episode in zip(rules, watched.episodes, strict=True)
        if watched.is_judged
    )


def _never(program: Program, rule: Rule, facts: MarketFacts) -> RuleReadiness:
    missing = sorted(program.lacking(rule.number, facts))
    return RuleReadiness(rule.id, Ready.NEVER, None, "; ".join(_NO_STREAM[name] for name in missing) or "a stream is missing")


def _of_rule(program: Program, rule: Rule, facts: MarketFacts, found: dict[int, Lack]) -> RuleReadiness:
    read = program.leaf_numbers(rule.number)
    lacking = {number: lack for number, lack in found.items() if number in read}
    if program.works_without(rule.number, facts, frozenset(lacking)):
        return RuleReadiness(rule.id, Ready.READY)
    absent = frozenset(number for number, lack in lacking.items() if lack.is_absent)
    if not program.works_without(rule.number, facts, absent):
        return _never(program, rule, facts)
    waits = {number: inf if lack.us is None else lack.us for number, lack in lacking.items()}
    for wait in sorted({wait for wait in waits.values() if wait < inf}):
        if program.works_without(rule.number, facts, frozenset(number for number, each in waits.items() if each > wait)):
            last = next(number for number, each in waits.items() if each == wait)
            return RuleReadiness(rule.id, Ready.WARMING, wait / 1e6, lacking[last].why)
    stuck = [number for number, wait in waits.items() if wait == inf and number not in absent]
    alone = [number for number in stuck if not program.works_without(rule.number, facts, frozenset({number}))]
    return RuleReadiness(rule.id, Ready.WAITING, None, lacking[(alone or stuck)[0]].why)
