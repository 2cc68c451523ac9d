"""The checked expressions of all rules as one graph in which equal parts exist once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.dsl.operations import OPERATIONS
from guard.features.tables import Leaf

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from guard.dsl.plain_detectors import PlainCall
    from guard.features.tables import Field

__all__ = ["BOOLEAN", "Graph", "GraphNode", "TooLargeError"]

NODES_MAX = 50_000
ORDERS_MAX = 1024
_NO_STREAMS: frozenset[str] = frozenset()

BOOLEAN = frozenset(
    (
        "less",
        "less_equal",
        "equal",
        "same",
        "in",
        "and",
        "or",
        "not",
        "truth",
        "known",
        "known_truth",
        "default_truth",
        "truth_at_least",
    )
)
"""Operations whose value is True, False or None."""


class TooLargeError(Exception):
    """The rules together need more than `NODES_MAX` operations."""


class GraphNode(NamedTuple):
    """One operation over earlier nodes.

    Besides the operations of `OPERATIONS`: ``const`` (`value`), ``leaf`` (`value` = its number in the row), ``fact`` (`value` = a
    name of `MarketFacts`, fixed for a market), ``score`` (`value` = number of the rule, arguments = its factors), ``python``
    (`value` = number of the call in `Graph.calls`, arguments = its features).
    """

    operation: str
    arguments: tuple[int, ...] = ()
    value: Any = None


class Graph:
    """Nodes in an order in which arguments come before their users."""

    def __init__(self) -> None:
        self.nodes: list[GraphNode] = []
        self.leaves: list[Leaf] = []
        self.streams: list[frozenset[str]] = []
        self.is_fixed: list[bool] = []
        self.calls: list[PlainCall] = []
        self._numbers: dict[Hashable, int] = {}
        self._leaf_numbers: dict[Leaf, int] = {}
        self._orders: dict[tuple[int, ...], tuple[int, ...]] = {}

    def const(self, value: float | bool | str | tuple[str, ...] | None) -> int:  # noqa: FBT001 - a truth value is the value itself
        """Return the node of a constant."""
        if isinstance(value, float) and math.isnan(value):
            return self._put(GraphNode("const", (), math.nan), ("nan",), _NO_STREAMS, is_fixed=True)
        # Zeros of either sign are equal, and are not the same.
        key = (type(value), value, str(value) if value == 0 else None)
        number = self._numbers.get(key)
        return self._put(GraphNode("const", (), value), key, _NO_STREAMS, is_fixed=True) if number is None else number

    def fact(self, name: str) -> int:
        """Return the node of something fixed for a market."""
        return self._put(GraphNode("fact", (), name), ("fact", name), _NO_STREAMS, is_fixed=True)

    def leaf(self, field: Field, arguments: tuple[float | int | str, ...]) -> int:
        """Return the node that reads a field."""
        leaf = Leaf(field.name, arguments)
        number = self._leaf_numbers.setdefault(leaf, len(self.leaves))
        if number == len(self.leaves):
            self.leaves.append(leaf)
        streams = frozenset(() if field.stream == "market" else (field.stream,))
        return self._put(GraphNode("leaf", (), number), ("leaf", number), streams, is_fixed=False)

    def leaf_node(self, leaf: Leaf) -> int | None:
        """Return the node of a leaf, None where no expression names it."""
        return self._numbers.get(("leaf", self._leaf_numbers.get(leaf)))

    def score(self, rule: int, factors: Sequence[int]) -> int:
        """Return the node of a rule's risk score."""
        return self._join(GraphNode("score", tuple(factors), rule))

    def python(self, call: PlainCall, features: Sequence[int]) -> int:
        """Return the node of a plain detector's score."""
        if call not in self.calls:
            self.calls.append(call)
        return self._join(GraphNode("python", tuple(features), self.calls.index(call)))

    def apply(self, operation: str, *arguments: int) -> int:
        """Return the node of an operation; constants are computed at once."""
        nodes = self.nodes
        for argument in arguments:
            if nodes[argument].operation != "const":
                return self._join(GraphNode(operation, arguments))
        return self.const(OPERATIONS[operation](*(nodes[argument].value for argument in arguments)))

    def all_of(self, conditions: Sequence[int]) -> int:
        """Return the Kleene ``and`` of conditions, True where there are none."""
        return self._chain("and", conditions, default=True)

    def any_of(self, conditions: Sequence[int]) -> int:
        """Return the Kleene ``or`` of conditions, False where there are none."""
        return self._chain("or", conditions, default=False)

    def _chain(self, operation: str, conditions: Sequence[int], *, default: bool) -> int:
        kept = [node for node in conditions if self.nodes[node] != GraphNode("const", (), default)]
        if not kept:
            return self.const(default)
        node = kept[0]
        for other in kept[1:]:
            node = self.apply(operation, node, other)
        return node

    def _join(self, node: GraphNode) -> int:
        number = self._numbers.get(node)
        if number is not None:
            return number
        is_fixed = node.operation not in ("score", "python")
        streams = _NO_STREAMS
        for argument in node.arguments:
            theirs = self.streams[argument]
            if theirs is not streams:
                streams = streams | theirs if streams else theirs
            is_fixed = is_fixed and self.is_fixed[argument]
        return self._put(node, node, streams, is_fixed=is_fixed)

    def _put(self, node: GraphNode, key: Hashable, streams: frozenset[str], *, is_fixed: bool) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = len(self.nodes)
            if number >= NODES_MAX:
                raise TooLargeError
            self._numbers[key] = number
            self.nodes.append(node)
            self.streams.append(streams)
            self.is_fixed.append(is_fixed)
        return number

    def evaluate(
        self,
        wanted: Sequence[int],
        *,
        leaves: Sequence[float] | None,
        facts: Mapping[str, Any],
        scores: Mapping[int, Any] | None = None,
    ) -> list[Any]:
        """Compute nodes one by one: slow, and the reference for the compiled function.

        `leaves` None means that only what is fixed for a market is wanted: what depends on a leaf is unknown, whatever
        ``default`` or ``known`` would make of it. `scores` maps a rule's number to a function of its factors' values.
        """
        values: dict[int, Any] = {}
        for number in self.needed(tuple(wanted)):
            node = self.nodes[number]
            values[number] = self._value(node, number, values, leaves=leaves, facts=facts, scores=scores or {})
        return [values[number] for number in wanted]

    def _value(
        self,
        node: GraphNode,
        number: int,
        values: Mapping[int, Any],
        *,
        leaves: Sequence[float] | None,
        facts: Mapping[str, Any],
        scores: Mapping[int, Any],
    ) -> Any:  # noqa: ANN401 - a number, a truth value, a text or a list
        match node.operation:
            case "const" | "fact":
                return node.value if node.operation == "const" else facts[node.value]
            case "leaf" | "score" | "python" if leaves is None:
                return math.nan
            case "leaf":
                assert leaves is not None
                return leaves[node.value]
            case "score" | "python":
                function = scores[node.value] if node.operation == "score" else self.calls[node.value].of
                return function([values[argument] for argument in node.arguments])
            case _:
                if (
                    leaves is None
                    and not self.is_fixed[number]
                    and node.operation in ("default", "default_truth", "known", "known_truth")
                ):
                    return None if node.operation in BOOLEAN else math.nan
                return OPERATIONS[node.operation](*(values[argument] for argument in node.arguments))

    def needed(self, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """Return `wanted` and all they rest on, arguments first."""
        order = self._orders.get(wanted)
        if order is None:
            seen: set[int] = set()
            stack = list(wanted)
            while stack:
                number = stack.pop()
                if number not in seen:
                    seen.add(number)
                    stack.extend(self.nodes[number].arguments)
            order = tuple(sorted(seen))
            if len(self._orders) >= ORDERS_MAX:
                self._orders.clear()
            self._orders[wanted] = order
        return order
