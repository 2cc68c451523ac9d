"""What is said of an expression that can be used, but hardly means what was wanted: the warnings on its parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.atoms import clashes
from guard.dsl.bounds import KnownRanges, decided
from guard.dsl.tokens import written_quantity
from guard.features.tables import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl.graph import Graph
    from guard.dsl.ranges import Range
    from guard.dsl.terms import Scope, Term

__all__ = ["Advice", "Called"]

_OPERATIONS: Final = {"<": "less", ">": "less", "<=": "less_equal", ">=": "less_equal", "==": "equal", "!=": "equal"}


class Called(NamedTuple):
    """Which feature or field a node is, and its longest window in microseconds, 0 where it has none."""

    name: str
    window_us: float


class Advice:
    """Looks at the parts of expressions. What the formulas of features and detectors say is their authors' matter."""

    def __init__(self, graph: Graph) -> None:
        self.ranges = KnownRanges(graph)
        self.called: dict[int, Called] = {}
        self._graph = graph

    def note(self, node: int, name: str, window_us: float) -> None:
        """Note that a node is a call of a feature or field."""
        self.called.setdefault(node, Called(name, window_us))
        self.ranges.tell(node, name)

    def of_comparison(self, first: Term, second: Term, operator: str, start: int, scope: Scope) -> None:
        """Warn of a comparison that every value of a feature answers alike."""
        ranges = self.ranges
        if not scope.has_strict_units or (ranges.is_fixed(first.node) == ranges.is_fixed(second.node)):
            return
        left, right = ranges.of(first.node), ranges.of(second.node)
        sides = (right, left) if operator in (">", ">=") else (left, right)
        answer = decided(_OPERATIONS[operator], *sides)
        if answer is None:
            return
        if operator == "!=":
            answer = not answer
        measured, bounds = (first, left) if ranges.is_fixed(second.node) else (second, right)
        often = "always holds where it is known" if answer else "never holds"
        message = f"{first.text} {operator} {second.text} {often}: {measured.text} {_bounds(bounds, measured.unit)}"
        scope.fail("W006", start, message, "")

    def of_ramp(self, of: Term, node: int, text: str, start: int, scope: Scope) -> None:
        """Warn of a ramp that never moves."""
        if not scope.has_strict_units or self.ranges.is_fixed(of.node):
            return
        low, high = self.ranges.of(node)
        if low == high:
            bounds = _bounds(self.ranges.of(of.node), of.unit)
            scope.fail("W006", start, f"{text} is always {low:g}: {of.text} {bounds}", "ramp(x, 1%, 4%) is 0 at 1% and 1 at 4%")

    def of_parts(self, terms: Sequence[Term], starts: Sequence[int], joined: str, scope: Scope) -> None:
        """Warn of parts of one condition that exclude each other, add nothing, or never change."""
        if not scope.has_strict_units:
            return
        nodes = self._graph.nodes
        fixed = [nodes[term.node].operation == "const" for term in terms]
        for term, start, is_fixed in zip(terms, starts, fixed, strict=True):
            if is_fixed and not all(fixed):
                scope.fail("W002", start, f"{term.text} is always {str(nodes[term.node].value).lower()}", "")
        for kind, first, second in clashes(self._graph, [term.node for term in terms], joined):
            one, other = terms[first].text, terms[second].text
            if kind == "excludes":
                scope.fail(
                    "W007", starts[max(first, second)], f"{one} and {other} never hold together", "if either is enough, write or"
                )
            elif kind == "fills":
                scope.fail("W002", starts[max(first, second)], f"{one} or {other} always holds", "if both are needed, write and")
            elif one == other:
                scope.fail("W008", starts[max(first, second)], f"{one} stands here twice", "keep one of the two")
            else:
                scope.fail("W008", starts[first], f"{one} says nothing beside {other}", "keep the one that is meant")


def _bounds(bounds: Range, unit: Unit) -> str:
    shown = unit if unit in (Unit.RATIO, Unit.DURATION) else Unit.NONE
    low, high = (written_quantity(bound, shown) if math.isfinite(bound) else "" for bound in bounds)
    if low and high:
        return f"is always {low}" if low == high else f"lies between {low} and {high}"
    return f"is never below {low}" if low else f"is never above {high}"
