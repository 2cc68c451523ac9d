"""The positioned tree: every key and value of a YAML file knows where it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl.problems import Place

__all__ = ["TORN", "Entry", "Items", "Node", "Scalar", "Table", "find", "merged", "place_in", "plain"]

Value = str | int | float | bool | None

TORN = "?"
"""Style of a scalar that stands for something with a mistake, which is already reported."""


class Scalar(NamedTuple):
    """One value. `text` is what was written, `value` what it means; `style` is YAML's (``''`` plain, ``'"'``, ``'>'`` ...)."""

    value: Value
    text: str
    place: Place
    style: str = ""


class Entry(NamedTuple):
    """A key's place and its value."""

    key: Place
    node: Node


class Table(NamedTuple):
    """A mapping, in the order of the file. A torn one has lost an entry to a mistake, which is already reported."""

    entries: dict[str, Entry]
    place: Place
    is_torn: bool = False


class Items(NamedTuple):
    """A sequence."""

    items: tuple[Node, ...]
    place: Place


Node = Scalar | Table | Items


def plain(node: Node) -> Any:  # noqa: ANN401 - a tree of YAML is any tree
    """Return the tree as plain Python values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Table):
        return {
            key: entry.node.value if isinstance(entry.node, Scalar) else plain(entry.node) for key, entry in node.entries.items()
        }
    return [plain(item) for item in node.items]


def merged(base: Node, over: Node) -> Node:
    """Return `base` with what `over` says: mappings are merged by key, everything else is replaced."""
    if not isinstance(base, Table) or not isinstance(over, Table):
        return over
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        before = entries.get(key)
        entries[key] = entry if before is None else Entry(entry.key, merged(before.node, entry.node))
    return Table(entries, base.place, base.is_torn or over.is_torn)


def find(root: Node, path: Sequence[str | int]) -> tuple[Entry, tuple[str | int, ...]]:
    """Return the deepest entry that `path` leads to and the part of `path` that is in the document.

    Parts that the document does not have (pydantic names the branches of a union and validators in its paths) are skipped.
    """
    entry = Entry(root.place, root)
    walked: list[str | int] = []
    for part in path:
        node = entry.node
        if isinstance(node, Table) and str(part) in node.entries:
            entry = node.entries[str(part)]
        elif isinstance(node, Items) and isinstance(part, int) and part < len(node.items):
            entry = Entry(node.items[part].place, node.items[part])
        else:
            continue
        walked.append(part)
    return entry, tuple(walked)


def place_in(scalar: Scalar, offset: int) -> Place:
    """Return where the character `offset` of a scalar's text stands in its file, also in folded and quoted scalars."""
    source, line, column, is_hidden = scalar.place
    if is_hidden or not 0 < line <= len(source.lines):
        return scalar.place
    if scalar.style in ("|", ">"):
        line, column = line + 1, 1
    row, at = line - 1, column - 1
    if scalar.style in ("'", '"'):
        at += 1
    if source.lines[row].startswith(scalar.text, at):
        return scalar.place._replace(line=row + 1, column=at + offset + 1)
    wanted = scalar.text[: offset + 1]
    for position, char in enumerate(wanted):
        row, at = _advance(source.lines, row, at, char)
        if row >= len(source.lines):
            return scalar.place
        if position < offset:
            at += 1
    return scalar.place._replace(line=row + 1, column=at + 1)


def _advance(lines: Sequence[str], row: int, at: int, char: str) -> tuple[int, int]:
    """Return the spot of the next `char` at or after a spot; a blank matches a line's end."""
    while row < len(lines):
        text = lines[row]
        if char.isspace():
            return row, at
        if at < len(text) and text[at] == char:
            return row, at
        found = text.find(char, at)
        if found >= 0:
            return row, found
        row, at = row + 1, 0
    return row, at
