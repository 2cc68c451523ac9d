"""Checked expressions: what a name stands for, and which units go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.syntax import Number
from guard.dsl.tokens import written_quantity
from guard.features.tables import Type, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from guard.dsl.syntax import Expression

__all__ = ["POISON", "Cycle", "Names", "Scope", "Term", "fixed", "joined_unit", "kind_of", "product_unit", "quotient_unit"]


class Term(NamedTuple):
    """A checked expression: its node in the graph, its type (number, bool, text or list) and unit.

    `choices` are the only values a text can take, where that is known. A poisoned term (`node` < 0) already has its problem.
    """

    text: str
    node: int
    type: Type
    unit: Unit = Unit.NONE
    children: tuple[Term, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def is_poison(self) -> bool:
        """Whether a problem of this term is already reported."""
        return self.node < 0


POISON = Term("", -1, Type.NUMBER)


def fixed(term: Term) -> Callable[[], Term]:
    """Return the definition of a name that is already checked."""
    return lambda: term


class Cycle(Exception):
    """A name is defined by itself."""


class Names:
    """Names of a place in a file and what they stand for; a definition is checked when it is first used.

    `broken` are names before a dot whose problem is already reported.
    """

    def __init__(
        self, definitions: Mapping[str, Callable[[], Term]], outer: Names | None = None, *, broken: Collection[str] = ()
    ) -> None:
        self._definitions = dict(definitions)
        self._outer = outer
        self._broken = frozenset(broken)
        self._terms: dict[str, Term] = {}
        self._open: set[str] = set()
        self.used: set[str] = set()

    def resolve(self, name: str) -> Term | None:
        """Return what `name` stands for, None where nobody defined it. Raises Cycle."""
        term = self._terms.get(name)
        if term is not None:
            self.used.add(name)
            return term
        definition = self._definitions.get(name)
        if self._broken and name.partition(".")[0] in self._broken:
            return POISON
        if definition is None:
            return self._outer.resolve(name) if self._outer is not None else None
        self.used.add(name)
        if name in self._open:
            raise Cycle(name)
        self._open.add(name)
        try:
            term = self._terms[name] = definition()
        finally:
            self._open.discard(name)
        return term

    def all(self) -> set[str]:
        """Return every name that can be written here."""
        return set(self._definitions) | (self._outer.all() if self._outer is not None else set())


class Scope(NamedTuple):
    """Where an expression stands: its text, its names and lists, and how to report a mistake at an offset of the text.

    `has_strict_units` is off in the catalogue, whose authors declare each unit themselves. `kept` takes the parts that mean the
    same wherever they stand, by their text; they count once the whole is sound.
    """

    text: str
    names: Names
    lists: Mapping[str, tuple[str, ...]]
    fail: Callable[[str, int, str, str], None]
    use_list: Callable[[str], None] = lambda _name: None
    has_strict_units: bool = True
    kept: dict[str, Term] | None = None


def kind_of(term: Term) -> str:
    """Return the words for what a term is."""
    if term.type is not Type.NUMBER:
        return {Type.BOOL: "a condition", Type.TEXT: "a text", Type.LIST: "a list"}[term.type]
    words = {Unit.RATIO: "a ratio", Unit.DURATION: "a duration", Unit.NONE: "a number", Unit.COUNT: "a count"}
    return words.get(term.unit, f"a number of {term.unit}")


def joined_unit(left: Term, right: Term, written: tuple[Expression, Expression], scope: Scope) -> Unit:
    """Return the unit of two terms that are compared or added; reports units that do not go together."""
    if left.unit is right.unit:
        return left.unit
    if Unit.NONE not in (left.unit, right.unit):
        if scope.has_strict_units:
            message = f"{kind_of(left)} and {kind_of(right)} do not go together: {left.text} and {right.text}"
            scope.fail("E045", written[1].start, message, "")
        return left.unit
    measured, constant = (left, written[1]) if right.unit is Unit.NONE else (right, written[0])
    if scope.has_strict_units:
        _lint_constant(measured, constant, scope)
    return measured.unit


def _lint_constant(measured: Term, written: Expression, scope: Scope) -> None:
    negative = getattr(written, "of", None)
    number = negative if isinstance(negative, Number) else written
    if not isinstance(number, Number) or number.text.endswith("x") or number.value == 0.0:
        return
    if measured.unit is Unit.DURATION:
        message = f"{measured.text} is a duration, {number.text} has no unit"
        scope.fail("E045", number.start, message, f"did you mean {number.text}s?")
    elif measured.unit is Unit.RATIO and number.value > 1.0:
        message = f"a ratio compared with {number.text} is {written_quantity(number.value, Unit.RATIO)}"
        hint = f"did you mean {number.text}%? (if not, write {number.text}x)"
        scope.fail("E046", number.start, message, hint)


_PLAIN = frozenset({Unit.NONE, Unit.RATIO, Unit.COUNT, Unit.SIGMA})


def product_unit(left: Unit, right: Unit) -> Unit:
    """Return the unit of a product: what a plain factor scales, else none that has a name."""
    if left is right and left is Unit.RATIO:
        return left
    if left in _PLAIN and right in _PLAIN:
        return Unit.NONE if left is not Unit.NONE and right is not Unit.NONE else left if right is Unit.NONE else right
    if left in _PLAIN or right in _PLAIN:
        return right if left in _PLAIN else left
    return Unit.NONE


def quotient_unit(left: Unit, right: Unit) -> Unit:
    """Return the unit of a quotient: none for like by like, the left one where the divisor is a plain number."""
    if left is right:
        return Unit.NONE
    return left if right in _PLAIN else Unit.NONE
