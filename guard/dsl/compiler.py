"""The graph of a market's rules as one generated Python function: the only module that compiles code.

The text of a rule never gets here. What is compiled is made of the templates below, numbered locals and numbers; names of
exceptions and calls of plain detectors are handed over as values.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.detection.risk import added, with_best
from guard.dsl.graph import BOOLEAN
from guard.dsl.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl.graph import Graph, GraphNode
    from guard.dsl.rule import Outcome, Plan, Rule
    from guard.features.kernel.rows import MakeScreen

__all__ = ["Bound", "compile_condition", "compile_function", "compile_screen"]


class Bound(NamedTuple):
    """What a function depends on: the rules, what is fixed for the market, and which factors of each rule are absent."""

    rules: tuple[int, ...]
    fixed: tuple[tuple[int, float | bool | None], ...]
    absent: tuple[tuple[bool, ...], ...]


class _Local(NamedTuple):
    """The name of a local that holds a value of the row."""

    name: str


Operand = _Local | float | bool | None

_TEMPLATES = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1} if {1} else nan",
    "negative": "-{0}",
    "abs": "{0} if {0} > 0.0 else 0.0 - {0}",
    "log": "log({0}) if {0} > 0.0 else nan",
    "sqrt": "sqrt({0}) if {0} >= 0.0 else nan",
    "min": "{0} if {0} <= {1} else {1} if {1} < {0} else nan",
    "max": "{0} if {0} >= {1} else {1} if {1} > {0} else nan",
    "clamp": "clamp({0}, {1}, {2})",
    "clamp_fixed": "{1} if {0} < {1} else {2} if {0} > {2} else {0}",
    "ramp": "ramp({0}, {1}, {2})",
    "ramp_fixed": "0.0 if (t := ({0} - {1}) / {2}) < 0.0 else 1.0 if t > 1.0 else t",
    "default": "{0} if {0} == {0} else {1}",
    "default_truth": "{1} if {0} is None else {0}",
    "known": "{0} == {0}",
    "known_truth": "{0} is not None",
    "less": "True if {0} < {1} else False if {0} >= {1} else None",
    "less_equal": "True if {0} <= {1} else False if {0} > {1} else None",
    "equal": "{0} == {1} if {0} == {0} and {1} == {1} else None",
    "and": "{1} if {0} else False if {0} is False or {1} is False else None",
    "or": "True if {0} else {1} if {0} is False else True if {1} else None",
    "not": "None if {0} is None else not {0}",
    "truth": "None if {0} != {0} else {0} != 0.0",
    "number": "nan if {0} is None else 1.0 if {0} else 0.0",
    "at_least": "{0} if {1} >= {2} else nan",
    "truth_at_least": "{0} if {1} >= {2} else None",
}
_GLOBALS = {
    "nan": math.nan,
    "inf": math.inf,
    "log": math.log,
    "sqrt": math.sqrt,
    "ramp": OPERATIONS["ramp"],
    "clamp": OPERATIONS["clamp"],
    "with_best": with_best,
    "new": tuple.__new__,
}
assert set(_TEMPLATES) >= BOOLEAN - {"same", "in"}


def compile_function(
    graph: Graph, bound: Bound, plans: Sequence[Plan], rules: Sequence[Rule], outcome: type[Outcome]
) -> Callable[[Sequence[float]], tuple[Outcome, ...]]:
    """Return the function that turns a row of leaves into one outcome for each rule of `bound`."""
    writer = _Writer(graph, bound, rules)
    outcomes = [writer.outcome(number, plans[number], absent) for number, absent in zip(bound.rules, bound.absent, strict=True)]
    names = {**_GLOBALS, **writer.given, "Outcome": outcome}
    body = "\n    ".join([*writer.lines, f"return ({''.join(f'{text}, ' for text in outcomes)})"])
    exec(compile(f"def evaluate(row):\n    {body}\n", "<rules>", "exec"), names)  # noqa: S102 - made of the templates above
    function: Callable[[Sequence[float]], tuple[Outcome, ...]] = names["evaluate"]
    return function


def compile_condition(graph: Graph, node: int) -> Callable[[Sequence[float]], bool | None]:
    """Return the function that turns a row of leaves into one condition's value; nothing is known of the market."""
    writer = _Writer(graph, Bound((), (), ()), ())
    value = _written(writer.operand(node))
    names: dict[str, Any] = dict(_GLOBALS)
    body = "\n    ".join([*writer.lines, f"return {value}"])
    exec(compile(f"def condition(row):\n    {body}\n", "<condition>", "exec"), names)  # noqa: S102 - made of the templates above
    function: Callable[[Sequence[float]], bool | None] = names["condition"]
    return function


def compile_screen(text: str) -> MakeScreen:
    """Return the function of a text that `guard.dsl.screening` wrote."""
    names: dict[str, Any] = dict(_GLOBALS)
    exec(compile(text, "<screen>", "exec"), names)  # noqa: S102 - made of the templates of screening
    make: MakeScreen = names["make"]
    return make


