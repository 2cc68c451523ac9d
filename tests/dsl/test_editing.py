"""Changes of guard.yaml: in place, in the style of the file, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.dsl.document import plain
from guard.dsl.editing import Edit, NotEditable, by_hand, with_override
from guard.dsl.problems import Report
from guard.dsl.reading import read_text

BASE = "version: 1\nrules: [guard:pump_dump]\nexchanges: {sim: {connector: sim}}\n"


def tree(text: str) -> object:
    report = Report()
    root = read_text("guard.yaml", text, report)
    assert root is not None, report.problems
    assert not report.errors
    return plain(root)


def edited(text: str, rule: str = "pump_dump", value: str = "alert") -> Edit:
    return with_override(text, read_text("guard.yaml", text, Report()), rule, "mode", value)


def expected(text: str, rule: str = "pump_dump", value: str = "alert") -> object:
    document = tree(text)
    assert isinstance(document, dict)
    override = document.get("override", {})
    return {**document, "override": {**override, rule: {**override.get(rule, {}), "mode": value}}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # none is there: after rules, before what belongs to the next key
        ("rules: [a]\nmode: alert\n", "rules: [a]\noverride:\n  pump_dump: {mode: alert}\nmode: alert\n"),
        ("rules: [a]", "rules: [a]\noverride:\n  pump_dump: {mode: alert}\n"),
        (
            "rules:  # mine\n  - a\n  - b # last\n\n# who is told\nalerts: {}\n",
            "rules:  # mine\n  - a\n  - b # last\n\noverride:\n  pump_dump: {mode: alert}\n\n# who is told\nalerts: {}\n",
        ),
        ("mode: alert\n# end\n", "mode: alert\noverride:\n  pump_dump: {mode: alert}\n# end\n"),
        ("{rules: [a]}\n", "{override: {pump_dump: {mode: alert}}, rules: [a]}\n"),
        ("rules: [a]\r\nmode: alert\r\n", "rules: [a]\r\noverride:\r\n  pump_dump: {mode: alert}\r\nmode: alert\r\n"),
        # one is there, for others
        ("override: {}\n", "override: {pump_dump: {mode: alert}}\n"),
        ("override: {b: {for: 5s}}\n", "override: {pump_dump: {mode: alert}, b: {for: 5s}}\n"),
        (
            "override:  # why\n    # of b\n    b:\n      for: 5s\n",
            "override:  # why\n    pump_dump: {mode: alert}\n    # of b\n    b:\n      for: 5s\n",
        ),
        # the rule is there, without a mode
        ("override: {pump_dump: {for: 5s}}\n", "override: {pump_dump: {mode: alert, for: 5s}}\n"),
        ("override:\n  pump_dump: {}\n", "override:\n  pump_dump: {mode: alert}\n"),
        (
            "override:\n  pump_dump:  # slower\n      for: 5s  # was 2s\n",
            "override:\n  pump_dump:  # slower\n      mode: alert\n      for: 5s  # was 2s\n",
        ),
        # the mode is there
        ("override: {pump_dump: {mode: shadow}}\n", "override: {pump_dump: {mode: alert}}\n"),
        (
            "override:\n  pump_dump:\n    mode: shadow  # until May\n    for: 5s\n",
            "override:\n  pump_dump:\n    mode: alert  # until May\n    for: 5s\n",
        ),
        ("override:\n  pump_dump:\n    mode: 'shadow'\n", "override:\n  pump_dump:\n    mode: alert\n"),
        ('override: {pump_dump: {mode: "shadow"}}', "override: {pump_dump: {mode: alert}}"),
        ('override: {pump_dump: {title: "ü💣", mode: shadow}}', 'override: {pump_dump: {title: "ü💣", mode: alert}}'),
    ],
)
def test_a_mode_is_written_where_and_as_a_person_would(before: str, after: str) -> None:
    change = edited(before)
    assert change.text == after
    lines = after.splitlines()
    assert lines[change.line - 1 : change.line - 1 + len(change.added)] == list(change.added)
    assert tree(after) == expected(before)


@pytest.mark.parametrize(
    "text",
    [
        "override:\n  pump_dump:\n    mode: >\n      shadow\n",
        'override: {pump_dump: {mode: "sha\\x64ow"}}\n',
        "override: {pump_dump: {mode: [shadow]}}\n",
        "override: {pump_dump: alert}\n",
        "override: [a]\n",
        "override:\n",
        "override:\n  pump_dump:\n",
        "override:\n  ? pump_dump\n  : ? mode\n    : shadow\n    ? for\n    : 1s\n",
        "  rules: [a]\n  mode: alert\n",
        "[a]\n",
        "rules\n",
        "",
    ],
)
def test_a_shape_with_no_sure_place_is_refused_or_right(text: str) -> None:
    try:
        change = edited(text)
    except NotEditable:
        return
    assert tree(change.text) == expected(text)


def test_the_lines_to_add_by_hand_are_an_override() -> None:
    assert tree(BASE + by_hand("pump_dump", "mode", "alert")) == expected(BASE)


WORDS = st.text(st.characters(codec="ascii", categories=("L", "N"), include_characters=" -.,'\"{}[]#:"), max_size=12)
NOISE = st.lists(WORDS.map(lambda words: f"# {words}") | st.just(""), max_size=3)
RULE = st.sampled_from(["pump_dump", "spoofing", "wash_trading"])
BODY = st.dictionaries(
    st.sampled_from(["mode", "for", "why", "title"]), st.sampled_from(["shadow", "5s", "'a: b'", '"x # y"']), min_size=1
)


@st.composite
def sections(draw: st.DrawFn) -> list[str]:
    """Draw the lines of an override in one of the styles that people write."""
    rules = draw(st.dictionaries(RULE, BODY, min_size=1, max_size=3))
    indent = " " * draw(st.integers(1, 4))
    flows = [f"{name}: {{{', '.join(f'{key}: {value}' for key, value in body.items())}}}" for name, body in rules.items()]
    match draw(st.sampled_from(["flow", "mixed", "block"])):
        case "flow":
            return [f"override: {{{', '.join(flows)}}}"]
        case "mixed":
            return ["override:", *(line for flow in flows for line in (*_indented(draw(NOISE), indent), indent + flow))]
        case _:
            lines = ["override:"]
            for name, body in rules.items():
                lines += [*_indented(draw(NOISE), indent), f"{indent}{name}:"]
                for key, value in body.items():
                    lines += [*_indented(draw(NOISE), indent * 2), f"{indent * 2}{key}: {value}"]
            return lines


def _indented(lines: list[str], indent: str) -> list[str]:
    return [indent + line if line else line for line in lines]


@st.composite
def files(draw: st.DrawFn) -> str:
    """Draw a guard.yaml with comments anywhere, keys in any order, and perhaps an override."""
    parts = [["version: 1"], ["rules:", "  - guard:pump_dump", "  - rules/*.yaml"], ["exchanges:", "  sim: {connector: sim}"]]
    if draw(st.booleans()):
        parts.append(draw(sections()))
    lines: list[str] = []
    for part in draw(st.permutations(parts)):
        lines += [*draw(NOISE), *part]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join([*lines, *draw(NOISE)]) + draw(st.sampled_from(["", end]))


@settings(max_examples=150, deadline=None)
@given(files(), RULE)
def test_whatever_people_write_one_key_changes_and_every_other_line_stays(text: str, rule: str) -> None:
    change = edited(text, rule)
    assert tree(change.text) == expected(text, rule)
    before, after = text.splitlines(), change.text.splitlines()
    at = change.line - 1
    assert after[:at] == before[:at]
    assert after[at + len(change.added) :] == before[at + len(change.removed) :]
    assert edited(change.text, rule).text == change.text
