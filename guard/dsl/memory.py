"""Expressions of one file that were checked before: three hundred rules rarely say three thousand different things."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.syntax import Arithmetic, Call, Comparison, ListName, ListOf, Membership, Name, Negative, Not, Number, Text
from guard.dsl.terms import Cycle

if TYPE_CHECKING:
    from guard.dsl.syntax import Expression
    from guard.dsl.terms import Names, Term
    from guard.features.tables import Type

__all__ = ["DEPTH_MAX", "Known", "Memory", "words_of"]

DEPTH_MAX = 100
"""How deep an expression may be, with what its names stand for: all levels are shown where a verdict is explained."""

_LEAVES = (Number, Text)
_ONE = (Negative, Not)
_TWO = (Arithmetic, Membership)


class Known(NamedTuple):
    """A checked expression; `lists` are those that it names, `rests_on` the terms that its names stood for."""

    term: Term
    lists: tuple[str, ...]
    rests_on: tuple[Term | None, ...]


class _Seen(NamedTuple):
    names: tuple[str, ...]
    lists: tuple[str, ...]
    by_meaning: dict[tuple[int, ...], Known]


class Memory:
    """What expressions came to, by their text and by what their names stand for there.

    Only sound expressions are kept, so that each mistake is found at each place where it stands.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], _Seen] = {}
        self._depths: dict[int, tuple[Term, int]] = {}

    def is_too_deep(self, term: Term) -> bool:
        """Whether a term is too deep: names that stand for names that stand for names grow without a limit of words."""
        return self._depth(term) > DEPTH_MAX

    def _depth(self, term: Term) -> int:
        known = self._depths.get(id(term))
        if known is None:
            # The term is kept, so that no other takes its identity.
            known = self._depths[id(term)] = (term, 1 + max(map(self._depth, term.children), default=0))
        return known[1]

    def recall(self, text: str, kind: Type | None, names: Names) -> Known | None:
        """Return what `text` came to where its names stood for the same terms; its names count as used."""
        seen = self._seen.get((text, id(kind)))
        if seen is None or "score" in seen.names:
            return None
        try:
            meaning = tuple([id(names.resolve(name)) for name in seen.names])
        except Cycle:
            return None
        return seen.by_meaning.get(meaning)

    def keep(self, tree: Expression, text: str, kind: Type | None, names: Names, term: Term) -> None:
        """Remember a sound expression. The terms of its names are kept with it, so that no other takes their identity."""
        key = (text, id(kind))
        if key not in self._seen:
            self._seen[key] = _Seen(*words_of(tree), {})
        seen = self._seen[key]
        # Each rule has a score of its own.
        if "score" in seen.names:
            return
        rests_on = tuple(names.resolve(name) for name in seen.names)
        seen.by_meaning[tuple(map(id, rests_on))] = Known(term, seen.lists, rests_on)


def words_of(tree: Expression) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names and the lists that an expression is written with, each once, as they come.

    Examples
    --------
    >>> from guard.dsl.parser import parse
    >>> words_of(parse("ret(w) > x and market.symbol in $majors or x > depth(1%, side=bid)"))
    (('w', 'x', 'market.symbol', 'bid'), ('majors',))
    """
    names: dict[str, None] = {}
    lists: dict[str, None] = {}
    waiting: list[Expression] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, _LEAVES):
            continue
        if isinstance(node, Name):
            names[node.text] = None
        elif isinstance(node, ListName):
            lists[node.text] = None
        elif isinstance(node, Call):
            waiting += [*(option for _, _, option in node.options[::-1]), *node.arguments[::-1]]
        elif isinstance(node, _ONE):
            waiting.append(node.of)
        elif isinstance(node, _TWO):
            waiting += (node.right, node.left)
        elif isinstance(node, Comparison):
            waiting += node.operands[::-1]
        else:
            waiting += (node.items if isinstance(node, ListOf) else node.terms)[::-1]
    return tuple(names), tuple(lists)
