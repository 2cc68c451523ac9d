"""Batches of rows of their own, and over columns of others."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.model import Batch, Kind

TYPES = {"kind": "i1", "market": "i4", "price": "f8", "amount": "f8", "side": "i1", "flags": "i1"}
NAMES = ("kind", "market", "at_us", "received_us", "price", "amount", "side", "key", "flags")


def columns(count: int) -> dict[str, np.ndarray]:
    return {name: np.arange(count, dtype=TYPES.get(name, "i8")) for name in NAMES}


def test_a_batch_over_arrays_copies_nothing() -> None:
    own = columns(3)
    batch = Batch.over(**own)
    assert (len(batch), batch.capacity, batch.is_full) == (3, 3, True)
    assert all(getattr(batch, name) is column for name, column in own.items())


def test_plain_rows_are_numbers_of_python() -> None:
    plain = Batch.over(**columns(3)).plain()
    assert plain.price == [0.0, 1.0, 2.0]
    assert {type(getattr(plain, name)[1]) for name in NAMES} == {int, float}
    assert plain.plain() is plain


def test_plain_holds_the_rows_in_use_only() -> None:
    batch = Batch(5)
    batch.append(Kind.TRADE, 2, at_us=1, received_us=2, price=3.0, amount=4.0)
    plain = batch.plain()
    assert (len(plain), plain.kind, plain.market, plain.price) == (1, [1], [2], [3.0])


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one length; found \[2, 3\]"):
        Batch.over(**{**columns(3), "price": np.zeros(2)})


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


WIDTHS = {"kind": 8, "market": 32, "at_us": 64, "received_us": 64, "side": 8, "key": 64, "flags": 8}
floats = st.floats(allow_nan=False)
rows = st.fixed_dictionaries({name: integers(WIDTHS[name]) if name in WIDTHS else floats for name in NAMES})


def filled(columns: list[dict[str, int | float]], capacity: int) -> Batch:
    batch = Batch(capacity)
    for row in columns:
        values = dict(row)
        batch.append(values.pop("kind"), values.pop("market"), **values)  # type: ignore[arg-type]  # numbers of both types by name
    return batch


@given(st.lists(rows, max_size=8), st.integers(0, 3))
def test_every_column_holds_what_was_put_into_its_rows(columns: list[dict[str, int | float]], spare: int) -> None:
    batch = filled(columns, len(columns) + spare)
    assert batch.is_full == (spare == 0)
    plain = batch.plain()
    for name in NAMES:
        wanted = [row[name] for row in columns]
        assert list(getattr(batch, name)[: len(batch)]) == getattr(plain, name) == wanted
        assert np.asarray(getattr(batch, name))[: len(batch)].tolist() == wanted
    assert batch.count(1) == sum(row["kind"] == 1 for row in columns)


@given(st.lists(rows, min_size=1, max_size=8), st.data())
def test_rows_of_one_batch_are_copied_behind_those_of_another(columns: list[dict[str, int | float]], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(columns)))
    stop = data.draw(st.integers(start, len(columns)))
    batch = filled(columns[:1], len(columns) + 1)
    batch.extend(filled(columns, len(columns)), start, stop)
    assert [getattr(batch.plain(), name) for name in NAMES] == [
        getattr(filled([columns[0], *columns[start:stop]], 9).plain(), name) for name in NAMES
    ]


def test_a_full_batch_and_one_over_columns_take_no_row() -> None:
    for batch in (filled([], 0), filled([dict.fromkeys(NAMES, 1)], 1), Batch.over(**columns(2))):
        before = len(batch)
        with pytest.raises((struct.error, BufferError, TypeError)):
            batch.append(Kind.TRADE, 0, at_us=1, received_us=1)
        assert len(batch) == before


@pytest.mark.parametrize(("name", "width"), WIDTHS.items())
def test_a_number_too_large_for_its_column_is_refused(name: str, width: int) -> None:
    batch = Batch(1)
    with pytest.raises(struct.error):
        batch.append(**{**dict.fromkeys(("kind", "market", "at_us", "received_us"), 1), name: 1 << width - 1})
    assert len(batch) == 0
