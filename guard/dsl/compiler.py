"""The graph of a market's rules as one generated Python function: the only module that compiles code.

The text of a rule never gets here. What is compiled is made of numbered locals, numbers and the templates below.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.detection.risk import with_best
from guard.dsl.graph import BOOLEAN
from guard.dsl.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl.graph import Graph, GraphNode
    from guard.dsl.program import Outcome, Plan, Rule

__all__ = ["Bound", "compile_function"]


class Bound(NamedTuple):
    """What a function depends on: the rules, what is fixed for the market, and which factors of each rule are absent."""

    rules: tuple[int, ...]
    fixed: tuple[tuple[int, bool | None], ...]
    absent: tuple[tuple[bool, ...], ...]


_TEMPLATES = {
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a * b",
    "divide": "a / b if b else nan",
    "negative": "-a",
    "abs": "a if a > 0.0 else 0.0 - a",
    "log": "log(a) if a > 0.0 else nan",
    "sqrt": "sqrt(a) if a >= 0.0 else nan",
    "min": "a if a <= b else b if b < a else nan",
    "max": "a if a >= b else b if b > a else nan",
    "clamp": "(b if a < b else c if a > c else a) if b == b and c == c else nan",
    "clamp_fixed": "b if a < b else c if a > c else a",
    "ramp": "cut(a, b, c)",
    "ramp_fixed": "0.0 if (t := (a - b) / c) < 0.0 else 1.0 if t > 1.0 else t",
    "default": "a if a == a else b",
    "default_truth": "b if a is None else a",
    "known": "a == a",
    "known_truth": "a is not None",
    "less": "True if a < b else False if a >= b else None",
    "less_equal": "True if a <= b else False if a > b else None",
    "equal": "a == b if a == a and b == b else None",
    "and": "b if a else False if a is False or b is False else None",
    "or": "True if a else b if a is False else True if b else None",
    "not": "None if a is None else not a",
    "truth": "None if a != a else a != 0.0",
    "number": "nan if a is None else 1.0 if a else 0.0",
    "at_least": "a if b >= c else nan",
    "truth_at_least": "a if b >= c else None",
    "leaf": "row[a]",
    "best": "b if b > a else a",
    "capped": "1.0 if a > 1.0 else a",
    "or_none": "a if a == a else None",
}
_GLOBALS = {"nan": math.nan, "log": math.log, "sqrt": math.sqrt, "cut": OPERATIONS["ramp"], "with_best": with_best}
_LOAD = ast.Load()
_STORE = ast.Store()
Operand = ast.expr


def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


_TREES = {name: _parsed(text) for name, text in _TEMPLATES.items()}


def compile_function(
    graph: Graph, bound: Bound, plans: Sequence[Plan], rules: Sequence[Rule], outcome: type[Outcome]
) -> Callable[[Sequence[float]], tuple[Outcome, ...]]:
    """Return the function that turns a row of leaves into one outcome for each rule of `bound`."""
    writer = _Writer(graph, bound, rules)
    outcomes = [writer.outcome(number, plans[number], absent) for number, absent in zip(bound.rules, bound.absent, strict=True)]
    body = [*writer.statements, ast.Return(ast.Tuple(outcomes, _LOAD))]
    arguments = ast.arguments([], [ast.arg("row")], None, [], [], None, [])
    module = ast.Module([ast.FunctionDef("evaluate", arguments, body, [])], [])
    for node in ast.walk(module):
        node.lineno = node.end_lineno = 1  # type: ignore[attr-defined]
        node.col_offset = node.end_col_offset = 0  # type: ignore[attr-defined]
    return _run(module, {**_GLOBALS, **writer.texts, "new": tuple.__new__, "Outcome": outcome})


def _run(module: ast.Module, names: dict[str, Any]) -> Callable[[Sequence[float]], tuple[Outcome, ...]]:
    exec(compile(module, "<rules>", "exec"), names)  # noqa: S102 - made from the templates above, never from a rule's text
    function: Callable[[Sequence[float]], tuple[Outcome, ...]] = names["evaluate"]
    return function


class _Writer:
    """Writes one statement for each node that is needed; what is fixed for the market disappears."""

    def __init__(self, graph: Graph, bound: Bound, rules: Sequence[Rule]) -> None:
        self.statements: list[ast.stmt] = []
        self.texts: dict[str, Any] = {}
        self._graph = graph
        self._rules = rules
        self._absent = dict(zip(bound.rules, bound.absent, strict=True))
        self._operands: dict[int, Operand] = {}
        self._names = 0
        for node, value in bound.fixed:
            self._operands[node] = ast.Constant(value)

    def outcome(self, number: int, plan: Plan, absent: Sequence[bool]) -> ast.expr:
        """Return the expression that builds the outcome of one rule."""
        unless: ast.expr = ast.Constant(None)
        for name, node in reversed(plan.unless):
            unless = ast.IfExp(self.operand(node), self._text(name), unless)
        factors = [
            ast.Constant(None) if is_absent else self._or_none(node) for node, is_absent in zip(plan.factors, absent, strict=True)
        ]
        parts = [
            ast.Constant(number),
            self.operand(plan.fires),
            unless,
            self._or_none(plan.score),
            ast.Tuple(factors, _LOAD),
            self.operand(plan.clears),
            self.operand(plan.releases),
            ast.Tuple([self._or_none(node) for node in plan.detectors], _LOAD),
        ]
        return ast.Call(_name("new"), [_name("Outcome"), ast.Tuple(parts, _LOAD)], [])

    def _text(self, text: str) -> ast.expr:
        name = f"text{len(self.texts)}"
        self.texts[name] = text
        return _name(name)

    def _or_none(self, node: int) -> ast.expr:
        operand = self.operand(node)
        if isinstance(operand, ast.Constant):
            return operand
        return ast.Constant(None) if operand is _NAN else _filled("or_none", {"a": operand})

    def operand(self, number: int) -> Operand:
        """Return the local or constant that holds a node's value, after writing what it rests on."""
        if number not in self._operands:
            for needed in self._graph.needed([number]):
                if needed not in self._operands:
                    self._operands[needed] = self._written(self._graph.nodes[needed])
        return self._operands[number]

    def _written(self, node: GraphNode) -> Operand:
        match node.operation:
            case "const":
                return _constant(node.value)
            case "fact" | "same" | "in":
                return _NAN
            case "leaf":
                return self._let(_filled("leaf", {"a": ast.Constant(node.value)}))
            case "score":
                return self._score(node)
            case _:
                return self._operation(node.operation, [self._operands[argument] for argument in node.arguments])

    def _operation(self, operation: str, operands: list[Operand]) -> Operand:
        if all(isinstance(operand, ast.Constant) or operand is _NAN for operand in operands):
            return _constant(OPERATIONS[operation](*map(_value, operands)))
        short = _short_circuit(operation, operands)
        if short is not None:
            return short
        if operation in ("ramp", "clamp") and all(isinstance(operand, ast.Constant) for operand in operands[1:]):
            operation, operands = _fixed_bounds(operation, operands)
            if operation == "unknown":
                return _NAN
        return self._let(_filled(operation, dict(zip("abc", operands, strict=False))))

    def _score(self, node: GraphNode) -> Operand:
        factors = self._rules[node.value].factors
        present = [
            (factor, self._operands[argument])
            for factor, argument, is_absent in zip(factors, node.arguments, self._absent[node.value], strict=True)
            if not is_absent
        ]
        required = [(factor.weight, value) for factor, value in present if not factor.is_optional]
        optional = [(factor.weight, value) for factor, value in present if factor.is_optional]
        if not required:
            return _NAN
        total = _sum(required)
        weight = math.fsum([]) + sum(heavy for heavy, _ in required)
        if len(optional) > 1:
            parts = ast.Tuple([ast.Tuple([ast.Constant(heavy), value], _LOAD) for heavy, value in optional], _LOAD)
            return self._let(ast.Call(_name("with_best"), [total, ast.Constant(weight), parts], []))
        total = self._let(total)
        mean: ast.expr = ast.BinOp(total, ast.Div(), ast.Constant(weight))
        for heavy, value in optional:
            more = ast.BinOp(total, ast.Add(), ast.BinOp(ast.Constant(heavy), ast.Mult(), value))
            higher = self._let(ast.BinOp(more, ast.Div(), ast.Constant(weight + heavy)))
            mean = _filled("best", {"a": self._let(mean), "b": higher})
        return self._let(_filled("capped", {"a": self._let(mean)}))

    def _let(self, value: ast.expr) -> Operand:
        name = f"n{self._names}"
        self._names += 1
        self.statements.append(ast.Assign([ast.Name(name, _STORE)], value))
        return _name(name)


