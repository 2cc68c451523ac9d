"""A change of guard.yaml as a person would make it: one line in place, everything else left as it was written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.document import Scalar, Table

if TYPE_CHECKING:
    from guard.dsl.document import Entry, Node
    from guard.dsl.problems import Place

__all__ = ["Edit", "NotEditable", "by_hand", "with_override"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_INDENT = "  "


class Edit(NamedTuple):
    """A changed text: `line` (from 1) is the first that differs, `removed` and `added` the lines before and after, without ends."""

    text: str
    line: int
    removed: tuple[str, ...]
    added: tuple[str, ...]


class NotEditable(Exception):
    """A text whose shape leaves no place that is surely right."""


def by_hand(rule: str, key: str, value: str) -> str:
    """Return the lines that a person adds where `with_override` cannot."""
    return f"override:\n{_INDENT}{rule}: {{{key}: {value}}}\n"


def with_override(text: str, root: Node | None, rule: str, key: str, value: str) -> Edit:
    """Return guard.yaml's text with ``override: {rule: {key: value}}``.

    `root` is the tree of that text, None where it has none; `value` a plain word. A key that is there is replaced, a mapping gets
    one more key in its own style, and without any override one is added after ``rules:``. Raises NotEditable where the text is
    not as the tree says; who uses the outcome reads it once more.
    """
    writer = _Writer(text)
    if not isinstance(root, Table):
        raise NotEditable("the file does not start with keys")
    override = root.entries.get("override")
    if override is None:
        writer.add_section(root, rule, key, value)
        return writer.edit()
    of_rule = _table(override).entries.get(rule)
    if of_rule is None:
        writer.add(override, f"{rule}: {{{key}: {value}}}")
        return writer.edit()
    there = _table(of_rule).entries.get(key)
    if there is None:
        writer.add(of_rule, f"{key}: {value}")
    elif isinstance(there.node, Scalar):
        writer.replace(there.node, value)
    else:
        raise NotEditable(f"{key} is not a word")
    return writer.edit()


def _table(entry: Entry) -> Table:
    if not isinstance(entry.node, Table):
        raise NotEditable("override is not keys and values")
    return entry.node


class _Writer:
    """The lines of a text, and the one change of them."""

    def __init__(self, text: str) -> None:
        self._lines = [found for found in _LINE.findall(text) if found]
        self._end = "\r\n" if "\r\n" in text else "\n"
        self._edit: Edit | None = None

    def edit(self) -> Edit:
        """Return the change."""
        assert self._edit is not None
        return self._edit

    def add(self, entry: Entry, words: str) -> None:
        """Put one more key into the mapping of an entry."""
        node = entry.node
        assert isinstance(node, Table)
        if self._starts(node.place, "{"):
            self._put(node.place, 1, "", f"{words}, " if node.entries else words)
            return
        first = next(iter(node.entries.values()), None)
        if first is None or first.key.line <= entry.key.line or self._before(first.key).strip():
            raise NotEditable("a mapping is neither in braces nor on lines of its own")
        self._insert(entry.key.line, self._before(first.key) + words)

    def add_section(self, root: Table, rule: str, key: str, value: str) -> None:
        """Put ``override:`` into the file itself."""
        if self._starts(root.place, "{"):
            self._put(root.place, 1, "", f"override: {{{rule}: {{{key}: {value}}}}}, ")
            return
        keys = [entry.key for entry in root.entries.values()]
        if any(place.column != 1 for place in keys):
            raise NotEditable("the keys of the file do not begin at its left edge")
        after = root.entries.get("rules", list(root.entries.values())[-1]).key.line
        last = min((place.line for place in keys if place.line > after), default=len(self._lines) + 1) - 1
        # What stands above the next key, a comment mostly, belongs to that key.
        while last > after and (not self._lines[last - 1].strip() or self._lines[last - 1].startswith("#")):
            last -= 1
        is_apart = last < len(self._lines) and not self._lines[last].strip()
        self._insert(last, *([""] if is_apart else []), "override:", f"{_INDENT}{rule}: {{{key}: {value}}}")

    def replace(self, node: Scalar, value: str) -> None:
        """Put another word in place of a scalar."""
        written = f"{node.style}{node.text}{node.style}" if node.style in ("", "'", '"') else ""
        if not written or not self._starts(node.place, written):
            raise NotEditable("the word is not written as one")
        self._put(node.place, 0, written, value)

    def _before(self, place: Place) -> str:
        return self._line(place)[: place.column - 1]

    def _line(self, place: Place) -> str:
        return self._lines[place.line - 1] if 0 < place.line <= len(self._lines) else ""

    def _starts(self, place: Place, words: str) -> bool:
        return self._line(place)[place.column - 1 :].startswith(words)

    def _put(self, place: Place, offset: int, old: str, new: str) -> None:
        line, at = self._line(place), place.column - 1 + offset
        changed = line[:at] + new + line[at + len(old) :]
        text = "".join([*self._lines[: place.line - 1], changed, *self._lines[place.line :]])
        self._edit = Edit(text, place.line, (line.rstrip("\r\n"),), (changed.rstrip("\r\n"),))

    def _insert(self, after: int, *lines: str) -> None:
        before = list(self._lines[:after])
        if before and not before[-1].endswith(("\n", "\r")):
            before[-1] += self._end
        added = "".join(line + self._end for line in lines)
        self._edit = Edit("".join([*before, added, *self._lines[after:]]), after + 1, (), lines)
