"""Checked expressions with their values: every part, its unit, and why it is unknown."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl.terms import all_of
from guard.dsl.tokens import written_quantity
from guard.features.tables import Type, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from guard.dsl.graph import Graph, GraphNode
    from guard.dsl.terms import Term

    WhyLeaf = Callable[[int], str]

__all__ = ["Explanation", "Tracer", "untold"]

_REASONS_MAX = 6
_PARTS_MAX = 2_000
_OWN = {
    "divide": "what it is divided by is 0",
    "log": "a logarithm of what is not above 0",
    "sqrt": "a root of what is below 0",
    "ramp": "both bounds of the ramp are equal",
}


class Explanation(NamedTuple):
    """One part of an expression with its value: a number, True, False, a text, or None where unknown.

    `definition` is what a name stands for, empty where `text` is no name. `why` tells why the value is unknown, at the innermost
    parts that are. `joins` is ``and``, ``or`` or ``not`` where that is how conditions are joined.
    """

    text: str
    value: float | bool | str | None
    children: tuple[Explanation, ...] = ()
    unit: Unit = Unit.NONE
    definition: str = ""
    why: tuple[str, ...] = ()
    joins: str = ""


def untold(_leaf: int) -> str:
    """Tell of a leaf that is unknown no more than that."""
    return "its data is missing"


class Tracer:
    """Explains terms of one graph by the values of its leaves.

    Parameters
    ----------
    graph
        The rules' graph.
    leaves, facts
        The values of the leaves, NaN where unknown, and what is fixed for the market.
    scores
        A rule's number -> the function of its factors' values.
    needed
        A rule's number -> which of its factors must be known.
    why_leaf
        Tells why a leaf, by its number, is unknown.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        leaves: Sequence[float],
        facts: Mapping[str, Any],
        scores: Mapping[int, Any],
        needed: Mapping[int, Sequence[bool]],
        why_leaf: WhyLeaf = untold,
    ) -> None:
        self._graph = graph
        self._leaves, self._facts, self._scores = leaves, facts, scores
        self._needed = needed
        self._why_leaf = why_leaf
        self._values: dict[int, Any] = {}
        self._left = _PARTS_MAX

    def explain(self, terms: Iterable[Term]) -> tuple[Explanation, ...]:
        """Return the trees of some terms; what they share is computed once."""
        wanted = tuple(terms)
        numbers = self._graph.needed(tuple(dict.fromkeys(part.node for term in wanted for part in all_of(term))))
        found = self._graph.evaluate(numbers, leaves=self._leaves, facts=self._facts, scores=self._scores)
        self._values.update(zip(numbers, found, strict=True))
        self._left = _PARTS_MAX
        return tuple(self._explained(term) for term in wanted)

    def values(self, nodes: Sequence[int]) -> list[Any]:
        """Return the values of some nodes."""
        return self._graph.evaluate(nodes, leaves=self._leaves, facts=self._facts, scores=self._scores)

    def _explained(self, term: Term) -> Explanation:
        value = _shown(self._values[term.node])
        is_fixed = self._graph.nodes[term.node].operation == "const"
        inner = term.children[0] if term.is_named and term.children else term
        self._left -= 1
        # Names may stand for names twice over: what would grow without end is told by its value alone.
        children = () if is_fixed or self._left <= 0 else tuple(map(self._explained, inner.children))
        why: tuple[str, ...] = ()
        if value is None and all(child.value is not None for child in children):
            why = self.reasons(term.node)
        joins = self._graph.nodes[term.node].operation
        is_joint = joins in ("and", "or", "not") and all(child.type is Type.BOOL for child in inner.children)
        definition = _balanced(inner.text) if inner is not term and not is_fixed else ""
        return Explanation(
            _balanced(term.text), value, children, term.unit, definition, why, joins if is_joint and children else ""
        )

    def reasons(self, number: int) -> tuple[str, ...]:
        """Return why a node is unknown, in words; at most six reasons."""
        found = tuple(dict.fromkeys(self._walked(number, set())))
        return (*found[:_REASONS_MAX], "and more") if len(found) > _REASONS_MAX else found

    def _walked(self, number: int, seen: set[int]) -> Iterator[str]:
        if number in seen or _is_known(self._values[number]):
            return
        seen.add(number)
        node = self._graph.nodes[number]
        if node.operation == "leaf":
            yield self._why_leaf(node.value)
            return
        if node.operation in ("at_least", "truth_at_least"):
            yield from self._too_few(node, seen)
            return
        unknown = [argument for argument in self._causes(node) if not _is_known(self._values[argument])]
        if not unknown or (node.operation == "python" and self._graph.calls[node.value].is_off):
            yield self._own(node)
            return
        for argument in unknown:
            yield from self._walked(argument, seen)

    def _causes(self, node: GraphNode) -> Sequence[int]:
        """Return what a node's value must be known from."""
        if node.operation != "score":
            return node.arguments
        needed = self._needed.get(node.value, (True,) * len(node.arguments))
        return [argument for argument, is_needed in zip(node.arguments, needed, strict=True) if is_needed]

    def _too_few(self, node: GraphNode, seen: set[int]) -> Iterator[str]:
        of, count, least = node.arguments
        found, wanted = self._values[count], self._values[least]
        if not _is_known(found):
            yield from self._walked(count, seen)
        elif found < wanted:
            window = self._graph.leaves[self._graph.nodes[count].value].arguments[0]
            yield f"too few trades: {found:g} of {wanted:g} in {written_quantity(float(window), Unit.DURATION)}"
        else:
            yield from self._walked(of, seen)

    def _own(self, node: GraphNode) -> str:
        if node.operation == "python":
            call = self._graph.calls[node.value]
            if call.is_off:
                return f"the detector {call.name} is switched off"
            return f"the detector {call.name} failed: {call.fault}" if call.fault else f"the detector {call.name} cannot tell"
        if node.operation == "score":
            return "no required factor is there"
        return _OWN.get(node.operation, "the calculation has no result")


def _balanced(text: str) -> str:
    """Return a part of an expression with the brackets around its ends.

    Examples
    --------
    >>> _balanced("a - b) / (c - d")
    '(a - b) / (c - d)'
    """
    depth = lowest = 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        lowest = min(lowest, depth)
    return "(" * -lowest + text + ")" * (depth - lowest)


def _is_known(value: Any) -> bool:  # noqa: ANN401 - a value of any type of the language
    return value is not None and not (isinstance(value, float) and isnan(value))


def _shown(value: Any) -> float | bool | str | None:  # noqa: ANN401 - likewise
    if not _is_known(value):
        return None
    return value if isinstance(value, float | int | str) else ", ".join(map(str, value))
