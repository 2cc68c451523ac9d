"""YAML, read strictly: a text becomes a positioned tree, or problems that name line and column."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Any

import yaml
from yaml.reader import Reader

from guard.dsl.document import TORN, Entry, Items, Node, Scalar, Table
from guard.dsl.problems import Place, Report, Source
from guard.dsl.yaml_errors import NO_BLANK, QUOTE_EXPRESSION, QUOTE_PATTERN, explained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BYTES_MAX", "DEPTH_MAX", "NODES_MAX", "read_file", "read_text", "resolve"]

BYTES_MAX = 256 * 1024
DEPTH_MAX = 20
NODES_MAX = 50_000
_NUMBER_CHARACTERS_MAX = 40

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?\Z")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "false": False, "True": True, "False": False}
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_QUESTION = re.compile(r"(?<=\S)\?")
_ASKED = "\ue000"
_GLUED = re.compile(r":[\[{,\]}]")
_RETRIES_MAX = 20
_WRITE_OUT = "write the value out, or use lists: and macros:"
_YAML_TAG = "tag:yaml.org,2002:"
_TAB_INDENT = re.compile(r"^ *\t(?=[ \t]*[^\s#])", re.MULTILINE)
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")


class _Stop(Exception):
    """The rest of the file cannot be read."""


def resolve(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar means: null, true, false, a decimal number, else the text itself.

    Examples
    --------
    >>> resolve("NO"), resolve("12:30"), resolve("010"), resolve("1e3"), resolve("7")
    ('NO', '12:30', '010', 1000.0, 7)
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _NUMBER_CHARACTERS_MAX or not any(char.isdigit() for char in text):
        return text
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        number = float(text)
        return number if abs(number) != float("inf") else text
    return text


def read_file(path: Path, report: Report, *, shown: str | None = None) -> Node | None:
    """Read a file of at most `BYTES_MAX`; None where its problems (in `report`) leave no tree."""
    file = shown or str(path)
    nowhere = Place(Source.of(file, ""))
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            report.add("E001", nowhere, "is not a regular file")
            return None
        with path.open("rb") as stream:
            raw = stream.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        report.add("E001", nowhere, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if len(raw) > BYTES_MAX:
        report.add("E002", nowhere, f"larger than {BYTES_MAX // 1024} KiB")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _report_encoding(file, raw, error.start, report)
        return None
    return read_text(file, text, report)


def _report_encoding(file: str, raw: bytes, at: int, report: Report) -> None:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        report.add("E001", Place(Source.of(file, "")), "is UTF-16, not UTF-8", "save it as UTF-8")
        return
    before = raw[:at].decode("utf-8-sig", errors="replace")
    place = Place(
        Source.of(file, raw.decode("utf-8-sig", errors="replace")), before.count("\n") + 1, at and len(before) - before.rfind("\n")
    )
    report.add(
        "E001", place._replace(column=max(place.column, 1)), f"is not UTF-8: byte {at} is 0x{raw[at]:02x}", "save it as UTF-8"
    )


def read_text(file: str, text: str, report: Report, *, parser: Any = None) -> Node | None:  # noqa: ANN401 - PyYAML's loaders
    """Read one YAML document; None where it cannot be used. `parser` is the PyYAML loader class, the C one if there is."""
    source = Source.of(file, text)
    if len(text) > BYTES_MAX:
        report.add("E002", Place(source), f"larger than {BYTES_MAX // 1024} KiB")
        return None
    odd = Reader.NON_PRINTABLE.search(text)
    if odd is not None:
        at = odd.start()
        place = Place(source, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        report.add("E003", place, f"character {odd.group()!r} is not allowed", "an invisible character: delete it")
        return None
    hidden = _LINE_BREAKS.search(text)
    if hidden is not None:
        place = Place(source, text.count("\n", 0, hidden.start()) + 1, hidden.start() - text.rfind("\n", 0, hidden.start()))
        report.add("E083", place, f"an invisible line break, U+{ord(hidden.group()):04X}", "delete it and write a line break")
        return None
    tabs = list(_TAB_INDENT.finditer(text))
    for tab in tabs:
        place = Place(source, text.count("\n", 0, tab.start()) + 1, tab.end() - tab.start())
        report.add("E007", place, "a tab cannot indent YAML", "use blanks")
    # Elsewhere a tab parts words as a blank does; of the two parsers only one knows that everywhere.
    if tabs:
        return None
    # Likewise one of them ends a word of a flow mapping or list at a question mark.
    parsable = text.replace("\t", " ") if _ASKED in text else _QUESTION.sub(_ASKED, text.replace("\t", " "))
    return _parsed(source, parsable, report, parser or _PARSER)


def _parsed(source: Source, text: str, report: Report, parser: Any) -> Node | None:  # noqa: ANN401 - PyYAML's loaders
    """Return the tree; where one character is the mistake, another one in its place lets the rest be read in the same run."""
    for _ in range(_RETRIES_MAX):
        try:
            return _Composer(source, report).compose(yaml.parse(text, Loader=parser))
        except _Stop:
            return None
        except yaml.MarkedYAMLError as error:
            trouble = explained(error, source)
            place = trouble.place
            report.add(trouble.code, place, trouble.message, trouble.hint, is_cause=True)
            if not trouble.instead or not place.text[place.column - 1 :]:
                return None
            report.mute(place)
            at = sum(len(line) + 1 for line in source.lines[: place.line - 1]) + place.column - 1
            text = "\n".join(source.lines) if len(text) != len("\n".join(source.lines)) else text
            text = text[:at] + trouble.instead + text[at + 1 :]
        except yaml.YAMLError as error:
            report.add("E003", Place(source), f"is not YAML: {' '.join(str(error).split())}")
            return None
    return None


class _Composer:
    """Builds the tree from parser events without recursion: depth and size are checked before anything is built."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._nodes = 0
        self._anchors: set[str] = set()

    def compose(self, events: Iterator[Any]) -> Node | None:
        """Return the tree of the only document."""
        root: Node | None = None
        stack: list[_Open] = []
        documents = 0
        for event in events:
            place = Place(self._source, event.start_mark.line + 1, event.start_mark.column + 1)
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self._report.add("E003", place, "a second document starts here", "one file holds one document; remove ---")
                        raise _Stop
                    continue
                case yaml.ScalarEvent() | yaml.AliasEvent():
                    node: Node = self._scalar(event, place, stack[-1] if stack else None)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._open(event, place, stack)
                    continue
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    node = stack.pop().close()
                case _:
                    continue
            self._count(place)
            if stack:
                stack[-1].add(node, self._report)
            else:
                root = node
        return root

    def _open(self, event: Any, place: Place, stack: list[_Open]) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        self._refuse_marks(event, place)
        if len(stack) >= DEPTH_MAX:
            self._report.add("E009", place, f"nested deeper than {DEPTH_MAX} levels")
            raise _Stop
        stack.append(_Open(place, is_table=isinstance(event, yaml.MappingStartEvent), is_flow=bool(event.flow_style)))

    def _count(self, place: Place) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._report.add("E010", place, f"more than {NODES_MAX} values")
            raise _Stop

    def _scalar(self, event: Any, place: Place, inside: _Open | None) -> Scalar:  # noqa: ANN401 - PyYAML's events are untyped
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor or "", place, inside)
        is_quoted = self._refuse_marks(event, place)
        self._refuse_glued(event, inside)
        text, style = event.value.replace(_ASKED, "?"), event.style or ""
        is_flow = inside is not None and inside.is_flow
        if is_flow and not style and text.count("(") != text.count(")"):
            if text.count("(") > text.count(")"):
                self._report.add("E012", place, f"a comma inside {{ }} or [ ] cuts the expression at {text!r}", QUOTE_EXPRESSION)
            # The one problem is reported; a harmless value keeps the torn expression from making more of them.
            return Scalar("0", "0", place, TORN)
        return Scalar(text if style or is_quoted else resolve(text), text, place, style)

    def _refuse_glued(self, event: Any, inside: _Open | None) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        """Refuse ``{key:[a]}``, which only one of the parsers takes for a key."""
        end = event.end_mark
        line = self._source.lines[end.line] if end.line < len(self._source.lines) else ""
        if inside is not None and inside.is_flow and not event.style and _GLUED.match(line, end.column):
            self._report.add("E003", Place(self._source, end.line + 1, end.column + 1), NO_BLANK, "key: value")
            raise _Stop

    def _alias(self, name: str, place: Place, inside: _Open | None) -> Scalar:
        if inside is not None and inside.is_merge:
            return Scalar(None, "", place)
        if name in self._anchors:
            self._report.add("E005", place, f"*{name} is a YAML alias, which is not allowed", _WRITE_OUT)
        else:
            self._report.add("E008", place, f"*{name} is a YAML alias, which is not allowed", QUOTE_PATTERN)
        return Scalar(f"*{name}", f"*{name}", place, TORN)

    def _refuse_marks(self, event: Any, place: Place) -> bool:  # noqa: ANN401 - PyYAML's events are untyped
        if event.anchor:
            self._anchors.add(event.anchor)
            self._report.add("E005", place, f"&{event.anchor} is a YAML anchor, which is not allowed", _WRITE_OUT)
        if event.tag is None:
            return False
        if event.tag == "!":
            self._report.add("E008", place, "! is a YAML tag, which is not allowed", f"to negate, write not; {QUOTE_PATTERN}")
        elif event.tag.startswith(_YAML_TAG):
            self._report.add(
                "E006", place, f"!!{event.tag.removeprefix(_YAML_TAG)} is a YAML tag, which is not allowed", "remove it"
            )
        else:
            self._report.add("E006", place, f"{event.tag} is a YAML tag, which is not allowed", QUOTE_PATTERN)
        return True


