"""The catalogue's formulas over the oracle's answers: every value that the answers allow."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

from features.oracle.answers import ANYTHING, Answer, exact

from guard.dsl.checker import Checker
from guard.dsl.graph import Graph
from guard.dsl.operations import OPERATIONS
from guard.dsl.parser import parse
from guard.dsl.tables import Tables
from guard.dsl.terms import Names, Scope
from guard.features.catalogue import CATALOGUE
from guard.features.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.graph import GraphNode
    from guard.features.tables import Leaf

__all__ = ["allowed", "graph_of"]


@cache
def graph_of(call: str) -> tuple[Graph, int]:
    """Return the graph of a written call, and its node."""
    graph = Graph()

    def fail(code: str, start: int, message: str, hint: str) -> None:
        raise AssertionError(f"{call}: {code} at {start}: {message} {hint}")

    term = Checker(graph, Tables(FIELDS, CATALOGUE)).check(parse(call), Scope(call, Names({}), {}, fail))
    return graph, term.node


def allowed(call: str, answers: Mapping[Leaf, Answer | None]) -> Answer | None:
    """Return what a call may give where its leaves give `answers`."""
    graph, wanted = graph_of(call)
    values: dict[int, Answer | None] = {}
    for number in graph.needed((wanted,)):
        node = graph.nodes[number]
        if node.operation == "const":
            values[number] = None if node.value != node.value else exact(node.value)
        elif node.operation == "leaf":
            values[number] = answers[graph.leaves[node.value]]
        else:
            values[number] = _applied(node, [values[argument] for argument in node.arguments])
    return values[wanted]


def _applied(node: GraphNode, arguments: list[Answer | None]) -> Answer | None:
    """Apply an operation: three let unknown arguments through, all others do not."""
    match node.operation:
        case "at_least":
            of, count, least = arguments
            if of is None or count is None or least is None or count.high < least.low:
                return None
            return of if count.low >= least.low else of._replace(is_sure=False)
        case "default":
            return _defaulted(*arguments)
        case "truth":
            return arguments[0]
    if any(argument is ANYTHING for argument in arguments):
        return ANYTHING
    known = [argument for argument in arguments if argument is not None]
    return _at_the_ends(node.operation, known) if len(known) == len(arguments) else None


def _at_the_ends(operation: str, arguments: list[Answer]) -> Answer | None:
    """Apply an operation to the ends of its arguments: each is monotone in all of them, but for abs and division at 0."""
    if operation == "divide" and arguments[1].low < 0 < arguments[1].high:
        return ANYTHING
    ends = [sorted({argument.low, argument.high, *_turning(operation, argument)}) for argument in arguments]
    found = [OPERATIONS[operation](*corner) for corner in product(*ends)]
    told = [value for value in found if not math.isnan(value)]
    is_sure = len(told) == len(found) and all(argument.is_sure for argument in arguments)
    return Answer(min(told), max(told), is_sure) if told else None


def _turning(operation: str, argument: Answer) -> tuple[int, ...]:
    """Return where an operation turns inside an answer."""
    return (0,) if operation == "abs" and argument.low < 0 < argument.high else ()


def _defaulted(first: Answer | None, second: Answer | None) -> Answer | None:
    """Return the first where it is known, else the second."""
    if first is None or second is None:
        return second if first is None else first
    if first.is_sure:
        return first
    return Answer(min(first.low, second.low), max(first.high, second.high), second.is_sure)
