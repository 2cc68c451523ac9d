"""What conditions joined by ``and`` or ``or`` say of the same number: contradictions, and parts that add nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl.graph import Graph

__all__ = ["Atom", "Finding", "Span", "atoms", "clashes", "implies"]


_ROWS_MAX: Final = 200


class Span(NamedTuple):
    """Numbers from `low` to `high`; an open end does not belong to it."""

    low: float = -math.inf
    is_low_open: bool = False
    high: float = math.inf
    is_high_open: bool = False

    def within(self, other: Span) -> bool:
        """Whether each of these numbers is one of the other's."""
        above = self.low > other.low or (self.low == other.low and (self.is_low_open or not other.is_low_open))
        below = self.high < other.high or (self.high == other.high and (self.is_high_open or not other.is_high_open))
        return above and below

    def meets(self, other: Span) -> bool:
        """Whether some number belongs to both."""
        for one, two in ((self, other), (other, self)):
            if one.low > two.high or (one.low == two.high and (one.is_low_open or two.is_high_open)):
                return False
        return True

    def fills_up(self, other: Span) -> bool:
        """Whether every number belongs to one of the two."""
        for one, two in ((self, other), (other, self)):
            touches = two.low < one.high or (two.low == one.high and not (two.is_low_open and one.is_high_open))
            if one.low == -math.inf and two.high == math.inf and touches:
                return True
        return False


class Atom(NamedTuple):
    """One condition on one node: a number within a span, a text among words, or a condition that holds or does not."""

    node: int
    says: Span | frozenset[str] | bool


class Finding(NamedTuple):
    """What two of several terms say together: ``excludes``, ``fills`` or ``adds_nothing`` (`first` beside `second`)."""

    kind: str
    first: int
    second: int


def atoms(graph: Graph, node: int, joined: str = "and") -> Iterator[Atom]:
    """Yield the conditions that a condition joins, each once."""
    for part in _parts(graph, node, joined):
        yield atom(graph, part)


def _parts(graph: Graph, node: int, joined: str) -> Iterator[int]:
    stack, seen = [node], {node}
    while stack:
        part = stack.pop()
        found = graph.nodes[part]
        if found.operation != joined:
            yield part
            continue
        fresh = [one for one in reversed(found.arguments) if one not in seen]
        seen.update(fresh)
        stack += fresh


def atom(graph: Graph, node: int) -> Atom:  # noqa: PLR0911 - one case for each operation
    """Return one condition in terms of what it looks at."""
    found = graph.nodes[node]
    match found.operation:
        case "less" | "less_equal":
            left, right = (graph.nodes[argument] for argument in found.arguments)
            is_open = found.operation == "less"
            if right.operation == "const":
                return Atom(found.arguments[0], Span(high=right.value, is_high_open=is_open))
            if left.operation == "const":
                return Atom(found.arguments[1], Span(low=left.value, is_low_open=is_open))
        case "equal" if graph.nodes[found.arguments[1]].operation == "const":
            value = graph.nodes[found.arguments[1]].value
            return Atom(found.arguments[0], Span(value, high=value))
        case "same" if graph.nodes[found.arguments[1]].operation == "const":
            return Atom(found.arguments[0], frozenset((graph.nodes[found.arguments[1]].value,)))
        case "in" if graph.nodes[found.arguments[1]].operation == "const":
            return Atom(found.arguments[0], frozenset(graph.nodes[found.arguments[1]].value))
        case "not" if graph.nodes[found.arguments[0]].operation not in ("less", "less_equal"):
            return Atom(found.arguments[0], says=False)
    return Atom(node, says=True)


def clashes(graph: Graph, terms: Sequence[int], joined: str) -> Iterator[Finding]:
    """Yield what pairs of terms, joined by ``and`` or ``or``, say together; of each later term the first thing."""
    single = {number for number, node in enumerate(terms) if graph.nodes[node].operation != joined}
    rows = [(number, one) for number, node in enumerate(terms) for one in atoms(graph, node, joined)]
    if len(rows) > _ROWS_MAX:
        return
    is_told: set[tuple[int, int]] = set()
    for at, (second, later) in enumerate(rows):
        for first, earlier in rows[:at]:
            if first == second or later.node != earlier.node or (first, second) in is_told:
                continue
            finding = _pair(first, second, earlier, later, joined)
            # Of a term with several conditions, others than the one that adds nothing may matter.
            if finding is not None and (finding.kind != "adds_nothing" or finding.first in single):
                is_told.add((first, second))
                yield finding
                break


def _pair(first: int, second: int, earlier: Atom, later: Atom, joined: str) -> Finding | None:  # noqa: PLR0911 - one case for each finding
    is_and = joined == "and"
    if isinstance(earlier.says, bool) and isinstance(later.says, bool):
        if earlier.says is later.says:
            return Finding("adds_nothing", second, first)
        return Finding("excludes" if is_and else "fills", first, second)
    if is_and and not _meets(earlier, later):
        return Finding("excludes", first, second)
    if not is_and and isinstance(earlier.says, Span) and isinstance(later.says, Span) and earlier.says.fills_up(later.says):
        return Finding("fills", first, second)
    # Of conditions joined by `and` the narrower one decides, of those joined by `or` the wider one.
    if covers(later, earlier):
        return Finding("adds_nothing", second, first) if is_and else Finding("adds_nothing", first, second)
    if covers(earlier, later):
        return Finding("adds_nothing", first, second) if is_and else Finding("adds_nothing", second, first)
    return None


def _meets(one: Atom, other: Atom) -> bool:
    if isinstance(one.says, Span) and isinstance(other.says, Span):
        return one.says.meets(other.says)
    if isinstance(one.says, frozenset) and isinstance(other.says, frozenset):
        return bool(one.says & other.says)
    return True


def covers(wide: Atom, narrow: Atom) -> bool:
    """Whether one condition holds wherever another one on the same node does."""
    if isinstance(wide.says, bool) or isinstance(narrow.says, bool):
        return wide.says is narrow.says
    if isinstance(wide.says, Span):
        return isinstance(narrow.says, Span) and narrow.says.within(wide.says)
    return isinstance(narrow.says, frozenset) and narrow.says <= wide.says


def implies(graph: Graph, condition: int, other: int) -> bool:
    """Whether `other` holds wherever `condition` does, by what both say of the same nodes."""
    given = {condition, *_parts(graph, condition, "and")}
    known = [atom(graph, node) for node in given]
    return all(
        part in given or any(_is_given(graph, choice, given, known) for choice in _parts(graph, part, "or"))
        for part in _parts(graph, other, "and")
    )


def _is_given(graph: Graph, node: int, given: set[int], known: Sequence[Atom]) -> bool:
    wanted = atom(graph, node)
    return node in given or any(one.node == wanted.node and covers(wanted, one) for one in known)
