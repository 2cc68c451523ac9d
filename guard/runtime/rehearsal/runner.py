"""Runs tests and sums up what they show of each rule."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.dsl import compile_rules
from guard.dsl.document import Scalar, find, place_in
from guard.model import RuleMode
from guard.runtime.clock import SystemClock
from guard.runtime.crew import can_fork, in_order
from guard.runtime.rehearsal.clauses import clause_coverage
from guard.runtime.rehearsal.collection import place_of
from guard.runtime.rehearsal.featured import featured
from guard.runtime.rehearsal.judge import around, misses, nearest
from guard.runtime.rehearsal.scene import recorded, scripted
from guard.runtime.rehearsal.script import Unplayable
from guard.runtime.rehearsal.stage import play

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl import RuleSet
    from guard.dsl.problems import Place, Report
    from guard.runtime.rehearsal.clauses import ClauseCoverage, Counts
    from guard.runtime.rehearsal.collection import Collection, FoundCase
    from guard.runtime.rehearsal.scene import Scene
    from guard.runtime.rehearsal.script import Case
    from guard.runtime.rehearsal.stage import Play

__all__ = ["Coverage", "Rehearsal", "coverage"]

# Fewer tests than this are done before other processes have begun.
_PARALLEL_MIN: Final = 4


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


class Mistake(NamedTuple):
    """Why a test cannot be played, see `Unplayable`, as it is sent from one process to another."""

    message: str
    path: tuple[str | int, ...] = ()
    code: str = "E091"
    start: int = 0
    is_key: bool = False


class _Result(NamedTuple):
    """What came of one test: its record and counts of clauses, or the mistake for which it cannot be played."""

    record: dict[str, Any] | None = None
    counts: Counts | None = None
    mistake: Mistake | None = None


class Rehearsal:
    """One run of tests over one rule set. Raises RuleError where the rules do not compile.

    Parameters
    ----------
    rules, cases
        What is tested by what.
    jobs
        How many processes share the work where the system can fork safely, > 0; results do not depend on it.
    """

    def __init__(self, rules: RuleSet, cases: Sequence[FoundCase], *, jobs: int = 1) -> None:
        self._rules = rules
        self._program = compile_rules(rules)
        self._cases = cases
        self._jobs = jobs if len(cases) >= _PARALLEL_MIN else 1
        self._counts: list[tuple[str, Counts]] = []

    def run(self, report: Report) -> Iterator[dict[str, Any]]:
        """Yield a JSON-able record of each test in order; one that cannot be played goes to the report."""
        jobs = self._jobs if can_fork() else 1
        with closing(in_order(self._rehearsed, len(self._cases), jobs=jobs, forks=True)) as running:
            for test, done in zip(self._cases, running, strict=True):
                if done.raised is not None:
                    raise done.raised
                result = done.answer or _Result(mistake=Mistake(f"the test could not be played: {done.error}"))
                if result.record is None:
                    assert result.mistake is not None
                    report.add(result.mistake.code, _place(test, result.mistake), result.mistake.message)
                    continue
                self._counts.append((test.case.rule, result.counts or {}))
                yield result.record

    def clauses(self, rules: Sequence[str]) -> tuple[ClauseCoverage, ...]:
        """Return what the tests that ran saw of every clause of some rules."""
        return clause_coverage(self._program, rules, self._counts)

    def _rehearsed(self, number: int) -> _Result:
        test = self._cases[number]
        clock = SystemClock()
        began_us = clock.monotonic_us()
        try:
            record, counts = self._played(test)
        except Unplayable as error:
            return _Result(mistake=Mistake(str(error), error.path, error.code, error.start, error.is_key))
        return _Result({**record, "took_s": round((clock.monotonic_us() - began_us) / 1e6, 3)}, counts)

    def _played(self, test: FoundCase) -> tuple[dict[str, Any], Counts]:
        case = test.case
        if case.features:
            scene, program, kernel, unknown = featured(case, self._rules, self._program)
        else:
            scene = recorded(case, test.folder) if case.recording else scripted(case)
            program, kernel, unknown = self._program, None, ()
        _check_moments(case, scene)
        played = play(scene, program, case.rule, kernel=kernel)
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
                "nearest": nearest(played, miss),
                "around": around(played, miss),
            }
            for miss in misses(case, scene, played)
        ]
        record = {
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
        if case.features:
            record["not_given"] = list(unknown)
        return record, played.counts


def _place(test: FoundCase, mistake: Mistake) -> Place:
    """Return where a mistake stands."""
    inner, _ = find(test.entry.node, mistake.path)
    if mistake.is_key:
        first = inner.key.text[inner.key.column - 1 : inner.key.column]
        return place_in(Scalar(None, str(mistake.path[-1]), inner.key, first if first in ("'", '"') else ""), mistake.start)
    if isinstance(inner.node, Scalar) and mistake.start:
        return place_in(inner.node, mistake.start)
    return inner.node.place


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
