"""The clauses of a rule: every comparison or condition that decides something, and whether each held."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, NamedTuple

from guard.features.tables import Type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl.program import Program
    from guard.dsl.terms import Term
    from guard.model import MarketFacts

__all__ = ["Clause", "clauses_of", "held"]


class Clause(NamedTuple):
    """One condition of a rule without conditions inside, or one factor.

    `where` is where it stands, ``when`` or ``risk.order_book``; a factor holds while it is above 0.
    """

    where: str
    text: str
    node: int
    is_factor: bool

    @property
    def matters_in_episodes(self) -> bool:
        """Whether it is asked only while a level is above normal."""
        return self.where == "clear.when"

    @property
    def matters_in_holds(self) -> bool:
        """Whether it is asked only while a market is held."""
        return self.where.endswith("release.when")


def clauses_of(program: Program, rule: int) -> tuple[Clause, ...]:
    """Return the clauses of a rule in the order in which they are written; what is fixed in the text is none."""
    found: dict[tuple[str, str], Clause] = {}
    for where, term in program.terms(rule):
        if where.startswith("risk."):
            clauses: Iterator[Clause] = iter((Clause(where, term.text, term.node, is_factor=True),))
        else:
            clauses = (Clause(where, part.text, part.node, is_factor=False) for part in _atoms(term))
        for clause in clauses:
            if not program.is_constant(clause.node):
                found.setdefault((clause.where, clause.text), clause)
    return tuple(found.values())


def held(program: Program, rule: int, clauses: Sequence[Clause], facts: MarketFacts, values: Sequence[float]) -> list[bool | None]:
    """Return of each clause whether it holds by the values of the leaves, None where nobody can tell."""
    found = program.tracer(rule, facts, values).values([clause.node for clause in clauses])
    return [_held(clause, value) for clause, value in zip(clauses, found, strict=True)]


def _held(clause: Clause, value: float | bool | None) -> bool | None:  # noqa: FBT001 - a value of the rule language
    if value is None or not clause.is_factor:
        return None if value is None else bool(value)
    return None if isnan(value) else value > 0.0


def _atoms(term: Term) -> Iterator[Term]:
    """Yield the conditions in a term that hold no other condition."""
    inner = [atom for child in term.children for atom in _atoms(child)]
    if inner:
        yield from inner
    elif term.type is Type.BOOL:
        yield term