class _Writer:
    """Writes one line for each node that is needed; what is fixed for the market disappears."""

    def __init__(self, graph: Graph, bound: Bound, rules: Sequence[Rule]) -> None:
        self.lines: list[str] = []
        self.given: dict[str, Any] = {}
        self._graph = graph
        self._rules = rules
        self._absent = dict(zip(bound.rules, bound.absent, strict=True))
        self._operands: dict[int, Operand] = dict(bound.fixed)

    def outcome(self, number: int, plan: Plan, absent: Sequence[bool]) -> str:
        """Return the expression that builds the outcome of one rule."""
        unless = "None"
        for name, node in reversed(plan.unless):
            unless = f"{self._text(name)} if {_written(self.operand(node))} else {unless}"
        factors = ["None" if is_absent else self._or_none(node) for node, is_absent in zip(plan.factors, absent, strict=True)]
        detectors = [self._or_none(node) for node in plan.detectors]
        fires, clears, releases = (_written(self.operand(node)) for node in (plan.fires, plan.clears, plan.releases))
        return (
            f"new(Outcome, ({number}, {fires}, {unless}, {self._or_none(plan.score)}, {_tuple(factors)}, "
            f"{clears}, {releases}, {_tuple(detectors)}))"
        )

    def _text(self, text: str) -> str:
        name = f"text{len(self.given)}"
        self.given[name] = text
        return name

    def _or_none(self, node: int) -> str:
        operand = self.operand(node)
        if isinstance(operand, _Local):
            return f"{operand.name} if {operand.name} == {operand.name} else None"
        return "None" if operand is None or math.isnan(operand) else _written(operand)

    def operand(self, number: int) -> Operand:
        """Return the local or constant that holds a node's value, after writing what it rests on."""
        stack = [number]
        while stack:
            at = stack[-1]
            if at in self._operands:
                stack.pop()
                continue
            waiting = [argument for argument in self._arguments(at) if argument not in self._operands]
            if waiting:
                stack.extend(waiting)
            else:
                self._operands[at] = self._value(self._graph.nodes[at])
                stack.pop()
        return self._operands[number]

    def _arguments(self, number: int) -> Sequence[int]:
        node = self._graph.nodes[number]
        if node.operation != "score":
            return node.arguments
        return [argument for argument, is_absent in zip(node.arguments, self._absent[node.value], strict=True) if not is_absent]

    def _value(self, node: GraphNode) -> Operand:
        match node.operation:
            case "const":
                return node.value if isinstance(node.value, float | bool) else None
            case "fact":
                return None
            case "leaf":
                return self._let(f"row[{node.value}]")
            case "score":
                return self._score(node)
            case "python":
                name = f"call{node.value}"
                self.given[name] = self._graph.calls[node.value]
                return self._let(f"{name}({', '.join(_written(self._operands[argument]) for argument in node.arguments)})")
            case _:
                return self._applied(node.operation, [self._operands[argument] for argument in node.arguments])

    def _applied(self, operation: str, operands: list[Operand]) -> Operand:
        if not any(isinstance(operand, _Local) for operand in operands):
            found: Operand = OPERATIONS[operation](*operands)
            return found
        if operation in ("and", "or"):
            short = _short_circuit(operands, deciding=operation == "or")
            if short is not None:
                return short[0]
        elif operation in ("ramp", "clamp") and not any(isinstance(operand, _Local) for operand in operands[1:]):
            return self._bounded(operation, *operands)
        return self._let(_TEMPLATES[operation].format(*map(_written, operands)))

    def _bounded(self, operation: str, of: Operand, low: Any, high: Any) -> Operand:  # noqa: ANN401 - constants of the rule
        if math.isnan(low) or math.isnan(high) or (operation == "ramp" and low == high):
            return math.nan
        bounds = (low, high - low) if operation == "ramp" else (low, high)
        return self._let(_TEMPLATES[f"{operation}_fixed"].format(_written(of), *map(_written, bounds)))

    def _score(self, node: GraphNode) -> Operand:
        factors = zip(self._rules[node.value].factors, node.arguments, self._absent[node.value], strict=True)
        present = [(factor, _written(self._operands[argument])) for factor, argument, is_absent in factors if not is_absent]
        required = [(factor.weight, value) for factor, value in present if not factor.is_optional]
        optional = [(factor.weight, value) for factor, value in present if factor.is_optional]
        if not required:
            return math.nan
        total = self._let(" + ".join(f"{weight!r} * {value}" for weight, value in required)).name
        weight = added(weight for weight, _ in required)
        if len(optional) > 1:
            parts = _tuple([f"({heavy!r}, {value})" for heavy, value in optional])
            return self._let(f"with_best({total}, {weight!r}, {parts})")
        mean = self._let(f"{total} / {weight!r}").name
        for heavy, value in optional:
            higher = self._let(f"({total} + {heavy!r} * {value}) / {weight + heavy!r}").name
            mean = self._let(f"{higher} if {higher} > {mean} else {mean}").name
        return self._let(f"1.0 if {mean} > 1.0 else {mean}")

    def _let(self, text: str) -> _Local:
        name = f"n{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return _Local(name)


def _short_circuit(operands: list[Operand], *, deciding: bool) -> tuple[Operand] | None:
    """Return, in a tuple, what ``and`` or ``or`` is where one operand is fixed; None where each row must tell."""
    for one, other in (operands, operands[::-1]):
        if one is deciding:
            return (one,)
        if one is (not deciding):
            return (other,)
    return None


def _written(operand: Operand) -> str:
    """Return an operand as code: a local's name or a literal; negative numbers in brackets, for ``- -1.0``."""
    if isinstance(operand, _Local):
        return operand.name
    return f"({operand!r})" if isinstance(operand, float) else repr(operand)


def _tuple(parts: Sequence[str]) -> str:
    return f"({', '.join(parts)},)" if parts else "()"
