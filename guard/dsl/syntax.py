"""The tree of an expression as it was written, before names and types are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.features.tables import Unit

__all__ = [
    "Arithmetic",
    "Call",
    "Comparison",
    "Expression",
    "ListName",
    "ListOf",
    "Logic",
    "Membership",
    "Name",
    "Negative",
    "Not",
    "Number",
    "Text",
    "written",
]


@dataclass(frozen=True, slots=True)
class Number:
    """A constant; `text` keeps its suffix: 3x is meant as a multiple, never as a forgotten percent."""

    start: int
    end: int
    value: float
    unit: Unit
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A quoted text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """A name, with at most one dot."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class ListName:
    """A list of the file, ``$majors``."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list written out."""

    start: int
    end: int
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A feature, field or function with its arguments; `options` were given by name."""

    start: int
    end: int
    name: str
    arguments: tuple[Expression, ...]
    options: tuple[tuple[str, int, Expression], ...]


@dataclass(frozen=True, slots=True)
class Negative:
    """A minus sign."""

    start: int
    end: int
    of: Expression


@dataclass(frozen=True, slots=True)
class Not:
    """A negation."""

    start: int
    end: int
    of: Expression


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``+ - * /``."""

    start: int
    end: int
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Comparison:
    """``a < b <= c``: one operator less than operands."""

    start: int
    end: int
    operators: tuple[str, ...]
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Membership:
    """``left in list``, or ``not in``."""

    start: int
    end: int
    left: Expression
    right: Expression
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Logic:
    """``and`` or ``or`` over two and more terms."""

    start: int
    end: int
    operator: str
    terms: tuple[Expression, ...]


Expression = Number | Text | Name | ListName | ListOf | Call | Negative | Not | Arithmetic | Comparison | Membership | Logic

_TIGHTNESS = {"or": 1, "and": 2, "not": 3, "compare": 4, "+": 5, "-": 5, "*": 6, "/": 6, "negative": 7}


def written(expression: Expression, constants: Mapping[str, str] | None = None) -> str:
    """Return the canonical text, with the names in `constants` replaced by their values: ``ret(window)`` -> ``ret(10s)``."""
    return _write(expression, constants or {}, 0)


def _write(expression: Expression, constants: Mapping[str, str], outer: int) -> str:  # noqa: PLR0911 - one case for each kind
    match expression:
        case Number():
            return expression.text
        case Text():
            quote = '"' if "'" in expression.text else "'"
            return f"{quote}{expression.text}{quote}"
        case Name():
            return constants.get(expression.text, expression.text)
        case ListName():
            return f"${expression.text}"
        case ListOf():
            return f"[{', '.join(_write(item, constants, 0) for item in expression.items)}]"
        case Call():
            words = [_write(argument, constants, 0) for argument in expression.arguments]
            words += [f"{name}={_write(option, constants, 0)}" for name, _, option in expression.options]
            return f"{expression.name}({', '.join(words)})"
        case _:
            text, tightness = _operation(expression, constants)
            return f"({text})" if tightness < outer else text


def _operation(expression: Expression, constants: Mapping[str, str]) -> tuple[str, int]:
    match expression:
        case Negative():
            tightness = _TIGHTNESS["negative"]
            return f"-{_write(expression.of, constants, tightness)}", tightness
        case Not():
            tightness = _TIGHTNESS["not"]
            return f"not {_write(expression.of, constants, tightness)}", tightness
        case Arithmetic():
            tightness = _TIGHTNESS[expression.operator]
            left = _write(expression.left, constants, tightness)
            return f"{left} {expression.operator} {_write(expression.right, constants, tightness + 1)}", tightness
        case Comparison():
            tightness = _TIGHTNESS["compare"]
            words = [_write(expression.operands[0], constants, tightness + 1)]
            for operator, operand in zip(expression.operators, expression.operands[1:], strict=True):
                words += [operator, _write(operand, constants, tightness + 1)]
            return " ".join(words), tightness
        case Membership():
            tightness = _TIGHTNESS["compare"]
            word = "not in" if expression.is_negated else "in"
            left = _write(expression.left, constants, tightness + 1)
            return f"{left} {word} {_write(expression.right, constants, tightness + 1)}", tightness
        case Logic():
            tightness = _TIGHTNESS[expression.operator]
            terms = (_write(term, constants, tightness + 1) for term in expression.terms)
            return f" {expression.operator} ".join(terms), tightness
        case _:
            raise AssertionError(expression)
