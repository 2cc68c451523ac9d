"""All that a run of tests found: records, mistakes in files, what no test shows."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from guard.dsl.problems import Report, guessed
from guard.errors import OperationRefused, RuleError
from guard.runtime.rehearsal.collection import collect, read_cases
from guard.runtime.rehearsal.runner import Rehearsal, coverage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from guard.errors import Problem
    from guard.runtime.rehearsal.clauses import ClauseCoverage
    from guard.runtime.rehearsal.collection import FoundCase
    from guard.runtime.rehearsal.runner import Coverage

__all__ = ["Findings", "rehearsed"]


class Findings:
    """What came of a run. `run` must be gone through first; then all else tells what was found."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self.records: list[dict[str, Any]] = []
        self.problems: tuple[Problem, ...] = ()
        self.covered: tuple[Coverage, ...] = ()
        self.clauses: tuple[ClauseCoverage, ...] = ()

    def run(self) -> Iterator[dict[str, Any]]:
        """Play the tests and yield the record of each, in the order of the files."""
        report = Report()
        try:
            collection = collect(self._run.paths, self._run.config, self._run.env)
            cases = read_cases(collection.files, collection.rules, report)
            chosen = _chosen(cases, self._run.only)
            rehearsal = Rehearsal(collection.rules, chosen, jobs=self._run.jobs)
            for record in rehearsal.run(report):
                self.records.append(record)
                yield record
            if not self._run.only:
                self.covered = coverage(collection, cases)
                self.clauses = rehearsal.clauses([rule.rule for rule in self.covered])
            self.problems = report.errors
        except RuleError as error:
            self.problems = error.problems

    @property
    def failed(self) -> int:
        """How many tests failed."""
        return sum(not record["passed"] for record in self.records)

    @property
    def lacking(self) -> tuple[Coverage, ...]:
        """The rules that lack a test of either kind."""
        return tuple(rule for rule in self.covered if not rule.is_complete)

    @property
    def one_sided(self) -> tuple[ClauseCoverage, ...]:
        """The clauses that were not seen both ways."""
        return tuple(clause for clause in self.clauses if clause.lack)

    def is_sound(self, *, is_strict: bool) -> bool:
        """Whether all is as it should be; `is_strict` asks for every clause both ways too."""
        return not (self.problems or self.failed or self.lacking or (is_strict and self.one_sided))

    def lack_of(self, rule: Coverage) -> str:
        """Return what a rule lacks, in words."""
        kinds = [kind for kind, count in (("that makes it fire", rule.firing), ("that keeps it silent", rule.calm)) if not count]
        return f"has no test {' and none '.join(kinds)}"

    def summary(self) -> str:
        """Return all in one line."""
        passed = f"{len(self.records)} test{'' if len(self.records) == 1 else 's'}: {len(self.records) - self.failed} passed"
        failed = f", {self.failed} failed" if self.failed else ""
        broken = f", {len(self.problems)} mistake{'' if len(self.problems) == 1 else 's'} in files" if self.problems else ""
        if self._run.only:
            return f"{passed}{failed}{broken}; chosen by {', '.join(self._run.only)}, so nothing is said of what is not tested"
        complete = len(self.covered) - len(self.lacking)
        return f"{passed}{failed}{broken}; {complete} of {len(self.covered)} rules have a test that fires and one that stays silent"

    def document(self) -> dict[str, Any]:
        """Return all as JSON."""
        return {
            "tests": self.records,
            "coverage": [{**rule._asdict(), "complete": rule.is_complete} for rule in self.covered],
            "clauses": [{**clause._asdict(), "lack": clause.lack or None} for clause in self.clauses],
            "passed": len(self.records) - self.failed,
            "failed": self.failed,
            "errors": [{**problem._asdict(), "doc": problem.doc} for problem in self.problems],
        }


class _Run:
    """What was asked for."""

    def __init__(self, paths: Sequence[str], config: Path, env: Mapping[str, str], only: Sequence[str], jobs: int) -> None:
        self.paths, self.config, self.env, self.only, self.jobs = paths, config, env, only, jobs


def rehearsed(paths: Sequence[str], config: Path, env: Mapping[str, str], *, only: Sequence[str] = (), jobs: int = 1) -> Findings:
    """Return a run of the tests of `paths`, to be gone through; see `collect` for what they may be and what it raises.

    `only` chooses tests by name: those that hold one of the texts, or match it where it has a ``*``.
    """
    return Findings(_Run(paths, config, env, only, jobs))


def _chosen(cases: Sequence[FoundCase], only: Sequence[str]) -> list[FoundCase]:
    """Return the tests that are asked for; raises OperationRefused where a choice finds none."""
    names = [test.name for test in cases]
    for text in only:
        if not any(_is_meant(name, text) for name in names):
            raise OperationRefused(guessed(f"no test is named like {text!r}", text, names))
    return [test for test in cases if not only or any(_is_meant(test.name, text) for text in only)]


def _is_meant(name: str, text: str) -> bool:
    return fnmatchcase(name, text) if "*" in text else text in name
