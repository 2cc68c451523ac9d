"""The reference of the language is what the code says."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path

from guard.dsl import rules_from_text
from guard.dsl.calls import FUNCTIONS
from guard.dsl.language_page import language_page
from guard.dsl.parser import parse, precedence
from guard.dsl.problems import Report

PAGE = Path(__file__).parents[2] / "docs" / "language.md"


def test_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == language_page()


def shape(tree: object) -> object:
    """Return a tree without its positions."""
    if is_dataclass(tree):
        kept = (shape(getattr(tree, field.name)) for field in fields(tree) if field.name not in ("start", "end"))
        return type(tree).__name__, *kept
    return tuple(map(shape, tree)) if isinstance(tree, tuple) else tree


def test_operators_bind_as_the_page_says() -> None:
    rows = [[word for word in row if word not in ("- (sign)", "not", "in")] for row in precedence()]
    assert [len(row) for row in rows] == [0, 2, 2, 6, 0, 1, 1]
    for number, row in enumerate(rows):
        for looser in [word for other in rows[number + 1 :] for word in other]:
            for word in row:
                assert shape(parse(f"a {looser} b {word} c")) == shape(parse(f"a {looser} (b {word} c)"))
                assert shape(parse(f"a {word} b {looser} c")) == shape(parse(f"(a {word} b) {looser} c"))
    assert shape(parse("not a < b and c")) == shape(parse("(not (a < b)) and c"))
    assert shape(parse("-a * b")) == shape(parse("(-a) * b"))
    assert shape(parse("a + b in $l")) == shape(parse("(a + b) in $l"))


def test_every_function_is_written_as_the_page_says() -> None:
    for name, function in FUNCTIONS.items():
        assert function.shape.startswith(f"{name}(")
        assert function.least <= len(function.shape.split(",")) <= function.most


def test_the_keys_of_the_page_make_a_sound_rule() -> None:
    section = language_page().partition("### A rule")[2].partition("###")[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \| `?([^|`]*)`? \| `(.*)` \|$", section, re.MULTILINE)
    keys = "\n".join(f"    {key}: {example}" for key, _, example in rows if key != "level")
    report = Report()
    rules = rules_from_text(f"rules:\n  example:\n{keys}\n", report)
    assert len(rows) >= 15
    assert (report.problems, [rule.id for rule in rules.rules]) == ((), ["example"])
