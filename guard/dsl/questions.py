"""Conditions as questions with yes or no for an answer, put so that few leaves answer most of them.

A condition is True, False or unknown. `Questions.true` asks whether it is True, `Questions.false` whether it is False; unknown is
neither. What decides early is made of what the operations mean: ``max(a, b) <= 1`` is ``a <= 1 and b <= 1``, ``default(a, 0) > 1``
needs no more of ``a`` than one operand of its ``min`` that is not above 1. Each question means the same as the whole formula.
"""

from __future__ import annotations

import math
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from guard.dsl.graph import BOOLEAN
from guard.dsl.operations import OPERATIONS
from guard.dsl.question import ASK, NO, YES, All, Always, Ask, Constant, Some, Test, TooIntricateError, both, either, opposite
from guard.dsl.ranges import UNIT, Ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.dsl.graph import Graph
    from guard.dsl.question import Operand, Question

__all__ = ["Questions"]

DEPTH_MAX: Final = 80
NESTED_MAX: Final = 150
# How much dearer it is to read some leaves than a last price.
_WEIGHTS: Final = {"depth": 6.0, "high": 4.0, "low": 4.0}
_ASK_WEIGHT: Final = 1e6


class Questions:
    """The questions of one market's rules.

    Parameters
    ----------
    graph
        The checked expressions.
    fixed
        Node -> truth value of what is fixed for the market.
    absent
        Rule -> which of its factors are absent.
    factors
        Rule -> the weight of each factor, and whether it is optional.
    """

    def __init__(
        self,
        graph: Graph,
        fixed: Mapping[int, float | bool | None],
        absent: Mapping[int, Sequence[bool]],
        factors: Mapping[int, Sequence[tuple[float, bool]]],
    ) -> None:
        self._graph = graph
        self._constants: dict[int, tuple[Any] | None] = {node: (value,) for node, value in fixed.items()}
        self._absent = absent
        self._factors = factors
        self._leaves: dict[int, frozenset[int]] = {}
        self._asks: dict[int, bool] = {}
        self._answers: dict[tuple[int, bool], Question] = {}
        self._known: dict[int, Question] = {}
        self._depth = 0
        self._ranges = Ranges(graph, self.constant)

    def present(self, node: int) -> tuple[int, ...]:
        """Return the arguments of a node; of a score those that are not absent."""
        found = self._graph.nodes[node]
        if found.operation != "score":
            return found.arguments
        return tuple(each for each, gone in zip(found.arguments, self._absent[found.value], strict=True) if not gone)

    def weighed(self, node: int) -> list[tuple[float, int, bool]]:
        """Return the factors of a score that are not absent: weight, node, whether it is optional."""
        _, nodes, rule = self._graph.nodes[node]
        kept = zip(self._factors[rule], nodes, self._absent[rule], strict=True)
        return [(weight, each, is_optional) for (weight, is_optional), each, gone in kept if not gone]

    def constant(self, node: int) -> tuple[Any] | None:
        """Return, in a tuple, the value of a node that is the same for every row; None where it is not."""
        if node not in self._constants:
            self._constants[node] = self._found_constant(node)
        return self._constants[node]

    def _found_constant(self, node: int) -> tuple[Any] | None:
        found = self._graph.nodes[node]
        if found.operation == "const":
            return (found.value,)
        if found.operation == "fact":
            return (None,)
        if found.operation in ("leaf", "python"):
            return None
        if found.operation == "score":
            return None if any(not is_optional for _, _, is_optional in self.weighed(node)) else (math.nan,)
        values = [self.constant(each) for each in found.arguments]
        kept_values = [each[0] for each in values if each is not None]
        return None if len(kept_values) < len(values) else (OPERATIONS[found.operation](*kept_values),)

    def operand(self, node: int) -> Operand:
        """Return a number's node, or its value where it is constant."""
        constant = self.constant(node)
        return node if constant is None else Constant(float(constant[0]))

    def leaves(self, node: int) -> frozenset[int]:
        """Return the leaves that a node rests on."""
        if node not in self._leaves:
            found = self._graph.nodes[node]
            if self.constant(node) is not None:
                leaves: frozenset[int] = frozenset()
            elif found.operation == "leaf":
                leaves = frozenset((found.value,))
            else:
                leaves = frozenset().union(*map(self.leaves, self.present(node)))
            self._leaves[node] = leaves
        return self._leaves[node]

    def asks(self, node: int) -> bool:
        """Whether only the compiled function can compute a node."""
        if node not in self._asks:
            operation = self._graph.nodes[node].operation
            self._asks[node] = self.constant(node) is None and (
                operation in ("python", "same", "in") or any(map(self.asks, self.present(node)))
            )
        return self._asks[node]

    def cost(self, question: Question, read: frozenset[int]) -> float:
        """Return what it costs to hear yes where the leaves `read` are known already; 1 is a last price."""
        return self._cost(question, read)[0]

    def _cost(self, question: Question, read: frozenset[int]) -> tuple[float, frozenset[int]]:
        """Return the cost and what is read then."""
        match question:
            case Test():
                more = question.leaves - read
                return sum(map(self._weight, more)) + 0.01 * len(question.leaves), read | more
            case All(parts):
                total = 0.0
                for part in parts:
                    cost, read = self._cost(part, read)
                    total += cost
                return total, read
            case Some(parts):
                return min((self._cost(part, read) for part in parts), key=itemgetter(0))
            case Ask():
                return _ASK_WEIGHT, read
        return 0.0, read

    def _weight(self, leaf: int) -> float:
        return _WEIGHTS.get(self._graph.leaves[leaf].field, 1.0)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TooIntricateError

    def prepare(self, nodes: Sequence[int]) -> None:
        """Look at what some nodes rest on, arguments first; raises TooIntricateError."""
        self._depth = 0
        depths: dict[int, int] = {}
        for node in self._graph.needed(tuple(nodes)):
            depths[node] = 1 + max((depths[each] for each in self._graph.nodes[node].arguments), default=0)
            if depths[node] > NESTED_MAX:
                raise TooIntricateError
            if self.constant(node) is None:
                self.leaves(node)
                self.asks(node)

    def true(self, node: int) -> Question:
        """Ask whether a condition is True."""
        return self._answer(node, wanted=True)

    def false(self, node: int) -> Question:
        """Ask whether a condition is False."""
        return self._answer(node, wanted=False)

    def _answer(self, node: int, *, wanted: bool) -> Question:
        key = (node, wanted)
        if key not in self._answers:
            constant = self.constant(node)
            self._deeper()
            self._answers[key] = self._condition(node, wanted=wanted) if constant is None else _always(constant[0] is wanted)
            self._depth -= 1
        return self._answers[key]

    def _condition(self, node: int, *, wanted: bool) -> Question:
        found = self._graph.nodes[node]
        first, *others = found.arguments
        match found.operation:
            case "and" | "or":
                join = both if (found.operation == "and") is wanted else either
                return join(self._answer(each, wanted=wanted) for each in found.arguments)
            case "not":
                return self._answer(first, wanted=not wanted)
            case "less":
                return self._less(first, others[0], strict=True) if wanted else self._less(others[0], first, strict=False)
            case "less_equal":
                return self._less(first, others[0], strict=False) if wanted else self._less(others[0], first, strict=True)
            case "equal":
                return self._test("equal" if wanted else "apart", self.operand(first), self.operand(others[0]))
            case "truth":
                return self._test("apart" if wanted else "equal", self.operand(first), Constant(0.0))
            case "known":
                return self.known(first) if wanted else opposite(self.known(first))
            case "known_truth":
                told = either((self.true(first), self.false(first)))
                return told if wanted else opposite(told)
            case "default_truth":
                open_ = both((opposite(self._answer(first, wanted=not wanted)), self._answer(others[0], wanted=wanted)))
                return either((self._answer(first, wanted=wanted), open_))
            case "truth_at_least":
                return both((self._less(others[1], others[0], strict=False), self._answer(first, wanted=wanted)))
        return ASK

    def _test(self, test: str, left: Operand, right: Operand) -> Question:
        if any(isinstance(each, int) and self.asks(each) for each in (left, right)):
            return ASK
        if isinstance(left, Constant) and isinstance(right, Constant):
            return _always(_TESTS[test](left.value, right.value))
        if any(isinstance(each, Constant) and math.isnan(each.value) for each in (left, right)):
            return NO
        return Test(test, left, right, frozenset().union(*(self.leaves(each) for each in (left, right) if isinstance(each, int))))

    def _less(self, left: int, right: int, *, strict: bool) -> Question:
        less, more = self.operand(left), self.operand(right)
        if isinstance(more, Constant) and isinstance(less, int):
            return self.below(less, more.value, strict=strict)
        if isinstance(less, Constant) and isinstance(more, int):
            return self.above(more, less.value, strict=strict)
        return self._test("less" if strict else "less_equal", less, more)

    def above(self, node: int, limit: float, *, strict: bool) -> Question:
        """Ask whether a number is known and above a constant, or not below it where it is not `strict`."""
        return self._beside(node, limit, strict=strict, up=True)

    def below(self, node: int, limit: float, *, strict: bool) -> Question:
        """Ask whether a number is known and below a constant, or not above it where it is not `strict`."""
        return self._beside(node, limit, strict=strict, up=False)

    def _beside(self, node: int, limit: float, *, strict: bool, up: bool) -> Question:
        if math.isnan(limit):
            return NO
        constant = self.constant(node)
        test = "less" if strict else "less_equal"
        if constant is not None:
            pair = (limit, float(constant[0])) if up else (float(constant[0]), limit)
            return _always(_TESTS[test](*pair))
        whole = self._test(test, Constant(limit), node) if up else self._test(test, node, Constant(limit))
        self._deeper()
        parts = self._parts(node, limit, whole, strict=strict, up=up)
        self._depth -= 1
        return whole if parts is None else self._cheaper(parts, whole)

    def _cheaper(self, parts: Question, whole: Question) -> Question:
        """Return the parts only where they need less than the whole for one of the two answers."""
        nothing: frozenset[int] = frozenset()
        if self.cost(parts, nothing) < self.cost(whole, nothing):
            return parts
        return parts if self.cost(opposite(parts), nothing) < self.cost(whole, nothing) else whole

    def _parts(self, node: int, limit: float, whole: Question, *, strict: bool, up: bool) -> Question | None:
        found = self._graph.nodes[node]
        first, *others = found.arguments or (node,)

        def beside(each: int) -> Question:
            return self._beside(each, limit, strict=strict, up=up)

        match found.operation:
            case "min" | "max":
                if (found.operation == "min") is up:
                    return both((beside(first), beside(others[0])))
                return either(both((beside(one), self.known(other))) for one, other in ((first, others[0]), (others[0], first)))
            case "clamp":
                return self._clamped(node, limit, strict=strict, up=up)
            case "default":
                unknown_too = opposite(self._beside(first, limit, strict=not strict, up=not up))
                instead = self.constant(others[0])
                if instead is None:
                    return either((beside(first), both((opposite(self.known(first)), beside(others[0])))))
                return unknown_too if beside(others[0]) == YES else beside(first)
            case "negative":
                return self._beside(first, -limit, strict=strict, up=not up)
            case "at_least":
                return both((self._less(others[1], others[0], strict=False), beside(first)))
            case "number":
                told = ((1.0, self.true(first)), (0.0, self.false(first)))
                test = _TESTS["less" if strict else "less_equal"]
                return either(question for value, question in told if (test(limit, value) if up else test(value, limit)))
            case "multiply" if limit >= 0.0 and all(self._ranges.within(each, UNIT) for each in found.arguments):
                if up:
                    return both((beside(first), beside(others[0]), whole))
                pairs = ((first, others[0]), (others[0], first))
                return either((*(both((beside(one), self.known(other))) for one, other in pairs), whole))
        return None

    def _clamped(self, node: int, limit: float, *, strict: bool, up: bool) -> Question | None:
        first, low, high = self._graph.nodes[node].arguments
        least, most = self.operand(low), self.operand(high)
        if not isinstance(least, Constant) or not isinstance(most, Constant) or not least.value <= most.value:
            return None
        test = _TESTS["less" if strict else "less_equal"]
        at_least, at_most = ((test(limit, each) if up else test(each, limit)) for each in (least.value, most.value))
        if at_least and at_most:
            return self.known(first)
        return self._beside(first, limit, strict=strict, up=up) if at_least or at_most else NO

    def known(self, node: int) -> Question:
        """Ask whether a number is known."""
        if node not in self._known:
            constant = self.constant(node)
            self._deeper()
            if constant is not None:
                self._known[node] = _always(not math.isnan(constant[0]))
            else:
                whole = self._test("known", node, Constant(0.0))
                parts = self._known_parts(node)
                self._known[node] = whole if parts is None else self._cheaper(parts, whole)
            self._depth -= 1
        return self._known[node]

    def _known_parts(self, node: int) -> Question | None:
        found = self._graph.nodes[node]
        first, *others = found.arguments or (node,)
        match found.operation:
            case "min" | "max":
                return both(map(self.known, found.arguments))
            case "add" | "subtract" | "multiply" if all(map(self._ranges.is_finite, found.arguments)):
                return both(map(self.known, found.arguments))
            case "clamp" | "ramp" if self._are_finite(others):
                return self.known(first)
            case "abs" | "negative":
                return self.known(first)
            case "default":
                return either(map(self.known, found.arguments))
            case "number":
                return either((self.true(first), self.false(first)))
            case "at_least":
                return both((self._less(others[1], others[0], strict=False), self.known(first)))
        return None

    def _are_finite(self, bounds: Sequence[int]) -> bool:
        """Whether two bounds are constant and some finite way apart."""
        low, high = map(self.operand, bounds)
        if not isinstance(low, Constant) or not isinstance(high, Constant):
            return False
        return math.isfinite(low.value) and math.isfinite(high.value - low.value) and low.value != high.value


def _always(answer: bool) -> Always:  # noqa: FBT001 - the answer is the value itself
    return YES if answer else NO


_TESTS: Final[dict[str, Any]] = {
    "less": lambda left, right: left < right,
    "less_equal": lambda left, right: left <= right,
    "equal": lambda left, right: left == right,
    "apart": lambda left, right: left < right or left > right,
    "known": lambda left, _: left == left,
}
assert not {"less", "less_equal", "equal"} - BOOLEAN
