"""Between which bounds a number lies where it is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.dsl.graph import Graph

__all__ = ["UNIT", "Range", "Ranges"]

Range = tuple[float, float]
UNIT: Final[Range] = (0.0, 1.0)
_ANY: Final[Range] = (-math.inf, math.inf)


class Ranges:
    """Bounds of the numbers of a graph. `constant` returns, in a tuple, the value of a node that never changes."""

    def __init__(self, graph: Graph, constant: Callable[[int], tuple[Any] | None]) -> None:
        self._graph = graph
        self._constant = constant
        self._ranges: dict[int, Range] = {}

    def within(self, node: int, bounds: Range) -> bool:
        """Whether a number, where it is known, lies within bounds."""
        low, high = self.of(node)
        return bounds[0] <= low and high <= bounds[1]

    def is_finite(self, node: int) -> bool:
        """Whether a number, where it is known, and its products and sums with another such are no overflow."""
        return self.within(node, (-1e100, 1e100))

    def of(self, node: int) -> Range:
        """Return the bounds of a number; they hold in floating point, where every step rounds the same way up or down."""
        if node not in self._ranges:
            constant = self._constant(node)
            if constant is None:
                self._ranges[node] = self._found(node)
            else:
                value = float(constant[0])
                self._ranges[node] = _ANY if math.isnan(value) else (value, value)
        return self._ranges[node]

    def _found(self, node: int) -> Range:
        found = self._graph.nodes[node]
        if found.operation in ("ramp", "score", "number", "python"):
            return UNIT
        if found.operation not in ("min", "max", "clamp", "default", "at_least", "add", "multiply"):
            return _ANY
        (low, high), (other_low, other_high), *more = map(self.of, found.arguments)
        match found.operation:
            case "min":
                return min(low, other_low), min(high, other_high)
            case "max":
                return max(low, other_low), max(high, other_high)
            case "clamp":
                fixed = other_low == other_high and more[0][0] == more[0][1] and other_low <= more[0][0]
                return (other_low, more[0][0]) if fixed else _ANY
            case "default":
                return min(low, other_low), max(high, other_high)
            case "add" if math.isfinite(low) and math.isfinite(high) and math.isfinite(other_low) and math.isfinite(other_high):
                return low + other_low, high + other_high
            case "multiply" if low >= 0.0 and other_low >= 0.0 and math.isfinite(high) and math.isfinite(other_high):
                return low * other_low, high * other_high
            case "at_least":
                return low, high
        return _ANY
