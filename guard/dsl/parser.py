"""Words to tree: a Pratt parser for rules, catalogue formulas and detector scores alike."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

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
from guard.dsl.tokens import UNITS, ExpressionError, Token, tokenize

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEPTH_MAX", "parse", "precedence"]

DEPTH_MAX = 40
_PARSED_MAX = 4096
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_POWER = {"or": 1, "and": 2, "in": 4, "not": 4, **dict.fromkeys(_COMPARISONS, 4), "+": 5, "-": 5, "*": 6, "/": 6}
_NOT_POWER = 3
_COMPARE_POWER = 4
_NEGATIVE_POWER = 7
_WORDS = frozenset({"and", "or", "not", "in"})
_SPELT = _WORDS | {"true", "false"}
_STRAY = {
    "=": "to compare, write ==",
    ")": "there is no ( for it",
    "]": "there is no [ for it",
    "[": "nothing has an index; to look into a list, write 'new' in market.tags",
    "if": "there is no choice inside an expression; use two rules, or ramp()",
    "is": "to compare, write ==",
}


@lru_cache(maxsize=_PARSED_MAX)
def parse(text: str) -> Expression:
    """Return the tree of `text`; raises ExpressionError with the offset of the first mistake.

    At most 400 words and 40 levels deep, so a hostile expression ends as an error and never as exhausted memory or stack.
    """
    tokens = tokenize(text)
    if tokens[0].kind == "end":
        raise ExpressionError("E040", 0, "the expression is empty")
    parser = _Parser(tokens)
    tree = parser.expression(0, 0)
    parser.expect_end()
    return tree


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, word: str) -> bool:
        token = self._token
        return token.text == word and token.kind in ("operator", "name")

    def _expect(self, word: str, opened: Token) -> Token:
        if not self._is(word):
            hint = f"a unit stands without a blank: 60{self._token.text}" if self._token.text in UNITS and self._token.text else ""
            raise ExpressionError(
                "E040", self._token.start, f"expected {word!r} to close {opened.text!r}, found {_shown(self._token)}", hint
            )
        return self._next()

    def expect_end(self) -> None:
        """Raise unless everything is read."""
        token = self._token
        if token.kind == "end":
            return
        raise ExpressionError("E040", token.start, f"expected an operator, found {_shown(token)}", self._stray_hint(token))

    def _stray_hint(self, token: Token) -> str:
        before = self._tokens[self._at - 1] if self._at else token
        if token.text in _STRAY and token.kind in ("name", "operator"):
            return _STRAY[token.text]
        if token.text == "," and before.kind == "number":
            return f"a decimal point, no comma: {before.text}.5"
        if before.kind == "name" and token.kind in ("name", "number") and before.text.lower() in _SPELT:
            return f"write it in small letters: {before.text.lower()}"
        if token.kind == "name" and token.text.lower() in _SPELT:
            return f"write it in small letters: {token.text.lower()}"
        if before.kind == "number" and token.kind == "name" and token.text in UNITS:
            return f"a unit stands without a blank: {before.text}{token.text}"
        return "join two conditions with and, or" if token.kind in ("name", "number", "text") else ""

    def expression(self, power: int, depth: int) -> Expression:
        """Read while operators bind tighter than `power`."""
        if depth > DEPTH_MAX:
            raise ExpressionError(
                "E041", self._token.start, f"nested deeper than {DEPTH_MAX} levels", "split it with let: or macros:"
            )
        left = self._prefix(depth)
        while True:
            token = self._token
            binding = _POWER.get(token.text, 0) if token.kind in ("operator", "name") else 0
            if binding <= power:
                return left
            left = self._infix(left, token, depth)

    def _infix(self, left: Expression, token: Token, depth: int) -> Expression:
        if token.text in ("and", "or"):
            return self._logic(left, token.text, depth)
        if token.text in _COMPARISONS:
            return self._comparison(left, depth)
        self._next()
        if token.text in ("in", "not"):
            return self._membership(left, token, depth)
        right = self.expression(_POWER[token.text], depth + 1)
        return Arithmetic(left.start, right.end, token.text, left, right)

    def _logic(self, left: Expression, word: str, depth: int) -> Expression:
        terms = [left]
        while self._is(word):
            self._next()
            terms.append(self.expression(_POWER[word], depth + 1))
        return Logic(left.start, terms[-1].end, word, tuple(terms))

    def _comparison(self, left: Expression, depth: int) -> Expression:
        operators, operands = [], [left]
        while self._token.kind == "operator" and self._token.text in _COMPARISONS:
            operators.append(self._next().text)
            operands.append(self.expression(_COMPARE_POWER, depth + 1))
        return Comparison(left.start, operands[-1].end, tuple(operators), tuple(operands))

    def _membership(self, left: Expression, token: Token, depth: int) -> Expression:
        if token.text == "not":
            if not self._is("in"):
                raise ExpressionError("E040", self._token.start, f"expected 'in' after 'not', found {_shown(self._token)}")
            self._next()
        right = self.expression(_COMPARE_POWER, depth + 1)
        return Membership(left.start, right.end, left, right, token.text == "not")

    def _prefix(self, depth: int) -> Expression:
        token = self._next()
        match token.kind:
            case "number":
                return Number(token.start, token.end, token.value, token.unit, token.text)
            case "text":
                return Text(token.start, token.end, token.text)
            case "list":
                return ListName(token.start, token.end, token.text)
            case "name" if token.text not in _WORDS:
                return self._call(token, depth) if self._is("(") else Name(token.start, token.end, token.text)
            case _:
                return self._sign(token, depth)

    def _sign(self, token: Token, depth: int) -> Expression:
        match token.text:
            case "not" if token.kind == "name":
                inner = self.expression(_NOT_POWER, depth + 1)
                return Not(token.start, inner.end, inner)
            case "-":
                inner = self.expression(_NEGATIVE_POWER, depth + 1)
                return Negative(token.start, inner.end, inner)
            case "(":
                inner = self.expression(0, depth + 1)
                self._expect(")", token)
                return inner
            case "[":
                return self._list(token, depth)
            case _:
                raise ExpressionError("E040", token.start, f"expected a value, found {_shown(token)}")

    def _list(self, opened: Token, depth: int) -> Expression:
        items: list[Expression] = []
        while not self._is("]"):
            items.append(self.expression(0, depth + 1))
            if not self._is(","):
                break
            self._next()
        return ListOf(opened.start, self._expect("]", opened).end, tuple(items))

    def _call(self, name: Token, depth: int) -> Expression:
        opened = self._next()
        arguments: list[Expression] = []
        options: list[tuple[str, int, Expression]] = []
        while not self._is(")"):
            token = self._token
            if token.kind == "name" and self._tokens[self._at + 1].text == "=" and self._tokens[self._at + 1].kind == "operator":
                self._at += 2
                options.append((token.text, token.start, self.expression(0, depth + 1)))
            elif options:
                raise ExpressionError("E040", token.start, "an argument without a name cannot follow one with a name")
            else:
                arguments.append(self.expression(0, depth + 1))
            if not self._is(","):
                break
            self._next()
        return Call(name.start, self._expect(")", opened).end, name.text, tuple(arguments), tuple(options))


def _shown(token: Token) -> str:
    return "the end" if token.kind == "end" else repr(token.text)


def precedence() -> list[list[str]]:
    """Return the operators, those that bind tightest first, those that bind alike together."""
    powers = {**_POWER, "not": _NOT_POWER, "- (sign)": _NEGATIVE_POWER}
    return [
        sorted(word for word, power in powers.items() if power == wanted) for wanted in sorted(set(powers.values()), reverse=True)
    ]
