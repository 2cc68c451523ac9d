"""Calls: functions of the language, features of the catalogue and fields of the kernel, with their arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guard.dsl.parser import parse
from guard.dsl.problems import did_you_mean
from guard.dsl.syntax import Call, Expression, Number
from guard.dsl.terms import POISON, Names, Scope, Term, fixed, joined_unit, kind_of
from guard.dsl.tokens import ExpressionError, quantity, written_quantity
from guard.features.tables import Argument, Feature, Field, Type, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl.checker import Checker
    from guard.dsl.graph import Graph
    from guard.dsl.tables import Tables

__all__ = ["FUNCTIONS", "Calls", "Function"]

_DURATION_MAX_US = 400 * 86_400_000_000
_UNIT_OF = {Type.DURATION: Unit.DURATION, Type.RATIO: Unit.RATIO}
_EXAMPLE = {
    Type.DURATION: "60s",
    Type.RATIO: "1%",
    Type.NUMBER: "5",
    Type.BOOL: "a condition",
    Type.TEXT: "a word",
    Type.LIST: "$majors",
}


class Function(NamedTuple):
    """A function of the language: how many values it takes, how it is written, what it returns."""

    least: int
    most: int
    shape: str
    doc: str


FUNCTIONS: Final = {
    "abs": Function(1, 1, "abs(x)", "x without its sign"),
    "min": Function(2, 8, "min(x, y)", "the least of 2 to 8 numbers of one kind; unknown where one is"),
    "max": Function(2, 8, "max(x, y)", "the greatest of them; unknown where one is"),
    "log": Function(1, 1, "log(x)", "the natural logarithm; unknown for x <= 0"),
    "sqrt": Function(1, 1, "sqrt(x)", "the square root; unknown for x < 0"),
    "ramp": Function(
        3, 3, "ramp(x, low, high)", "0 at `low` and before, 1 at `high` and beyond, a line between; `low` may be the greater"
    ),
    "clamp": Function(3, 3, "clamp(x, low, high)", "x, but at least `low` and at most `high`"),
    "default": Function(2, 2, "default(x, instead)", "x, or `instead` where x is unknown; both numbers or both conditions"),
    "known": Function(1, 1, "known(x)", "whether a number or condition is known"),
    "number": Function(1, 1, "number(condition)", "1 where the condition holds, 0 where it does not"),
}


class Calls:
    """Checks calls and expands features into their formulas; equal calls are expanded once."""

    def __init__(self, graph: Graph, tables: Tables, checker: Checker) -> None:
        self._graph = graph
        self._tables = tables
        self._checker = checker
        self._expanded: dict[tuple[object, ...], Term | None] = {}
        self._open: list[str] = []

    def functions(self) -> set[str]:
        """Return the names of the functions."""
        return set(FUNCTIONS)

    def check(self, call: Call, scope: Scope) -> Term:
        """Return the checked call."""
        function = FUNCTIONS.get(call.name)
        if function is not None:
            return self._function(call, function, scope)
        feature, field = self._tables.features.get(call.name), self._tables.fields.get(call.name)
        if call.name in self._open and field is not None:
            feature = None
        declared = feature or field
        if declared is None:
            known = self._tables.names() | set(FUNCTIONS)
            scope.fail("E042", call.start, f"unknown name {call.name!r}", did_you_mean(call.name, known))
            return POISON
        terms = self._arguments(call, declared, scope)
        if terms is None:
            return POISON
        term = self._feature(feature, terms, call, scope) if feature is not None else self._field(declared, terms, call, scope)
        if term.is_poison:
            return POISON
        text = scope.text[call.start : call.end] if call.end <= len(scope.text) else call.name
        windows = [self._graph.nodes[one.node].value for one in terms if one.unit is Unit.DURATION and self._op(one) == "const"]
        self._checker.advice.note(term.node, call.name, max(windows, default=0.0))
        return Term(text, term.node, term.type, term.unit, tuple(child for child in terms if self._op(child) != "const"))

    def _op(self, term: Term) -> str:
        return self._graph.nodes[term.node].operation

    def _function(self, call: Call, function: Function, scope: Scope) -> Term:
        if call.options:
            name, start, _ = call.options[0]
            scope.fail("E043", start, f"{call.name}() takes no argument by name, found {name}=", f"write {function.shape}")
            return POISON
        if not function.least <= len(call.arguments) <= function.most:
            scope.fail(
                "E043",
                call.start,
                f"{call.name}() wants {function.least} values, found {len(call.arguments)}",
                f"write {function.shape}",
            )
            return POISON
        terms = self._function_terms(call, scope)
        if any(term.is_poison for term in terms):
            return POISON
        text = scope.text[call.start : call.end]
        return self._applied(call, terms, scope, text)

    def _function_terms(self, call: Call, scope: Scope) -> list[Term]:
        if call.name == "number":
            return [self._checker.condition(call.arguments[0], scope)]
        if call.name not in ("known", "default"):
            return [self._checker.number(argument, scope) for argument in call.arguments]
        terms = [self._checker.check(argument, scope) for argument in call.arguments]
        for term, written in zip(terms, call.arguments, strict=True):
            if not term.is_poison and (
                term.type in (Type.TEXT, Type.LIST) or term.type is not (terms[0].type if not terms[0].is_poison else term.type)
            ):
                scope.fail("E044", written.start, f"{call.name}() cannot take {kind_of(term)} here: {term.text}", "")
                return [POISON]
        return terms

    def _applied(self, call: Call, terms: Sequence[Term], scope: Scope, text: str) -> Term:
        apply, nodes, is_truth = self._graph.apply, [term.node for term in terms], terms[0].type is Type.BOOL
        children = tuple(terms)
        match call.name:
            case "known":
                return Term(text, apply("known_truth" if is_truth else "known", *nodes), Type.BOOL, Unit.NONE, children)
            case "default" if is_truth:
                return Term(text, apply("default_truth", *nodes), Type.BOOL, Unit.NONE, children)
            case "abs":
                return Term(text, apply("abs", *nodes), Type.NUMBER, terms[0].unit, children)
            case "log" | "sqrt" | "number":
                return Term(text, apply(call.name, *nodes), Type.NUMBER, Unit.NONE, children)
        unit = terms[0].unit
        for term, written in zip(terms[1:], call.arguments[1:], strict=True):
            unit = joined_unit(terms[0], term, (call.arguments[0], written), scope)
        if call.name == "ramp" and nodes[1] == nodes[2]:
            scope.fail("E043", call.start, "ramp() wants two different bounds", "ramp(x, 1%, 4%) is 0 at 1% and 1 at 4%")
            return POISON
        if call.name in ("min", "max"):
            node = nodes[0]
            for other in nodes[1:]:
                node = apply(call.name, node, other)
        else:
            node = apply(call.name, *nodes)
        if call.name == "ramp":
            self._checker.advice.of_ramp(terms[0], node, text, call.start, scope)
        return Term(text, node, Type.NUMBER, Unit.NONE if call.name == "ramp" else unit, children)

    def _arguments(self, call: Call, declared: Feature | Field, scope: Scope) -> list[Term] | None:
        given: dict[str, Expression] = {}
        arguments = declared.arguments
        if len(call.arguments) > len(arguments):
            extra = call.arguments[len(arguments)]
            scope.fail("E043", extra.start, f"{call.name}() takes {_number_of(len(arguments))}, found more", _shape(declared))
            return None
        given.update(zip((argument.name for argument in arguments), call.arguments, strict=False))
        for name, start, written in call.options:
            known = [argument.name for argument in arguments]
            if name not in known or name in given:
                message = f"{call.name}() got {name}= twice" if name in given else f"{call.name}() knows no {name}="
                hint = _shape(declared) if name in given else did_you_mean(name, known) or _shape(declared)
                scope.fail("E043", start, message, hint)
                return None
            given[name] = written
        terms = [self._argument(call, argument, given.get(argument.name), scope) for argument in arguments]
        return None if any(term.is_poison for term in terms) else terms

    def _argument(self, call: Call, argument: Argument, written: Expression | None, scope: Scope) -> Term:
        if written is None:
            if argument.default is None:
                hint = f"{call.name}() wants {argument.name}, {_a(argument.type)}: {_EXAMPLE[argument.type]}"
                scope.fail("E043", call.end - 1, f"{call.name}() lacks {argument.name}", hint)
                return POISON
            return self._constant(argument.type, argument.default)
        match argument.type:
            case Type.TEXT:
                return self._word(call, argument, written, scope)
            case Type.BOOL:
                return self._checker.condition(written, scope)
            case Type.LIST:
                return self._checker.wanted(self._checker.check(written, scope), Type.LIST, written, scope)
            case _:
                return self._quantity(call, argument, written, scope)

    def _constant(self, kind: Type, value: float | str) -> Term:
        if kind is not Type.TEXT and isinstance(value, str):
            known = quantity(value)
            assert known is not None, value
            value = known[0]
        if kind is Type.BOOL:
            return Term(str(value), self._graph.const(bool(value)), Type.BOOL)
        if isinstance(value, str):
            return Term(value, self._graph.const(value), Type.TEXT)
        unit = _UNIT_OF.get(kind, Unit.NONE)
        return Term(written_quantity(value, unit), self._graph.const(float(value)), Type.NUMBER, unit)

    def _word(self, call: Call, argument: Argument, written: Expression, scope: Scope) -> Term:
        term = self._checker.text(written, scope)
        if term.is_poison or not argument.choices:
            return term
        value = self._graph.nodes[term.node].value
        if value not in argument.choices:
            scope.fail(
                "E043",
                written.start,
                f"{call.name}({argument.name}=) cannot be {value!r}",
                did_you_mean(str(value), argument.choices),
            )
            return POISON
        return term

    def _quantity(self, call: Call, argument: Argument, written: Expression, scope: Scope) -> Term:
        term = self._checker.number(written, scope)
        if term.is_poison:
            return term
        wanted = _UNIT_OF.get(argument.type)
        is_bare = isinstance(written, Number) and term.unit is Unit.NONE and written.value != 0.0
        if wanted is not None and (is_bare or term.unit not in (wanted, Unit.NONE)):
            text = scope.text[written.start : written.end]
            suffix = "s" if wanted is Unit.DURATION else "bp"
            hint = f"did you mean {text}{suffix}?" if is_bare else f"for example {_EXAMPLE[argument.type]}"
            scope.fail(
                "E043", written.start, f"{call.name}() wants {_a(argument.type)} for {argument.name}, found {kind_of(term)}", hint
            )
            return POISON
        if self._op(term) != "const" and scope.has_strict_units:
            scope.fail(
                "E049",
                written.start,
                f"{call.name}(): {argument.name} must be fixed, found {term.text}",
                f"for example {_EXAMPLE[argument.type]}",
            )
            return POISON
        if wanted is Unit.DURATION and self._op(term) == "const" and not self._is_within(term, argument):
            least, most = (written_quantity(bound, wanted) for bound in argument.bounds or (0.0, _DURATION_MAX_US))
            found = written_quantity(self._graph.nodes[term.node].value, wanted)
            needed = f"must last {least} to {most}" if argument.bounds else f"must be longer than 0 and at most {most}"
            scope.fail("E043", written.start, f"{call.name}(): {argument.name} {needed}, found {found}", "")
            return POISON
        return Term(term.text, term.node, Type.NUMBER, wanted or term.unit, term.children)

    def _is_within(self, term: Term, argument: Argument) -> bool:
        value: float = self._graph.nodes[term.node].value
        return argument.bounds[0] <= value <= argument.bounds[1] if argument.bounds else 0 < value <= _DURATION_MAX_US

    def _field(self, field: Feature | Field, terms: Sequence[Term], call: Call, scope: Scope) -> Term:
        assert isinstance(field, Field)
        values: list[float | int | str] = []
        for argument, term in zip(field.arguments, terms, strict=True):
            node = self._graph.nodes[term.node]
            if node.operation != "const":
                scope.fail("E049", call.start, f"{call.name}({argument.name}=) must be fixed, found {term.text}", "")
                return POISON
            values.append(round(node.value) if argument.type is Type.DURATION else node.value)
        leaf = self._graph.leaf(field, tuple(values))
        if field.unit is Unit.BOOL:
            return Term(call.name, self._graph.apply("truth", leaf), Type.BOOL)
        return Term(call.name, leaf, Type.NUMBER, field.unit)

    def _feature(self, feature: Feature, terms: Sequence[Term], call: Call, scope: Scope) -> Term:
        key = (feature.name, *(term.node for term in terms))
        if key not in self._expanded:
            broken: list[str] = []
            term = self._expand(feature, terms, broken.append)
            self._expanded[key] = None if broken or term.is_poison else term
            for message in broken:
                scope.fail(
                    "E053",
                    call.start,
                    f"the feature {feature.name}() is broken: {message}",
                    "this is a mistake in guard, not in your file",
                )
        return self._expanded[key] or POISON

    def _expand(self, feature: Feature, terms: Sequence[Term], broken: Callable[[str], None]) -> Term:
        if feature.name in self._open:
            broken(f"{' -> '.join((*self._open, feature.name))} is defined by itself")
            return POISON
        self._open.append(feature.name)
        try:
            names = Names({argument.name: fixed(term) for argument, term in zip(feature.arguments, terms, strict=True)})
            scope = Scope(
                feature.formula,
                names,
                {},
                lambda _code, start, message, hint: broken(f"{feature.formula!r} at {start}: {message} {hint}".rstrip()),
                has_strict_units=False,
            )
            try:
                tree = parse(feature.formula)
            except ExpressionError as error:
                broken(f"{feature.formula!r} at {error.start}: {error.message}")
                return POISON
            is_truth = feature.unit is Unit.BOOL
            term = self._checker.condition(tree, scope) if is_truth else self._checker.number(tree, scope)
            node = self._with_count(feature, term.node, terms, broken) if not term.is_poison else -1
            return Term(feature.name, node, term.type, Unit.NONE if is_truth else feature.unit)
        finally:
            self._open.pop()

    def _with_count(self, feature: Feature, node: int, terms: Sequence[Term], broken: Callable[[str], None]) -> int:
        if feature.min_count <= 0:
            return node
        windows = [self._graph.nodes[term.node].value for term in terms if term.unit is Unit.DURATION and self._op(term) == "const"]
        trades = self._tables.fields.get("trades")
        if trades is None or not windows:
            broken("min_count needs the field trades(window) and a window among the arguments")
            return node
        count = self._graph.leaf(trades, (round(max(windows)),))
        operation = "truth_at_least" if feature.unit is Unit.BOOL else "at_least"
        return self._graph.apply(operation, node, count, self._graph.const(float(feature.min_count)))


def _number_of(arguments: int) -> str:
    return {0: "no argument", 1: "one argument"}.get(arguments, f"{arguments} arguments")


def _a(kind: Type) -> str:
    return f"a {kind}"


def _shape(declared: Feature | Field) -> str:
    words = [
        f"{argument.name}={argument.default}" if argument.default is not None else argument.name for argument in declared.arguments
    ]
    return f"write {declared.name}({', '.join(words)})"