def _sum(parts: Sequence[tuple[float, Operand]]) -> ast.expr:
    products = [ast.BinOp(ast.Constant(weight), ast.Mult(), value) for weight, value in parts]
    total: ast.expr = products[0]
    for product in products[1:]:
        total = ast.BinOp(total, ast.Add(), product)
    return total


def _fixed_bounds(operation: str, operands: list[Operand]) -> tuple[str, list[Operand]]:
    low, high = _value(operands[1]), _value(operands[2])
    if operation == "clamp":
        return "clamp_fixed", operands
    width = high - low
    return ("ramp_fixed", [operands[0], operands[1], _constant(width)]) if width else ("unknown", operands)


def _short_circuit(operation: str, operands: list[Operand]) -> Operand | None:
    """Return what an operation is where one operand is fixed: nothing of it needs to be computed in each row."""
    if operation not in ("and", "or"):
        return None
    deciding = operation == "or"
    for one, other in (operands, operands[::-1]):
        if isinstance(one, ast.Constant):
            if one.value is deciding:
                return one
            if one.value is (not deciding):
                return other
    return None


def _name(name: str) -> ast.Name:
    return ast.Name(name, _LOAD)


_NAN = _name("nan")


def _constant(value: Any) -> Operand:  # noqa: ANN401 - a number or a truth value
    if isinstance(value, float) and not math.isfinite(value):
        return _NAN if math.isnan(value) else ast.Constant(value)
    return ast.Constant(value)


def _value(operand: Operand) -> Any:  # noqa: ANN401 - likewise
    return operand.value if isinstance(operand, ast.Constant) else math.nan


def _filled(template: str, operands: dict[str, Operand]) -> ast.expr:
    """Return a template with its letters replaced."""
    return _substituted(_TREES[template], operands)


def _substituted(tree: Any, operands: dict[str, Operand]) -> Any:  # noqa: ANN401 - any node of the ast
    if isinstance(tree, ast.Name):
        return operands.get(tree.id, tree)
    if isinstance(tree, list):
        return [_substituted(item, operands) for item in tree]
    if not isinstance(tree, ast.expr) or isinstance(tree, ast.Constant):
        return tree
    return type(tree)(**{name: _substituted(value, operands) for name, value in ast.iter_fields(tree)})


assert set(_TEMPLATES) >= BOOLEAN - {"same", "in"}
