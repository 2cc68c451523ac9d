"""The fuzzers, briefly and always the same way; ``make fuzz SECONDS=60`` runs them for long."""

from __future__ import annotations

import pytest
from fuzz import seeds
from fuzz.campaign import campaign, steps
from fuzz.targets import TARGETS, Target
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.dsl import matches
from guard.dsl.parser import parse
from guard.dsl.problems import Report
from guard.dsl.reading import BYTES_MAX, read_text
from guard.dsl.syntax import written
from guard.dsl.tokens import UNITS, ExpressionError, tokenize

_CASES = {
    "tokens": 3_000,
    "expression": 120,
    "yaml": 250,
    "pack": 70,
    "screens": 10,
    "configuration": 70,
    "case": 150,
    "small": 400,
}
SAME = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", TARGETS)
def test_fuzzer_finds_no_foreign_exception(name: str) -> None:
    run = campaign(TARGETS[name], seed=7, cases=_CASES[name] + len(TARGETS[name].seeds()))
    assert run.failures == ()
    assert run.cases == _CASES[name] + len(TARGETS[name].seeds())


def test_campaign_tells_what_raised() -> None:
    def broken(text: str) -> None:
        if "9" in text:
            raise ZeroDivisionError(text[:5])

    (failure,) = campaign(Target("broken", lambda: ["9", "x"], broken, 50), seed=1, cases=2).failures
    assert (failure.text, failure.what) == ("9", "ZeroDivisionError: 9")


def test_long_campaign_tells_what_was_slow() -> None:
    def slow(_text: str) -> None:
        sum(range(1_000))

    (failure,) = campaign(Target("slow", lambda: ["x"], slow, 50, slow_s=0.0), seed=1, cases=1, judges_time=True).failures
    assert failure.where == "slow"


def test_campaign_takes_the_same_course_for_the_same_seed() -> None:
    courses: list[list[str]] = []
    for seed in (1, 1, 2):
        course: list[str] = []
        campaign(Target("kept", lambda: ["a: b", "c > 1"], course.append, 60), seed=seed, cases=60)
        courses.append(course)
    assert courses[0] == courses[1] != courses[2]


def test_seeds_come_from_what_is_shipped() -> None:
    assert len(seeds.packs()) >= 7
    assert len(seeds.cases()) >= 6
    assert {"quarantine", "release", "vol_z", "pump_dump", "ramp", "60s", "scope"} <= set(seeds.words())
    assert "pump.score > 0.5" in seeds.expressions()


_NAMES = st.sampled_from(["ret", "a", "x1", "market.symbol", "pump.score", "true", "score"])
_NUMBERS = st.one_of(
    st.integers(0, 10**12).map(str),
    st.floats(0, 1e15, allow_nan=False).map(lambda value: f"{value:.6f}"),
    st.sampled_from(["0", "1e3", "1e308", "2.50"]),
)
_LEAVES = st.one_of(
    _NAMES,
    st.builds("{}{}".format, _NUMBERS, st.sampled_from([unit for unit in UNITS if unit])),
    _NUMBERS,
    st.sampled_from(["$majors", "'BTC/USDT'", '"it\'s"', "[a, 'B/C']", "[]"]),
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operator = st.sampled_from(["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=", "and", "or", "in", "not in"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, operator, inner),
        st.builds("{} {} {}".format, inner, operator, inner),
        st.builds("not {}".format, inner),
        st.builds("-{}".format, inner),
        st.builds("({} < {} <= {})".format, inner, inner, inner),
        st.builds("ramp({}, {}, {})".format, inner, inner, inner),
        st.builds("vol_z({}, baseline={})".format, inner, inner),
    )


@SAME
@given(st.recursive(_LEAVES, _compound, max_leaves=25))
def test_what_is_written_of_a_tree_reads_as_the_same_tree(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError:
        return
    again = parse(written(tree))
    assert _shape(again) == _shape(tree)
    assert written(again) == written(tree)


def _shape(node: object) -> object:
    """Return a tree without the places in its text."""
    if isinstance(node, tuple):
        return tuple(_shape(item) for item in node if not isinstance(item, int))
    names = [name for name in getattr(node, "__slots__", ()) if name not in ("start", "end")]
    return (type(node).__name__, *(_shape(getattr(node, name)) for name in names)) if names else node


@SAME
@given(st.text(max_size=200))
def test_any_text_is_refused_in_the_languages_own_words(text: str) -> None:
    for name in ("tokens", "expression", "small"):
        TARGETS[name].run(text)


@SAME
@given(
    st.dictionaries(
        st.sampled_from(["version", "lists", "macros", "rules", "override", "x"]),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats()
            | st.text(max_size=12)
            | st.sampled_from(["30s", "alert", "ret(60s) > 1%"]),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["one", "when", "level", "risk", "scope", "use", "for", "actions", "detector"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=20,
        ),
        max_size=4,
    )
)
def test_any_tree_of_keys_is_refused_in_the_languages_own_words(tree: dict[str, object]) -> None:
    import yaml

    TARGETS["pack"].run(yaml.safe_dump(tree, allow_unicode=True))


@SAME
@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_pattern_matches_as_the_obvious_definition_does(pattern: str, text: str) -> None:
    reach = {0}
    for char in pattern:
        if char == "*":
            reach = set(range(min(reach), len(text) + 1)) if reach else set()
        else:
            reach = {at + 1 for at in reach if at < len(text) and char in ("?", text[at])}
    assert matches(pattern, text) == (len(text) in reach)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("expression", "a" * 5_000_000),
        ("expression", "(" * 5_000_000),
        ("tokens", "9" * 5_000_000),
        ("tokens", " " * 5_000_000),
        ("small", "*" * 500 + "a"),
        ("small", "9" * 100_000),
    ],
)
def test_huge_text_is_refused_in_steps_that_its_length_bounds(name: str, text: str) -> None:
    # Past the longest expression nothing looks at the rest of it.
    assert steps(TARGETS[name], text) < (1_000 if len(text) > 1_000_000 else 50 * len(text))


@pytest.mark.parametrize(
    "text",
    [
        "a:\n" * (BYTES_MAX // 3),
        "[" * (BYTES_MAX - 1),
        "{" * (BYTES_MAX - 1),
        "- " * (BYTES_MAX // 2 - 1),
        "{" + "a, " * (BYTES_MAX // 3 - 2) + "}",
        "&a " * (BYTES_MAX // 3 - 2),
    ],
    ids=["keys", "brackets", "braces", "dashes", "bare keys", "anchors"],
)
def test_file_of_the_largest_size_is_refused_in_linear_steps(text: str) -> None:
    def read(part: str) -> None:
        read_text("x.yaml", part, Report())

    target = Target("read", list, read, BYTES_MAX)
    small, large = steps(target, text[: BYTES_MAX // 8]), steps(target, text)
    assert large <= 9 * small


def test_ten_thousand_lines_take_steps_in_proportion() -> None:
    line = "  r{}: {{level: warning, when: ret(60s) > {}%}}\n"
    few, many = ("rules:\n" + "".join(line.format(at, at % 50 + 1) for at in range(count)) for count in (200, 1_600))
    assert steps(TARGETS["pack"], many) < 9 * steps(TARGETS["pack"], few)


def test_surrogate_and_null_in_an_expression_are_told_with_their_place() -> None:
    for text, at in (("a > \x00", 4), ("\ud800 > 1", 0), ("a > \u0663", 4)):
        with pytest.raises(ExpressionError) as caught:
            tokenize(text)
        assert caught.value.start == at
