"""Questions with yes or no for an answer, joined by all and some."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ASK",
    "NO",
    "YES",
    "All",
    "Always",
    "Ask",
    "Constant",
    "Operand",
    "Question",
    "Some",
    "Test",
    "TooIntricateError",
    "both",
    "either",
    "opposite",
]

SIZE_MAX: Final = 2000


class TooIntricateError(Exception):
    """A formula is nested too deeply, or too long, to be asked in parts."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A number that is the same for every row."""

    value: float


@dataclass(frozen=True, slots=True)
class Always:
    """A question with one answer."""

    answer: bool
    size: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that only the compiled function answers."""

    size: int = 1


@dataclass(frozen=True, slots=True)
class Test:
    """Whether two numbers pass a test (`holds`) or do not: ``less``, ``less_equal``, ``equal``, ``apart``, ``known`` (of `left`).

    An operand is a node or a constant; `leaves` are what they rest on. What is unknown passes no test.
    """

    test: str
    left: Operand
    right: Operand
    leaves: frozenset[int] = field(default=frozenset(), compare=False)
    holds: bool = True
    size: int = 1


@dataclass(frozen=True, slots=True)
class All:
    """Whether all parts are answered by yes."""

    parts: tuple[Question, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Some:
    """Whether one part is answered by yes."""

    parts: tuple[Question, ...]
    size: int


if TYPE_CHECKING:
    Operand = int | Constant
    Question = Always | Ask | Test | All | Some
YES: Final = Always(answer=True)
NO: Final = Always(answer=False)
ASK: Final = Ask()


def opposite(question: Question) -> Question:
    """Return the question with the other answer; what must be asked stays so."""
    match question:
        case Always(answer):
            return NO if answer else YES
        case Test():
            return Test(question.test, question.left, question.right, question.leaves, not question.holds)
        case All(parts):
            return either(map(opposite, parts))
        case Some(parts):
            return both(map(opposite, parts))
    return question


def both(questions: Iterable[Question]) -> Question:
    """Ask whether all of some questions are answered by yes."""
    return _joined(All, questions, neutral=YES, deciding=NO)


def either(questions: Iterable[Question]) -> Question:
    """Ask whether one of some questions is answered by yes."""
    return _joined(Some, questions, neutral=NO, deciding=YES)


def _joined(join: type[All | Some], questions: Iterable[Question], *, neutral: Always, deciding: Always) -> Question:
    kept: dict[Question, None] = {}
    for question in questions:
        if question == deciding:
            return deciding
        kept.update(dict.fromkeys(question.parts if isinstance(question, join) else (question,)))
    kept.pop(neutral, None)
    if not kept:
        return neutral
    size = sum(question.size for question in kept)
    if size > SIZE_MAX:
        raise TooIntricateError
    return join(tuple(kept), size) if len(kept) > 1 else next(iter(kept))
