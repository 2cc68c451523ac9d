"""Which clauses of a rule tests saw hold, and which they saw fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.clauses import clauses_of, held
from guard.engine import Engine
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.dsl import Program
    from guard.dsl.clauses import Clause
    from guard.engine.watched import Watched
    from guard.features.kernel import Kernel
    from guard.model import Verdict

__all__ = ["ClauseCoverage", "Counts", "Witness", "clause_coverage"]

Counts = dict[tuple[str, str], list[int]]
"""For each clause of a rule, by where it stands and its text, how many looks saw it true, false and unknown."""


class ClauseCoverage(NamedTuple):
    """What all tests of a rule saw of one clause. `times_true` and so on count looks; a factor is true while it is above 0."""

    rule: str
    where: str
    text: str
    times_true: int
    times_false: int
    times_unknown: int
    is_factor: bool

    @property
    def lack(self) -> str:
        """What the tests never saw, empty where they saw all that matters."""
        if self.is_factor:
            return "" if self.times_true else "was never above 0"
        if not self.times_true and not self.times_false:
            return "was never decided"
        return "was never true" if not self.times_true else "was never false" if not self.times_false else ""

    @property
    def name(self) -> str:
        """How it is written in the report, ``when: trades(60s) >= 20``."""
        return f"{self.where}: {self.text}"


class Witness(Engine):
    """Notes at each evaluation that says something new, and whenever it is asked to look, which clauses of one rule hold.

    Parameters
    ----------
    program, rule
        The rules, and the one that is tested.
    begin_us
        What happens before is not noted.
    kernel
        Another kernel than one of the program's leaves.
    """

    def __init__(self, program: Program, rule: int, begin_us: int, kernel: Kernel | None = None) -> None:
        super().__init__(program, kernel=kernel)
        self._rule = rule
        self._begin_us = begin_us
        self._clauses = clauses_of(program, rule)
        self.counts: Counts = {(clause.where, clause.text): [0, 0, 0] for clause in self._clauses}

    def evaluate(self, row: int, now_us: int) -> tuple[Verdict, ...]:
        """Run the rules of one market."""
        verdicts = super().evaluate(row, now_us)
        if now_us >= self._begin_us:
            self.note(row)
        return verdicts

    def note(self, row: int) -> None:
        """Note which clauses hold by the market's last values."""
        watched = self.watched[row]
        found = held(self.program, self._rule, self._clauses, watched.facts, watched.values)
        for clause, truth in zip(self._clauses, found, strict=True):
            if self._matters(clause, watched):
                self.counts[clause.where, clause.text][2 if truth is None else int(not truth)] += 1

    def _matters(self, clause: Clause, watched: Watched) -> bool:
        """Whether a clause decides something now."""
        rules = watched.binding.rules
        if self._rule not in rules:
            return clause.where == "scope.where"
        if clause.matters_in_holds:
            return watched.is_held
        return not clause.matters_in_episodes or watched.episodes[rules.index(self._rule)].level is not Level.NORMAL


def clause_coverage(program: Program, rules: Sequence[str], counted: Iterable[tuple[str, Counts]]) -> tuple[ClauseCoverage, ...]:
    """Return what tests, each with its rule and counts, saw of every clause of some rules."""
    totals: dict[tuple[str, str, str], list[int]] = {}
    for rule, counts in counted:
        for (where, text), seen in counts.items():
            total = totals.setdefault((rule, where, text), [0, 0, 0])
            total[:] = [have + more for have, more in zip(total, seen, strict=True)]
    numbers = {rule.id: rule.number for rule in program.rules}
    found: list[ClauseCoverage] = []
    for rule in rules:
        for clause in clauses_of(program, numbers[rule]):
            seen = totals.get((rule, clause.where, clause.text), [0, 0, 0])
            found.append(ClauseCoverage(rule, clause.where, clause.text, seen[0], seen[1], seen[2], clause.is_factor))
    return tuple(found)
