"""Runs tests and sums up what they show of each rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl import compile_rules
from guard.model import RuleMode
from guard.runtime.rehearsal.collection import place_of
from guard.runtime.rehearsal.judge import around, misses
from guard.runtime.rehearsal.scene import recorded, scripted
from guard.runtime.rehearsal.script import Unplayable
from guard.runtime.rehearsal.stage import play

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl import Program, RuleSet
    from guard.dsl.problems import Report
    from guard.runtime.rehearsal.collection import Collection, FoundCase
    from guard.runtime.rehearsal.scene import Scene
    from guard.runtime.rehearsal.script import Case
    from guard.runtime.rehearsal.stage import Play

__all__ = ["Coverage", "coverage", "rehearse"]


class Coverage(NamedTuple):
    """What tests show of one rule: how many make it fire and how many keep it silent."""

    rule: str
    firing: int
    calm: int
    place: str

    @property
    def is_complete(self) -> bool:
        """Whether it has a test of either kind."""
        return self.firing > 0 and self.calm > 0


def coverage(collection: Collection, cases: Sequence[FoundCase]) -> tuple[Coverage, ...]:
    """Return for each rule of the packs that must be tested in full, unless it is disabled, what tests show of it."""
    found = []
    for rule in collection.rules.rules:
        if rule.file not in collection.packs or rule.spec is None or rule.spec.mode is RuleMode.DISABLED:
            continue
        own = [test.case for test in cases if test.case.rule == rule.id]
        firing, calm = sum(case.is_firing for case in own), sum(case.is_calm for case in own)
        found.append(Coverage(rule.id, firing, calm, f"{rule.file}:{rule.place.line}"))
    return tuple(found)


def rehearse(rules: RuleSet, cases: Sequence[FoundCase], report: Report) -> Iterator[dict[str, Any]]:
    """Run tests one by one and yield a JSON-able record of each; one that cannot be played goes to the report.

    Raises RuleError where the rules do not compile.
    """
    program = compile_rules(rules)
    for test in cases:
        try:
            record = _rehearsed(test, program)
        except Unplayable as error:
            report.add("E025", place_of(test.entry, error.path), str(error))
            continue
        yield record


def _rehearsed(test: FoundCase, program: Program) -> dict[str, Any]:
    case = test.case
    scene = recorded(case, test.folder) if case.recording else scripted(case)
    _check_moments(case, scene)
    played = play(scene, program, case.rule)
    _check_groups(case, played)
    found = [
        {
            "line": place_of(test.entry, miss.path).line,
            "column": place_of(test.entry, miss.path).column,
            "market": str(miss.market),
            **({"group": miss.group} if miss.group else {}),
            "at_s": miss.at_us / 1e6,
            "expected": miss.expected,
            "found": miss.found,
            "around": around(played, miss),
        }
        for miss in misses(case, scene, played)
    ]
    return {
        "test": test.name,
        "rule": case.rule,
        "file": test.place.source.file,
        "line": test.place.line,
        "column": test.place.column,
        "passed": not found,
        "firing": case.is_firing,
        "calm": case.is_calm,
        "events": played.events,
        "seconds": scene.end_us / 1e6,
        "misses": found,
        **({"orders": played.orders} if played.orders else {}),
    }


def _check_groups(case: Case, played: Play) -> None:
    """Raise Unplayable for an expectation of a group that the rule does not have on the test's markets."""
    known = played.groups()
    for number, expectation in enumerate(case.expect):
        if expectation.group is not None and expectation.group not in known:
            there = f"it has {', '.join(known)}" if known else "a group takes per: symbol or per: exchange in the rule"
            raise Unplayable(f"the rule {case.rule} has no group {expectation.group!r} in this test; {there}", "expect", number)


def _check_moments(case: Case, scene: Scene) -> None:
    """Raise Unplayable for an expectation outside the test: nothing could be seen there."""
    for number, expectation in enumerate(case.expect):
        when = expectation.at if expectation.by is None else expectation.by
        if when is not None and not 0 <= scene.since_begin(when) <= scene.end_us:
            raise Unplayable(f"this moment is not in the test, which lasts {scene.end_us / 1e6:g}s", "expect", number)
