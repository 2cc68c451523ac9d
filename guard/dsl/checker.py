"""Names, types and units: a written expression becomes nodes of the graph, or problems with a hint."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from guard.dsl.advice import Advice
from guard.dsl.calls import Calls
from guard.dsl.memory import words_of
from guard.dsl.problems import did_you_mean
from guard.dsl.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Expression,
    ListName,
    ListOf,
    Logic,
    Membership,
    Name,
    Negative,
    Not,
    Number,
    Text,
)
from guard.dsl.terms import POISON, Cycle, Scope, Term, joined_unit, kind_of, named, product_unit, quotient_unit
from guard.features.tables import Type, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.dsl.graph import Graph
    from guard.dsl.tables import Tables

__all__ = ["Checker"]

DEPTH_MAX = 90
_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}
_PARTS = frozenset({Call, Comparison, Logic})
_SYMBOL = re.compile(r"[A-Za-z0-9_.\-]+(\s*/\s*[A-Za-z0-9_.\-]+)?\Z")


class Checker:
    """Turns written expressions into nodes of one graph.

    Parameters
    ----------
    graph
        Takes the nodes.
    tables
        The fields and features that may be named.
    """

    def __init__(self, graph: Graph, tables: Tables) -> None:
        self._graph = graph
        self._tables = tables
        self.advice = Advice(graph)
        self._calls = Calls(graph, tables, self)
        self._depth = 0
        self._parts: dict[str, Term] = {}
        self._checks: dict[type[Expression], Callable[[Any, Scope], Term]] = {
            Number: self._number,
            Text: self._text,
            Name: self._name,
            ListName: self._list,
            ListOf: self._list,
            Call: self._calls.check,
            Negative: self._negative,
            Not: self._not,
            Arithmetic: self._arithmetic,
            Comparison: self._comparison,
            Membership: self._membership,
            Logic: self._logic,
        }

    def keep(self, parts: Mapping[str, Term]) -> None:
        """Remember parts of an expression without mistakes."""
        self._parts.update(parts)

    def number(self, expression: Expression, scope: Scope) -> Term:
        """Check an expression that must be a number."""
        return self.wanted(self.check(expression, scope), Type.NUMBER, expression, scope)

    def condition(self, expression: Expression, scope: Scope) -> Term:
        """Check an expression that must be a condition."""
        return self.wanted(self.check(expression, scope), Type.BOOL, expression, scope)

    def wanted(self, term: Term, kind: Type, expression: Expression, scope: Scope) -> Term:
        """Return the term if it is of the wanted type, else report it."""
        if term.is_poison or term.type is kind:
            return term
        needed = "a condition" if kind is Type.BOOL else f"a {kind}"
        hint = "compare it, for example > 0" if kind is Type.BOOL and term.type is Type.NUMBER else ""
        if kind is Type.NUMBER and term.type is Type.BOOL:
            hint = "number(condition) is 1 where it holds and 0 where not"
        return _failed(scope, "E044", expression, f"expected {needed} here, found {kind_of(term)}: {term.text}", hint)

    def check(self, expression: Expression, scope: Scope) -> Term:
        """Return the checked term; a mistake is reported once and gives a poisoned term."""
        if self._depth >= DEPTH_MAX:
            hint = "names that stand for names that stand for names: write some of them out"
            return _failed(scope, "E041", expression, f"nested deeper than {DEPTH_MAX} levels, with what its names stand for", hint)
        kept = scope.kept if type(expression) in _PARTS else None
        if kept is not None:
            text = scope.text[expression.start : expression.end]
            known = self._parts.get(text)
            if known is not None:
                return known
        self._depth += 1
        try:
            term = self._checks[type(expression)](expression, scope)
        finally:
            self._depth -= 1
        if kept is not None and self._depth and words_of(expression) == ((), ()):
            kept[text] = term
        return term

    def _number(self, expression: Number, _scope: Scope) -> Term:
        return Term(expression.text, self._graph.const(expression.value), Type.NUMBER, expression.unit)

    def _text(self, expression: Text, _scope: Scope) -> Term:
        return Term(f"'{expression.text}'", self._graph.const(expression.text), Type.TEXT)

    def _not(self, expression: Not, scope: Scope) -> Term:
        return self._apply(expression, scope, "not", self.condition(expression.of, scope), kind=Type.BOOL)

    def text(self, expression: Expression, scope: Scope) -> Term:
        """Check an expression where a text is wanted: a bare word or ``BTC/USDT`` stands for itself."""
        if isinstance(expression, Name) and (known := self._resolve(expression, scope)) is not None:
            return self.wanted(known, Type.TEXT, expression, scope)
        if isinstance(expression, Name | Arithmetic):
            written = scope.text[expression.start : expression.end]
            if _SYMBOL.match(written):
                word = "".join(written.split())
                return Term(word, self._graph.const(word), Type.TEXT)
        return self.wanted(self.check(expression, scope), Type.TEXT, expression, scope)

    def _apply(
        self, expression: Expression, scope: Scope, operation: str, *terms: Term, kind: Type, unit: Unit = Unit.NONE
    ) -> Term:
        text = scope.text[expression.start : expression.end]
        if any(term.is_poison for term in terms):
            return POISON
        node = self._graph.apply(operation, *(term.node for term in terms))
        return Term(text, node, kind, unit, terms)

    def _resolve(self, expression: Name, scope: Scope) -> Term | None:
        try:
            return scope.names.resolve(expression.text)
        except Cycle:
            return _failed(scope, "E048", expression, f"{expression.text!r} is defined by itself")

    def _name(self, expression: Name, scope: Scope) -> Term:
        term = self._resolve(expression, scope)
        if term is not None:
            return named(term, expression.text)
        if expression.text in ("true", "false"):
            return Term(expression.text, self._graph.const(expression.text == "true"), Type.BOOL)
        if self._tables.is_callable(expression.text):
            return self._calls.check(Call(expression.start, expression.end, expression.text, (), ()), scope)
        known = scope.names.all() | self._tables.names() | self._calls.functions()
        if expression.text == "score":
            return _failed(
                scope, "E042", expression, "score is known in clear: and release: only", "compare a factor, or alias.score"
            )
        return _failed(scope, "E042", expression, f"unknown name {expression.text!r}", did_you_mean(expression.text, known))

    def _list(self, expression: ListName | ListOf, scope: Scope) -> Term:
        text = scope.text[expression.start : expression.end]
        if isinstance(expression, ListName):
            words = scope.lists.get(expression.text)
            scope.use_list(expression.text)
            if words is None:
                hint = (
                    did_you_mean(expression.text, scope.lists) or "lists: {majors: [BTC/USDT]} at the top of the file makes $majors"
                )
                return _failed(scope, "E047", expression, f"unknown list ${expression.text}", hint)
            return Term(text, self._graph.const(words), Type.LIST)
        items = [self.text(item, scope) for item in expression.items]
        if any(item.is_poison for item in items):
            return POISON
        nodes = [self._graph.nodes[item.node] for item in items]
        if any(node.operation != "const" for node in nodes):
            return _failed(scope, "E049", expression, "a list holds fixed texts only")
        return Term(text, self._graph.const(tuple(node.value for node in nodes)), Type.LIST)

    def _negative(self, expression: Negative, scope: Scope) -> Term:
        term = self.number(expression.of, scope)
        return self._apply(expression, scope, "negative", term, kind=Type.NUMBER, unit=term.unit)

    def _arithmetic(self, expression: Arithmetic, scope: Scope) -> Term:
        left, right = self.number(expression.left, scope), self.number(expression.right, scope)
        if left.is_poison or right.is_poison:
            return POISON
        match expression.operator:
            case "*":
                unit = product_unit(left.unit, right.unit)
            case "/":
                unit = quotient_unit(left.unit, right.unit)
            case _:
                unit = joined_unit(left, right, (expression.left, expression.right), scope)
        return self._apply(expression, scope, _ARITHMETIC[expression.operator], left, right, kind=Type.NUMBER, unit=unit)

    def _comparison(self, expression: Comparison, scope: Scope) -> Term:
        if len(expression.operators) == 1:
            left, right = expression.operands
            return self._compare(expression, expression.operators[0], left, right, scope)
        steps = zip(expression.operators, expression.operands, expression.operands[1:], strict=False)
        terms = [self._compare(expression, operator, left, right, scope) for operator, left, right in steps]
        if any(term.is_poison for term in terms):
            return POISON
        node = self._graph.all_of([term.node for term in terms])
        self.advice.of_parts(terms, [expression.start] * len(terms), "and", scope)
        return Term(scope.text[expression.start : expression.end], node, Type.BOOL, Unit.NONE, tuple(terms))

    def _compare(self, whole: Comparison, operator: str, left: Expression, right: Expression, scope: Scope) -> Term:
        first, second = self._sides(left, right, scope)
        if first.is_poison or second.is_poison:
            return POISON
        if first.type is not second.type:
            message = f"{kind_of(first)} is compared with {kind_of(second)}: {first.text} {operator} {second.text}"
            truth = first if first.type is Type.BOOL else second if second.type is Type.BOOL else None
            hint = f"a condition stands alone: {truth.text}, or not {truth.text}" if truth is not None else ""
            return _failed(scope, "E044", right, message, hint)
        text = f"{first.text} {operator} {second.text}" if len(whole.operators) > 1 else scope.text[whole.start : whole.end]
        node = self._compared(first, second, operator, (left, right), scope)
        return POISON if node is None else Term(text, node, Type.BOOL, Unit.NONE, (first, second))

    def _sides(self, left: Expression, right: Expression, scope: Scope) -> tuple[Term, Term]:
        if not isinstance(left, Name) and not isinstance(right, Name):
            return self.check(left, scope), self.check(right, scope)
        for one, other, is_swapped in ((left, right, False), (right, left, True)):
            if isinstance(one, Name) and (term := self._resolve(one, scope)) is not None and term.type is Type.TEXT:
                word = self.text(other, scope)
                self._check_choice(term, word, other, scope)
                return (word, term) if is_swapped else (term, word)
        return self.check(left, scope), self.check(right, scope)

    def _check_choice(self, term: Term, word: Term, expression: Expression, scope: Scope) -> None:
        if not term.choices or word.is_poison or self._graph.nodes[word.node].operation != "const":
            return
        value = self._graph.nodes[word.node].value
        if value not in term.choices:
            scope.fail("E023", expression.start, f"{term.text} is never {value!r}", did_you_mean(value, term.choices))

    def _compared(
        self, first: Term, second: Term, operator: str, written: tuple[Expression, Expression], scope: Scope
    ) -> int | None:
        apply = self._graph.apply
        if first.type is Type.NUMBER:
            told: list[tuple[str, int, str, str]] = []
            joined_unit(first, second, written, scope._replace(fail=lambda *words: told.append(words)))
            for words in told:
                scope.fail(*words)
            if not told:
                self.advice.of_comparison(first, second, operator, written[0].start, scope)
            equal = "equal"
        elif first.type is Type.TEXT:
            equal = "same"
        else:
            scope.fail("E044", written[0].start, f"{kind_of(first)} cannot be compared", "join conditions with and, or, not")
            return None
        if operator in ("==", "!="):
            node = apply(equal, first.node, second.node)
            return apply("not", node) if operator == "!=" else node
        if first.type is Type.TEXT:
            scope.fail("E044", written[0].start, "texts know == and != only", "")
            return None
        left, right = (first.node, second.node) if operator in ("<", "<=") else (second.node, first.node)
        return apply("less" if operator in ("<", ">") else "less_equal", left, right)

    def _membership(self, expression: Membership, scope: Scope) -> Term:
        left = self.text(expression.left, scope)
        right = self.wanted(self.check(expression.right, scope), Type.LIST, expression.right, scope)
        if not right.is_poison and left.choices:
            for word in self._graph.nodes[right.node].value or ():
                if word not in left.choices:
                    hint = did_you_mean(word, left.choices)
                    scope.fail("E023", expression.right.start, f"{left.text} is never {word!r}", hint)
        term = self._apply(expression, scope, "in", left, right, kind=Type.BOOL)
        if term.is_poison or not expression.is_negated:
            return term
        return Term(term.text, self._graph.apply("not", term.node), Type.BOOL, Unit.NONE, term.children)

    def _logic(self, expression: Logic, scope: Scope) -> Term:
        terms = [self.condition(term, scope) for term in expression.terms]
        if any(term.is_poison for term in terms):
            return POISON
        nodes = [term.node for term in terms]
        self.advice.of_parts(terms, [term.start for term in expression.terms], expression.operator, scope)
        node = self._graph.all_of(nodes) if expression.operator == "and" else self._graph.any_of(nodes)
        return Term(scope.text[expression.start : expression.end], node, Type.BOOL, Unit.NONE, tuple(terms))


def _failed(scope: Scope, code: str, expression: Expression, message: str, hint: str = "") -> Term:
    scope.fail(code, expression.start, message, hint)
    return POISON
