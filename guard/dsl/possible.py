"""What a condition can still come to where some of what it reads never arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guard.dsl.graph import Graph

__all__ = ["Possible", "possible"]

_KNOWS: Final = frozenset({"and", "or", "not", "default", "default_truth", "known", "known_truth", "score"})


class Possible(NamedTuple):
    """`lost` nodes are unknown for ever; `truths` are the truth values that each condition can have."""

    lost: frozenset[int]
    truths: dict[int, frozenset[bool]]

    def can_hold(self, node: int) -> bool:
        """Whether a condition can be true."""
        return True in self.truths[node]


def possible(graph: Graph, wanted: Iterable[int], is_unread: Callable[[int], bool]) -> Possible:
    """Return what some nodes can come to where the leaves, by their nodes, for which `is_unread` is true never arrive."""
    lost: set[int] = set()
    truths: dict[int, frozenset[bool]] = {}
    for number in graph.needed(tuple(wanted)):
        found = graph.nodes[number]
        is_gone = found.operation == "leaf" and is_unread(number)
        if is_gone or (found.operation not in _KNOWS and any(part in lost for part in found.arguments)):
            lost.add(number)
        truths[number] = _truths(graph, number, lost, truths)
    return Possible(frozenset(lost), truths)


def _truths(graph: Graph, number: int, lost: set[int], truths: dict[int, frozenset[bool]]) -> frozenset[bool]:
    """Return which truth values a node can have; unknown for ever is none."""
    found = graph.nodes[number]
    parts = [truths[part] for part in found.arguments]
    match found.operation:
        case "const" if isinstance(found.value, bool):
            return frozenset((found.value,))
        case "not":
            return frozenset(not one for one in parts[0])
        case "and" | "or":
            decides = found.operation == "or"
            one = {decides} if any(decides in part for part in parts) else set()
            return frozenset(one | ({not decides} if all((not decides) in part for part in parts) else set()))
        case _:
            return frozenset() if number in lost else frozenset((True, False))
