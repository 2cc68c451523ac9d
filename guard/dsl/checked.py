"""One expression of a file, checked: problems get the place of the word that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from guard.dsl.document import TORN, place_in
from guard.dsl.memory import DEPTH_MAX
from guard.dsl.parser import parse
from guard.dsl.terms import POISON, Scope
from guard.dsl.tokens import ExpressionError

if TYPE_CHECKING:
    from guard.dsl.checker import Checker
    from guard.dsl.document import Scalar
    from guard.dsl.memory import Memory
    from guard.dsl.problems import Report
    from guard.dsl.terms import Names, Term
    from guard.features.tables import Type

__all__ = ["checked"]

_MISTAKES_MAX = 20


class File(Protocol):
    """What the expressions of one file share; it `is_torn` once one of them cannot be read."""

    lists: dict[str, tuple[str, ...]]
    memory: Memory
    is_torn: bool

    def use_list(self, name: str) -> None:
        """Note that a list is used."""


class _EnoughError(Exception):
    """One expression has so many mistakes that the rest of it tells nobody anything."""


def _is_hollow(node: Scalar, file: File, report: Report) -> bool:
    """Whether there is no expression to check: its mistake is told by the reader of YAML, or here."""
    if node.style == TORN:
        file.is_torn = True
        return True
    if node.style not in ("|", ">") or node.text.strip():
        return False
    hint = 'a comparison needs its left side: "ret(60s) > 3%"'
    report.add("E040", node.place, f"the expression is empty: {node.style} begins a text over several lines", hint)
    return True


def checked(checker: Checker, node: Scalar, names: Names, file: File, report: Report, *, kind: Type | None = None) -> Term:
    """Check one expression of a file; problems get the place of the word that is wrong."""
    if _is_hollow(node, file, report):
        return POISON
    text = node.text
    known = file.memory.recall(text, kind, names)
    if known is not None:
        for name in known.lists:
            file.use_list(name)
        return known.term
    mistakes = 0

    def fail(code: str, start: int, message: str, hint: str) -> None:
        nonlocal mistakes
        mistakes += 1
        report.add(code, place_in(node, start), message, hint)
        if mistakes >= _MISTAKES_MAX and not code.startswith("W"):
            raise _EnoughError

    parts: dict[str, Term] = {}
    scope = Scope(text, names, file.lists, fail, file.use_list, kept=parts)
    try:
        tree = parse(text)
    except ExpressionError as error:
        fail(error.code, error.start, error.message, error.hint)
        file.is_torn = True
        return POISON
    try:
        term = checker.check(tree, scope)
        term = term if kind is None else checker.wanted(term, kind, tree, scope)
    except _EnoughError:
        return POISON
    if not mistakes and not term.is_poison:
        if file.memory.is_too_deep(term):
            message = f"nested deeper than {DEPTH_MAX} levels, with what its names stand for"
            fail("E041", 0, message, "names that stand for names that stand for names: write some of them out")
            return POISON
        checker.keep(parts)
        file.memory.keep(tree, text, kind, names, term)
    return term
