"""Batches over columns of others."""

import numpy as np
import pytest

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
