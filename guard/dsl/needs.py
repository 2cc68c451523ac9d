"""Which streams a condition cannot do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl.graph import Graph

__all__ = ["streams_needed"]

_NONE: frozenset[str] = frozenset()
# They answer whatever their arguments are; what a detector in plain Python makes of an unknown feature, nobody knows.
_ANSWERING = frozenset({"known", "known_truth", "score", "python"})
_EITHER = frozenset({"default", "default_truth", "and", "or"})


def streams_needed(graph: Graph, condition: int) -> frozenset[str]:
    """Return the streams without any one of which a condition is never true.

    What is returned is certain, but it may be less than all: ``ret(1m) > 1% or spread() > 1%`` needs no stream.
    """
    unknown: dict[int, frozenset[str]] = {}
    untrue: dict[int, frozenset[str]] = {}
    for number in graph.needed((condition,)):
        node = graph.nodes[number]
        unknown[number] = _unknown_without(graph, number, [unknown[argument] for argument in node.arguments])
        parts = [untrue[argument] for argument in node.arguments]
        if node.operation == "and":
            untrue[number] = _NONE.union(*parts)
        elif node.operation == "or":
            untrue[number] = parts[0].intersection(*parts[1:])
        else:
            untrue[number] = unknown[number]
    return untrue[condition]


def _unknown_without(graph: Graph, number: int, parts: Sequence[frozenset[str]]) -> frozenset[str]:
    operation = graph.nodes[number].operation
    if operation == "leaf":
        return graph.streams[number]
    if operation in _ANSWERING or not parts:
        return _NONE
    return parts[0].intersection(*parts[1:]) if operation in _EITHER else _NONE.union(*parts)
