from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.dsl.tokens import UNITS, ExpressionError, quantity, tokenize, written_quantity
from guard.features.tables import Unit


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("3", 3.0, Unit.NONE),
        ("3%", 0.03, Unit.RATIO),
        ("29%", 0.29, Unit.RATIO),
        ("20bp", 0.002, Unit.RATIO),
        ("250ms", 250_000.0, Unit.DURATION),
        ("10s", 10_000_000.0, Unit.DURATION),
        ("6h", 21_600_000_000.0, Unit.DURATION),
        ("20M", 20e6, Unit.NONE),
        ("1.5k", 1500.0, Unit.NONE),
        ("5x", 5.0, Unit.NONE),
        ("1e3", 1000.0, Unit.NONE),
    ],
)
def test_number_with_unit_has_its_value(text: str, value: float, unit: Unit) -> None:
    token = tokenize(text)[0]
    assert (token.value, token.unit) == (value, unit)
    assert quantity(text) == (value, unit)


@pytest.mark.parametrize(
    ("text", "start", "hint"),
    [
        ("a && b", 2, "and"),
        ("a || b", 2, "or"),
        ("2**3", 1, "multiply"),
        ("a ; b", 2, ""),
        ("'open", 0, ""),
        ("3 %", 2, "3%"),
        ("5parsecs", 0, "units"),
        ("1INCH", 0, "quote"),
        ("().__class__", 2, ""),
        ("9" * 5000, 0, ""),
        ("a" * 5000, 0, ""),
        ("a " * 500, 800, "let"),
        ("1e999", 0, ""),
        ("{x}", 0, ""),
    ],
)
def test_odd_text_is_refused_at_its_offset(text: str, start: int, hint: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        tokenize(text)
    assert caught.value.start == start
    assert hint in caught.value.hint


@given(st.text(max_size=200))
def test_any_text_gives_tokens_or_our_error(text: str) -> None:
    try:
        tokens = tokenize(text)
    except ExpressionError as error:
        start, words = error.start, ["?"]
    else:
        start, words = tokens[-1].start, [text[token.start : token.end].strip() for token in tokens[:-1]]
    assert 0 <= start <= len(text)
    assert all(words)


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_not(text: str) -> None:
    assert quantity(text) is None or isinstance(quantity(text), tuple)


@given(st.integers(1, 10**9), st.sampled_from(sorted(UNITS)))
def test_written_duration_reads_back(count: int, suffix: str) -> None:
    found = quantity(f"{count}{suffix}")
    assert found is not None
    if found[1] is Unit.DURATION:
        again = quantity(written_quantity(*found))
        assert again is not None
        assert again[0] == pytest.approx(found[0], rel=1e-9)
