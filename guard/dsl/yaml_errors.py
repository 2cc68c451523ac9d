"""What a YAML parser could not read, told by what stands in the file: both of PyYAML's parsers lead to the same words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.problems import Place

if TYPE_CHECKING:
    import yaml

    from guard.dsl.problems import Source

__all__ = ["NO_BLANK", "QUOTE_EXPRESSION", "QUOTE_PATTERN", "Trouble", "explained"]

QUOTE_PATTERN = 'quote a pattern that starts with *, ! or &: symbol: "*/USDT"'
QUOTE_EXPRESSION = 'quote an expression inside { } or [ ]: {value: "ramp(x, 1%, 6%)"}'
NO_BLANK = "a blank is missing after the colon"
_INDENTATION = "look at the blanks before this line and the ones above it"
_KEY = re.compile(r"\s*(- +)*([^\s:#\"'\[\]{}]+|\"[^\"]*\"|'[^']*'):\s+\S")
_TAG = re.compile(r"(?<=[\[{,\s])![^\s\"']*[\]},]")
_MARKS = {"*": "an alias", "&": "an anchor", "!": "a tag"}


class Trouble(NamedTuple):
    """One mistake of syntax. `instead` replaces the character at `place`, so that the rest of the file can be read."""

    code: str
    place: Place
    message: str
    hint: str = ""
    instead: str = ""


def explained(error: yaml.MarkedYAMLError, source: Source) -> Trouble:  # noqa: PLR0911 - one case for each kind of mistake
    """Return what a person has to know of an error of the parser."""
    problem, context = error.problem or "", error.context or ""
    place = _place(error.problem_mark or error.context_mark, source)
    opened = _place(error.context_mark or error.problem_mark, source)
    found = _at(place)
    if "alias" in context or "anchor" in context or "tag" in context or "undefined tag" in problem:
        return _mark(opened)
    if "quoted scalar" in context:
        return _quote(problem, place, opened)
    if "block scalar" in context:
        return _block(place)
    if "flow" in context:
        return _flow(found, place, opened)
    if "unexpected ':'" in problem:
        return Trouble("E003", place, NO_BLANK, "key: value")
    if "mapping values" in problem:
        return _colon(place)
    if "simple key" in context:
        return _no_colon(opened)
    if "cannot start any token" in problem:
        return Trouble("E003", place, f"a text cannot start with {found}", f'quote it: "{found}..."', instead="x")
    if "block" in context:
        return _indentation(place)
    return Trouble("E003", place, problem.replace("\t", "\\t") or "cannot be read")


def _place(mark: yaml.Mark | None, source: Source) -> Place:
    if mark is None:
        return Place(source)
    if mark.line >= len(source.lines):
        return Place(source, len(source.lines), len(source.lines[-1]) + 1)
    return Place(source, mark.line + 1, mark.column + 1)


def _at(place: Place) -> str:
    return place.text[place.column - 1 : place.column]


def _mark(place: Place) -> Trouble:
    """Explain what begins with *, & or !."""
    sign = next((sign for sign in (_at(place), place.text[place.column - 2 : place.column - 1]) if sign in _MARKS), "*")
    if sign == "!":
        return Trouble("E006", place, "! begins a YAML tag, which is not allowed", QUOTE_PATTERN, instead="x")
    return Trouble("E008", place, f"{sign} begins {_MARKS[sign]} of YAML, which is not allowed", QUOTE_PATTERN, instead="x")


def _quote(problem: str, place: Place, opened: Place) -> Trouble:
    if "escape" in problem:
        back = place.column - 1 if _at(place) != "\\" and place.text[: place.column - 1].endswith("\\") else place.column
        hint = r"write \\ for a backslash, or use single quotes, in which it means itself"
        return Trouble(
            "E003", place._replace(column=back), f"{place.text[back - 1 : back + 1]} means nothing inside double quotes", hint
        )
    hint = "close it with '; inside of it, '' stands for one quote" if _at(opened) == "'" else 'close it with "'
    return Trouble("E003", opened, "a quote is opened here and never closed", hint)


def _block(place: Place) -> Trouble:
    column = max(place.text.rfind(">", 0, place.column), place.text.rfind("|", 0, place.column)) + 1
    sign = place.text[column - 1 : column]
    message = f"{sign} at the beginning of a value starts a text over several lines"
    return Trouble(
        "E003", place._replace(column=max(column, 1)), message, 'a comparison needs its left side, "ret(60s) > 3%"; quote a text'
    )


def _flow(found: str, place: Place, opened: Place) -> Trouble:
    """Explain what stands between { } or [ ] where a comma or the end belongs."""
    bracket = _at(opened)
    # One of the parsers takes a bracket or comma for a part of a tag, and is at a loss later only.
    tag = _TAG.search(opened.text, opened.column)
    if tag is not None and (place.line > opened.line or tag.start() < place.column):
        return _mark(opened._replace(column=tag.start() + 1))
    if place.line != opened.line:
        return Trouble(
            "E003", opened, f"{bracket} is opened here and never closed", f"close it with {'}' if bracket == '{' else ']'}"
        )
    if found in ("[", "(", '"', "'"):
        return Trouble("E012", place, f"an expression with {found} cannot stand unquoted inside {{ }} or [ ]", QUOTE_EXPRESSION)
    if found == ":":
        return Trouble("E003", place, "a second colon inside { } or [ ]", 'a text with a colon and a blank needs quotes: "a: b"')
    return Trouble("E003", place, "expected a comma or the closing bracket here", QUOTE_EXPRESSION)


def _colon(place: Place) -> Trouble:
    before = place.text[: place.column - 1]
    if _KEY.match(before):
        hint = 'quote the text: key: "a: b"'
        return Trouble("E003", place, "a colon and a blank inside a text", hint, instead=";")
    start = len(before) - len(before.lstrip()) + 1
    return Trouble("E003", place._replace(column=start), "this line is indented deeper than its value allows", _INDENTATION)


def _no_colon(place: Place) -> Trouble:
    text = place.text[place.column - 1 :]
    key, colon, rest = text.partition(":")
    if colon and rest[:1] not in ("", " "):
        return Trouble("E003", place, f"{key}: needs a blank after its colon", f"{key}: {rest.strip()}")
    return Trouble(
        "E003", place, "a line without a colon where a key belongs", "key: value; a text over several lines needs quotes or >"
    )


def _indentation(place: Place) -> Trouble:
    before = place.text[: place.column - 1]
    if before.strip():
        if before.rstrip()[-1:] in ('"', "'"):
            hint = "quote the whole text; inside single quotes, '' stands for one quote"
            return Trouble("E003", place, "text after the closing quote", hint)
        return Trouble("E003", place, "this cannot stand here", "look for a quote or bracket that was closed before")
    if place.text[place.column - 1 :].startswith("- "):
        return Trouble("E003", place, "a list item (-) beside keys", _INDENTATION)
    above = next((line for line in reversed(place.source.lines[: place.line - 1]) if line.strip()), "")
    if above.lstrip().startswith("- ") and len(above) - len(above.lstrip()) == place.column - 1:
        return Trouble("E003", place, "a key beside list items (-)", _INDENTATION)
    message = f"this line begins at column {place.column}, where no line above it does"
    return Trouble("E003", place, message, _INDENTATION)
