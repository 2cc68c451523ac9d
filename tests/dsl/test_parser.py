from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dsl.parser import parse
from guard.dsl.syntax import written
from guard.dsl.tokens import ExpressionError


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a and b or c", "a and b or c"),
        ("a and (b or c)", "a and (b or c)"),
        ("not a and b", "not a and b"),
        ("not (a and b)", "not (a and b)"),
        ("1 - (2 - 3)", "1 - (2 - 3)"),
        ("(1 - 2) - 3", "1 - 2 - 3"),
        ("-a * b", "-a * b"),
        ("-(a * b)", "-(a * b)"),
        ("1 < a <= 2", "1 < a <= 2"),
        ("a + 1 > b * 2", "a + 1 > b * 2"),
        ("market.symbol not in $majors", "market.symbol not in $majors"),
        ("ret( 60s ,baseline = 6h)", "ret(60s, baseline=6h)"),
        ("x in ['A/B', 'C']", "x in ['A/B', 'C']"),
        ("a / b / c", "a / b / c"),
        ("a / (b / c)", "a / (b / c)"),
    ],
)
def test_precedence_is_kept_by_the_canonical_text(text: str, canonical: str) -> None:
    assert written(parse(text)) == canonical
    assert written(parse(canonical)) == canonical


@pytest.mark.parametrize(
    ("text", "start", "says"),
    [
        ("", 0, "empty"),
        ("  ", 0, "empty"),
        ("a b", 2, "expected an operator"),
        ("a = 3", 2, "expected an operator"),
        ("(a", 2, "to close"),
        ("f(a", 3, "to close"),
        ("f(a=1, b)", 7, "without a name"),
        ("a +", 3, "expected a value"),
        ("and b", 0, "expected a value"),
        ("a not b", 6, "expected 'in'"),
        ("(" * 100 + "a" + ")" * 100, 41, "deeper than 40"),
        ("-" * 100 + "a", 41, "deeper than 40"),
        ("not " * 100 + "a", 164, "deeper than 40"),
        ("[" * 390, 41, "deeper than 40"),
        ("a.b.c", 3, "no meaning"),
        ("lambda: 1", 6, "no meaning"),
        ("a if b else c", 2, "expected an operator"),
        ("__import__('os')(1)", 16, "expected an operator"),
    ],
)
def test_broken_expression_is_refused_where_it_breaks(text: str, start: int, says: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert says in caught.value.message
    assert caught.value.start == start


names = st.sampled_from(["a", "ret", "pump.score", "market.symbol"])
leaves = st.one_of(names, st.sampled_from(["3", "3%", "20bp", "60s", "5x", "$majors", "'BTC/USDT'", "[a, b]"]))


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from(["and", "or", "+", "-", "*", "/", "<", "<=", ">", "==", "!=", "in", "not in"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, binary, inner),
        st.builds("not {}".format, inner),
        st.builds("-({})".format, inner),
        st.builds("f({}, k={})".format, inner, inner),
    )


expressions = st.recursive(leaves, _grow, max_leaves=12)


@given(expressions)
def test_written_form_parses_to_the_same_written_form(text: str) -> None:
    once = written(parse(text))
    assert written(parse(once)) == once


fragments = st.lists(
    st.sampled_from(
        ["a", "(", ")", "[", "]", ",", "=", "and", "or", "not", "in", "<", "==", "+", "-", "3%", "'x'", "$l", ".", "f(", " "]
    )
)


@given(fragments.map("".join))
def test_any_words_give_a_tree_or_our_error(text: str) -> None:
    try:
        tree = parse(text)
    except ExpressionError as error:
        start, end = error.start, len(text)
    else:
        start, end = tree.start, tree.end
    assert 0 <= start <= end <= len(text)
