"""YAML, read strictly: a text becomes a positioned tree, or problems that name line and column."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING, Any

import yaml
from yaml.reader import Reader

from guard.dsl.document import Entry, Items, Node, Scalar, Table
from guard.dsl.problems import Place, Report, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BYTES_MAX", "DEPTH_MAX", "NODES_MAX", "read_file", "read_text", "resolve"]

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

_QUOTE_PATTERN = 'quote a pattern that starts with *, ! or &: symbol: "*/USDT"'
_QUOTE_EXPRESSION = 'quote an expression inside { } or [ ]: {value: "ramp(x, 1%, 6%)"}'


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
        report.add("E001", nowhere, f"cannot be read: {getattr(error, 'strerror', None) or error}")
        return None
    if len(raw) > BYTES_MAX:
        report.add("E002", nowhere, f"larger than {BYTES_MAX // 1024} KiB")
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        report.add("E001", nowhere._replace(line=line), f"is not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}")
        return None
    return read_text(file, text, report)


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
        report.add("E003", place, f"character {odd.group()!r} is not allowed")
        return None
    try:
        return _composed(text, parser or _PARSER, source, report)
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        _explain(error, source, report)
        return None
    except yaml.YAMLError as error:
        report.add("E003", Place(source), f"is not YAML: {' '.join(str(error).split())}")
        return None


def _explain(error: yaml.MarkedYAMLError, source: Source, report: Report) -> None:
    mark = error.problem_mark or error.context_mark
    place = Place(source) if mark is None else Place(source, mark.line + 1, mark.column + 1)
    if place.line > len(source.lines):
        place = Place(source, len(source.lines), len(source.lines[-1]) + 1)
    before = place.text[: place.column].rstrip()
    found = place.text[place.column - 1 : place.column]
    message = (error.problem or "cannot be read").replace("\t", "\\t")
    last = before[-2:-1] if len(before) > 1 else before[-1:]
    if found == "\t" or "\\t" in message or "'\t'" in message:
        report.add("E007", place, "a tab cannot indent YAML", "use spaces")
    elif "alias" in str(error.context) or "anchor" in str(error.context) or "tag" in str(error.context) or last in ("*", "!", "&"):
        report.add("E008", place, f"{message}: *, ! and & have a meaning of their own in YAML", _QUOTE_PATTERN)
    else:
        report.add("E003", place, message, _hint(message, found))


def _hint(message: str, found: str) -> str:
    if "mapping values are not allowed" in message:
        return 'a colon and a blank inside a text: quote the text, "a: b"'
    if found in ("%", "@", "`"):
        return f"a text cannot start with {found}: quote it"
    if found in (">", "|") or "block scalar" in message:
        return 'quote an expression that starts with > or |, for example "> 3" needs its left side too'
    if "expected <block end>" in message or "could not find expected ':'" in message:
        return "look at the indentation of this line and the one above, and for an unclosed quote or bracket"
    return ""


def _composed(text: str, parser: Any, source: Source, report: Report) -> Node | None:  # noqa: ANN401 - PyYAML's loaders
    loader = parser(text)
    try:
        return _Composer(source, report).compose(iter(loader.get_event, None))
    finally:
        loader.dispose()


class _Composer:
    """Builds the tree from parser events without recursion: depth and size are checked before anything is built."""

    def __init__(self, source: Source, report: Report) -> None:
        self._source = source
        self._report = report
        self._documents = 0

    def compose(self, events: Iterator[Any]) -> Node | None:  # noqa: C901, PLR0915 - the loop that every word of a file passes
        """Return the tree of the only document."""
        source = self._source
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
                text, style = event.value, event.style or ""
                is_torn = is_flow and not style and (not text or "(" in text or ")" in text)
                if is_torn or event.tag is not None or event.anchor or nodes >= NODES_MAX:
                    node = self._scalar(event, place, is_flow=is_flow)
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
                mark = event.start_mark
                place = _new(Place, (source, mark.line + 1, mark.column + 1, False))
                self._check_open(event, place, len(stack))
                stack.append(top)
                top.key, key = key, None
                is_flow = bool(event.flow_style)
                top = _Open(place, is_table=kind is table, is_flow=is_flow)
                entries = top.entries
                continue
            elif kind in ends:
                node = _new(Items, (tuple(top.items), top.place)) if entries is None else _new(Table, (entries, top.place))
                top = stack.pop()
                entries, is_flow, key = top.entries, top.is_flow, top.key
            elif (alias := self._rare(event)) is not None:
                node = alias
            else:
                continue
            nodes += 1
            if nodes > NODES_MAX:
                self._too_many(node)
            top.key = key
            top.add(node, self._report)
            key = top.key
        return root.items[0] if root.items else None

    def _place(self, event: Any) -> Place:  # noqa: ANN401 - PyYAML's events are untyped
        return Place(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _rare(self, event: Any) -> Scalar | None:  # noqa: ANN401 - PyYAML's events are untyped
        """Return what an alias stands for here, which is itself; None for what is no value."""
        if isinstance(event, yaml.DocumentStartEvent):
            self._count_document(event)
        if not isinstance(event, yaml.AliasEvent):
            return None
        place = self._place(event)
        self._report.add("E008", place, f"*{event.anchor} is a YAML alias, which is not allowed", _QUOTE_PATTERN)
        return Scalar(f"*{event.anchor}", f"*{event.anchor}", place)

    def _count_document(self, event: Any) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        self._documents += 1
        if self._documents > 1:
            hint = "one file holds one document; remove ---"
            self._report.add("E003", self._place(event), "a second document starts here", hint)
            raise _Stop

    def _check_open(self, event: Any, place: Place, depth: int) -> None:  # noqa: ANN401 - PyYAML's events are untyped
        if event.tag is not None or event.anchor:
            self._refuse_marks(event, place)
        if depth >= DEPTH_MAX:
            self._report.add("E009", place, f"nested deeper than {DEPTH_MAX} levels")
            raise _Stop

    def _too_many(self, node: Node) -> None:
        self._report.add("E010", node.place, f"more than {NODES_MAX} values")
        raise _Stop

    def _scalar(self, event: Any, place: Place, *, is_flow: bool) -> Scalar:  # noqa: ANN401 - PyYAML's events are untyped
        is_quoted = self._refuse_marks(event, place)
        text, style = event.value, event.style or ""
        if is_flow and not style and text.count("(") != text.count(")"):
            if text.count("(") > text.count(")"):
                self._report.add("E012", place, f"a comma inside {{ }} or [ ] cuts the expression at {text!r}", _QUOTE_EXPRESSION)
            # The one problem is reported; a harmless value keeps the torn expression from making more of them.
            return Scalar(0, "0", place)
        return Scalar(text if style or is_quoted else resolve(text), text, place, style)

    def _refuse_marks(self, event: Any, place: Place) -> bool:  # noqa: ANN401 - PyYAML's events are untyped
        if event.anchor:
            self._report.add(
                "E005",
                place,
                f"&{event.anchor} is a YAML anchor, which is not allowed",
                "write the value out, or use lists: and macros:",
            )
        if event.tag is None:
            return False
        if event.tag == "!":
            self._report.add("E008", place, "! is a YAML tag, which is not allowed", _QUOTE_PATTERN)
        else:
            self._report.add("E006", place, f"{event.tag} is a YAML tag, which is not allowed", _QUOTE_PATTERN)
        return True


class _Open:
    """A mapping or sequence whose end has not come.

    `key` is the key whose value comes next; where that one cannot be used, `is_key_bad`.
    """

    __slots__ = ("_has_torn", "entries", "is_flow", "is_key_bad", "items", "key", "place")

    def __init__(self, place: Place, *, is_table: bool, is_flow: bool) -> None:
        self.is_flow = is_flow
        self.place = place
        self.items: list[Node] = []
        self.entries: dict[str, Entry] | None = {} if is_table else None
        self.key: tuple[str, Place] | None = None
        self.is_key_bad = False
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

    def _put(self, key: tuple[str, Place], node: Node, entries: dict[str, Entry], report: Report) -> None:
        text, place = key
        before = entries.get(text)
        if self.is_flow and isinstance(node, Scalar) and not node.text and not node.style:
            # What follows a torn expression as keys is the rest of it, which was reported already.
            if not self._has_torn:
                report.add("E012", place, f"{text!r} became a key of its own", _QUOTE_EXPRESSION)
        elif before is not None:
            report.add("E004", place, f"{text!r} is already set on line {before.key.line}", "keep one of the two")
        else:
            entries[text] = Entry(place, node)
            self._has_torn |= isinstance(node, Scalar) and node.text == "0"


def _checked_key(node: Node, report: Report) -> tuple[str, Place] | None:
    if not isinstance(node, Scalar):
        report.add("E011", node.place, "a key must be a text")
        return None
    if node.text == "<<" and not node.style:
        report.add("E005", node.place, "<< is a YAML merge key, which is not allowed", "write the keys out, or use override:")
        return None
    return node.text, node.place