class _Open:
    """A mapping or sequence whose end has not come."""

    def __init__(self, place: Place, *, is_table: bool, is_flow: bool) -> None:
        self.is_flow = is_flow
        self._place = place
        self._is_table = is_table
        self._items: list[Node] = []
        self._entries: dict[str, Entry] = {}
        self._key: Scalar | None = None
        self._is_key_next = True
        self._is_torn = False

    @property
    def is_merge(self) -> bool:
        """Whether the value of a merge key comes next."""
        return self._is_table and not self._is_key_next and self._key is None

    def add(self, node: Node, report: Report) -> None:
        """Take the next key, value or item."""
        if not self._is_table:
            self._items.append(node)
        elif self._is_key_next:
            self._key = self._checked_key(node, report)
            self._is_key_next = False
        else:
            self._is_key_next = True
            self._put(node, report)

    def close(self) -> Node:
        """Return what was collected."""
        return Table(self._entries, self._place, self._is_torn) if self._is_table else Items(tuple(self._items), self._place)

    def _report_bare(self, key: Scalar, report: Report) -> None:
        is_rest = any(isinstance(entry.node, Scalar) and entry.node.text == "0" for entry in self._entries.values())
        if not is_rest:
            report.add("E012", key.place, f"{key.text!r} became a key of its own", QUOTE_EXPRESSION)

    def _checked_key(self, node: Node, report: Report) -> Scalar | None:
        if not isinstance(node, Scalar):
            report.add("E011", node.place, "a key must be a text")
            self._is_torn = True
            return None
        if node.text == "<<" and not node.style:
            report.add("E005", node.place, "<< is a YAML merge key, which is not allowed", "write the keys out, or use override:")
            self._is_torn = True
            return None
        return node

    def _put(self, node: Node, report: Report) -> None:
        key = self._key
        if key is None:
            return
        before = self._entries.get(key.text)
        is_bare = self.is_flow and isinstance(node, Scalar) and not node.text and not node.style
        if is_bare:
            self._report_bare(key, report)
        elif before is not None:
            report.add("E004", key.place, f"{key.text!r} is already set on line {before.key.line}", "keep one of the two")
        else:
            self._entries[key.text] = Entry(key.place, node)
