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

_MISSING = {
    "guard.yaml": "guard init writes one; GUARD_CONFIG names one that lies elsewhere",
    "deadman.yaml": "write one as docs/heartbeat.md shows it; --config names one that lies elsewhere",
}
BYTES_MAX = 1024 * 1024
DEPTH_MAX = 20
NODES_MAX = 50_000
_NUMBER_CHARACTERS_MAX = 40

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?\Z")
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None, "true": True, "false": False, "True": True, "False": False}
_FIRST = frozenset([*"+-.0123456789", *(word[:1] for word in _WORDS)])
_LAST = frozenset(".0123456789")
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_QUESTION = re.compile(r"(?<=\S)\?")
_ASKED = "\ue000"
_GLUED = re.compile(r":[\[{,\]}]")
_RETRIES_MAX = 20
_RETRIES_MIN = 6
# Characters read again because of mistakes: every mistake of an ordinary pack is told in one run, and no file takes long.
_AGAIN_MAX = 60_000
_WRITE_OUT = "write the value out, or use lists: and macros:"
_YAML_TAG = "tag:yaml.org,2002:"
_TAB_INDENT = re.compile(r"^ *\t(?=[ \t]*[^\s#])", re.MULTILINE)
_LINE_BREAKS = re.compile("[\x85\u2028\u2029]")


_new: Any = tuple.__new__


class _Stop(Exception):
    """The rest of the file cannot be read."""


