"""Explanations as text: trees with guides that fit a terminal."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.cli.output import leave_quietly

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from guard.cli.output import Output

    Told = set[str | tuple[str, ...]]

__all__ = ["Tree", "page", "page_width", "tree_lines", "trees_of"]

_WIDTH, _WIDTH_MAX, _TEXT_MIN = 80, 110, 20
_GUIDES = ("├─ ", "└─ ", "│  ")
_PLAIN = ("|- ", "`- ", "|  ")


class Tree(NamedTuple):
    """One line of a tree: text on the left, value on the right, notes below it, then its branches."""

    text: str
    value: str = ""
    notes: tuple[str, ...] = ()
    branches: tuple[Tree, ...] = ()


def page(output: Output, lines: Iterable[str]) -> None:
    """Print lines; whoever reads may stop before the end (head)."""
    try:
        for line in lines:
            output.text(line)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()


def page_width() -> int:
    """Return how many columns there are: those of the terminal, 80 elsewhere, and no more than can be read."""
    if not sys.stdout.isatty():
        return _WIDTH
    return max(40, min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDTH_MAX))


def tree_lines(trees: Iterable[Tree], *, width: int, indent: str = "", is_root: bool = True) -> Iterator[str]:
    """Yield the lines of some trees; their roots stand without guides."""
    middle, last, through = _guides()
    found = tuple(trees)
    for number, tree in enumerate(found):
        is_last = number + 1 == len(found)
        first = "" if is_root else last if is_last else middle
        below = "" if is_root else "   " if is_last else through
        more = through if tree.branches else "   "
        yield from _lines(tree.text, tree.value, indent + first, indent + below + more, width)
        for note in tree.notes:
            yield from _lines(note, "", f"{indent}{below}{more}? ", f"{indent}{below}{more}  ", width)
        yield from tree_lines(tree.branches, width=width, indent=indent + below, is_root=False)


def _guides() -> tuple[str, str, str]:
    """Return the guides that the output can show."""
    try:
        "".join(_GUIDES).encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN
    return _GUIDES


def _lines(text: str, value: str, first: str, later: str, width: int) -> Iterator[str]:
    """Yield a text, wrapped, with its value at the right end of its first line."""
    room = max(_TEXT_MIN, width - max(len(first), len(later)) - (len(value) + 2 if value else 0))
    lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    head = f"{first}{lines[0]}"
    yield f"{head}{value:>{max(width - len(head), len(value) + 2)}}" if value else head
    yield from (f"{later}{line}" for line in lines[1:])


def trees_of(nodes: Sequence[Mapping[str, Any]], *, told: Told | None = None, is_terse: bool = False) -> tuple[Tree, ...]:
    """Return parts of expressions as trees, without numbers as written.

    `told` are names whose parts were shown already. `is_terse` leaves out steps that have no name.
    """
    shown: Told = set() if told is None else told
    return tuple(_tree(node, shown, is_terse=is_terse) for node in _kept(nodes, is_terse=is_terse))


def _kept(nodes: Sequence[Mapping[str, Any]], *, is_terse: bool) -> Iterator[Mapping[str, Any]]:
    seen: set[str] = set()
    for node in nodes:
        if node.get("literal"):
            continue
        is_step = is_terse and node["children"] and "definition" not in node and not node.get("why")
        for kept in _kept(node["children"], is_terse=True) if is_step else (node,):
            if kept["text"] not in seen:
                seen.add(kept["text"])
                yield kept


def _tree(node: Mapping[str, Any], told: Told, *, is_terse: bool) -> Tree:
    name, definition = node["text"], node.get("definition", "")
    if definition and name in told:
        return Tree(f"{name} (see above)", node["shown"])
    if definition:
        told.add(name)
    notes = tuple(node.get("why", ()))
    if notes and (name, *notes) in told:
        return Tree(f"{name} (see above)", node["shown"])
    told.add((name, *notes))
    text = f"{name} = {definition}" if definition else name
    return Tree(text, node["shown"], notes, trees_of(node["children"], told=told, is_terse=is_terse))