def resolve(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar means: null, true, false, a decimal number, else the text itself.

    Examples
    --------
    >>> resolve("NO"), resolve("12:30"), resolve("010"), resolve("1e3"), resolve("7")
    ('NO', '12:30', '010', 1000.0, 7)
    """
    if text[:1] not in _FIRST:
        return text
    if text in _WORDS:
        return _WORDS[text]
    # Most texts that begin like a number end in a unit: 30m, 1%.
    if text[-1] not in _LAST or len(text) > _NUMBER_CHARACTERS_MAX:
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
        hint = _MISSING.get(path.name, "") if isinstance(error, FileNotFoundError) else ""
        report.add("E001", nowhere, f"cannot be read: {getattr(error, 'strerror', None) or error}", hint)
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
    for _ in range(max(_RETRIES_MIN, min(_RETRIES_MAX, _AGAIN_MAX // max(1, len(text))))):
        try:
            return _composed(text, parser, source, report)
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


def _composed(text: str, parser: Any, source: Source, report: Report) -> Node | None:  # noqa: ANN401 - PyYAML's loaders
    loader = parser(text)
    try:
        return _Composer(source, report, text).compose(iter(loader.get_event, None))
    finally:
        loader.dispose()


class _Composer:
    """Builds the tree from parser events without recursion: depth and size are checked before anything is built."""

    def __init__(self, source: Source, report: Report, text: str) -> None:
        self._source = source
        self._report = report
        self._documents = 0
        self._anchors: set[str] = set()
        self._is_asked = _ASKED in text
        self._is_glued = _GLUED.search(text) is not None

    def compose(self, events: Iterator[Any]) -> Node | None:  # noqa: C901, PLR0912, PLR0915 - the loop that every word of a file passes
        """Return the tree of the only document."""
        source, report, is_asked, is_glued = self._source, self._report, self._is_asked, self._is_glued
        nodes, scalar, table, items = 0, yaml.ScalarEvent, yaml.MappingStartEvent, yaml.SequenceStartEvent
        ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
        stack: list[_Open] = []
        top = root = _Open(Place(source), is_table=False, is_flow=False)
        # What is open, in locals: the keys of a mapping (None in a sequence) and the key whose value comes next.
        entries, is_flow, key = top.entries, False, top.key
        for event in events:
            kind = type(event)
            node: Node
            if kind is scalar:
                mark = event.start_mark
                place: Place = _new(Place, (source, mark.line + 1, mark.column + 1, False))
                text, style = event.value.replace(_ASKED, "?") if is_asked else event.value, event.style or ""
                is_odd = is_flow and not style and (is_glued or not text or "(" in text or ")" in text)
                if is_odd or event.tag is not None or event.anchor or nodes >= NODES_MAX:
                    node = self._scalar(event, text, place, is_flow=is_flow)
                else:
                    # There is nothing to say of nearly all of them; what is left over goes on to `add`.
                    if entries is not None and key is None and text != "<<" and not top.is_key_bad:
                        nodes += 1
                        key = (text, place)
                        continue
                    node = _new(Scalar, (text if style or text[:1] not in _FIRST else resolve(text), text, place, style))
                    if entries is None:
                        nodes += 1
                        top.items.append(node)
                        continue
                    if key is not None and key[0] not in entries:
                        nodes += 1
                        entries[key[0]] = _new(Entry, (key[1], node))
                        key = None
                        continue
            elif kind is table or kind is items:
                stack.append(top)
                top.key, key = key, None
                top = self._opened(event, depth=len(stack) - 1, is_table=kind is table)
                entries, is_flow = top.entries, top.is_flow
                continue
            elif kind in ends:
                place = top.place
                node = _new(Items, (tuple(top.items), place)) if entries is None else _new(Table, (entries, place, top.is_torn))
                top = stack.pop()
                entries, is_flow, key = top.entries, top.is_flow, top.key
            elif kind is yaml.AliasEvent:
                place = self._place(event)
                node = self._alias(event.anchor or "", place, top)
            else:
                if kind is yaml.DocumentStartEvent:
                    self._count_document(event)
                continue
            nodes += 1
            if nodes > NODES_MAX:
                self._refuse_more(place)
            top.key = key
            top.add(node, report)
            key = top.key
        return root.items[0] if root.items else None

    def _refuse_more(self, place: Place) -> None:
        self._report.add("E010", place, f"more than {NODES_MAX} values")
        raise _Stop

    def _opened(self, event: Any, *, depth: int, is_table: bool) -> _Open:  # noqa: ANN401 - PyYAML's events are untyped
        mark = event.start_mark
        place: Place = _new(Place, (self._source, mark.line + 1, mark.column + 1, False))
        if event.tag is not None or event.anchor or depth >= DEPTH_MAX:
            self._check_open(event, place, depth)
        return _Open(place, is_table=is_table, is_flow=bool(event.flow_style))

    def _place(self, event: Any) -> Place:  # noqa: ANN401 - PyYAML's events are untyped
        return Place(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _count_document(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        self._documents += 1
        if self._documents > 1:
            hint = "one file holds one document; remove ---"
            self._report.add("E003", self._place(event), "a second document starts here", hint)
            raise _Stop

    def _check_open(self, event: Any, place: Place, depth: int) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        self._refuse_marks(event, place)
        if depth >= DEPTH_MAX:
            self._report.add("E009", place, f"nested deeper than {DEPTH_MAX} levels")
            raise _Stop

    def _scalar(self, event: Any, text: str, place: Place, *, is_flow: bool) -> Scalar:  # noqa: ANN401 - PyYAML's events are untyped
        is_quoted = self._refuse_marks(event, place)
        style = event.style or ""
        if is_flow and not style:
            self._refuse_glued(event)
        if is_flow and not style and text.count("(") != text.count(")"):
            if text.count("(") > text.count(")"):
                self._report.add("E012", place, f"a comma inside {{ }} or [ ] cuts the expression at {text!r}", QUOTE_EXPRESSION)
            # The one problem is reported; a harmless value keeps the torn expression from making more of them.
            return Scalar("0", "0", place, TORN)
        return Scalar(text if style or is_quoted else resolve(text), text, place, style)

    def _refuse_glued(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        """Refuse ``{key:[a]}``, which only one of the parsers takes for a key."""
        end = event.end_mark
        line = self._source.lines[end.line] if end.line < len(self._source.lines) else ""
        if _GLUED.match(line, end.column):
            self._report.add("E003", Place(self._source, end.line + 1, end.column + 1), NO_BLANK, "key: value")
            raise _Stop

    def _alias(self, name: str, place: Place, inside: _Open) -> Scalar:
        if inside.is_key_bad:
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
    """A mapping or sequence whose end has not come.

    `key` is the key whose value comes next; where that one cannot be used, `is_key_bad`.
    """

    __slots__ = ("_has_torn", "entries", "is_flow", "is_key_bad", "is_torn", "items", "key", "place")

    def __init__(self, place: Place, *, is_table: bool, is_flow: bool) -> None:
        self.is_flow = is_flow
        self.place = place
        self.items: list[Node] = []
        self.entries: dict[str, Entry] | None = {} if is_table else None
        self.key: tuple[str, Place] | None = None
        self.is_key_bad = False
        self.is_torn = False
        self._has_torn = False

    def add(self, node: Node, report: Report) -> None:
        """Take the next key, value or item."""
        key, entries = self.key, self.entries
        if entries is None:
            self.items.append(node)
        elif key is not None:
            self.key = None
            self._put(key, node, entries, report)
        elif self.is_key_bad:
            self.is_key_bad = False
        else:
            self.key = _checked_key(node, report)
            self.is_key_bad = self.key is None
            self.is_torn |= self.is_key_bad

    def _put(self, key: tuple[str, Place], node: Node, entries: dict[str, Entry], report: Report) -> None:
        text, place = key
        before = entries.get(text)
        if self.is_flow and isinstance(node, Scalar) and not node.text and not node.style:
            # What follows a torn expression as keys is the rest of it, which was reported already.
            if not self._has_torn:
                report.add("E012", place, f"{text!r} became a key of its own", QUOTE_EXPRESSION)
        elif before is not None:
            report.add("E004", place, f"{text!r} is already set on line {before.key.line}", "keep one of the two")
        else:
            entries[text] = Entry(place, node)
            self._has_torn |= isinstance(node, Scalar) and node.style == TORN


def _checked_key(node: Node, report: Report) -> tuple[str, Place] | None:
    if not isinstance(node, Scalar):
        report.add("E011", node.place, "a key must be a text")
        return None
    if node.text == "<<" and not node.style:
        report.add("E005", node.place, "<< is a YAML merge key, which is not allowed", "write the keys out, or use override:")
        return None
    return node.text, node.place
