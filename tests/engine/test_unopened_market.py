"""A row that speaks of a market that nobody opened is refused before anything has changed, in every form."""

from __future__ import annotations

import struct
from array import array
from importlib.util import find_spec

import pytest
from engine.streams import SYMBOLS, fresh

from guard.dsl import compile_rules, rules_from_text
from guard.dsl.problems import Report
from guard.model import BUY, Batch, Control, Kind

PROGRAM = compile_rules(rules_from_text("rules:\n  busy:\n    when: trades(10s) >= 3\n    level: danger\n", Report()))
COUNT = 2 * len(SYMBOLS)
FORMS = [
    False,
    pytest.param(True, marks=pytest.mark.skipif(find_spec("numba") is None, reason="numba is not installed")),
]
forms = pytest.mark.parametrize("jit", FORMS, ids=["plain", "compiled"])
cuts = pytest.mark.parametrize("is_own", [True, False], ids=["records", "columns"])
WRONG = [-1, COUNT, 2**31 - 1, -(2**31)]


def batch_of(market: int, kind: int, *, is_own: bool) -> Batch:
    """Return two rows: one that is right, one of `market`."""
    batch = Batch(4)
    batch.append(Kind.TRADE, 0, at_us=10, received_us=10, price=1.0, amount=1.0, side=BUY, key=2**63 - 1)
    batch.append(kind, market, at_us=20, received_us=20, price=1.0, amount=1.0, side=Control.DEMOTE_DETECTOR, key=1)
    if is_own:
        return batch
    names = {"kind": "b", "market": "i", "at_us": "q", "received_us": "q", "price": "d", "amount": "d", "side": "b", "key": "q"}
    return Batch.over(
        **{name: array(code, list(getattr(batch, name))[:2]) for name, code in names.items()}, flags=array("b", [0, 0])
    )


@forms
@cuts
@pytest.mark.parametrize("market", WRONG)
def test_batch_is_refused(market: int, *, jit: bool, is_own: bool) -> None:
    pipeline = fresh(jit=jit, program=PROGRAM)
    before = pipeline.save()
    with pytest.raises(IndexError, match=f"{COUNT} are open"):
        pipeline.process(batch_of(market, Kind.TRADE, is_own=is_own))
    assert pipeline.save() == before


@forms
@cuts
@pytest.mark.parametrize("market", WRONG)
def test_row_on_its_own_is_refused(market: int, *, jit: bool, is_own: bool) -> None:
    kernel = fresh(jit=jit, program=PROGRAM).engine.kernel
    batch = batch_of(market, Kind.TRADE, is_own=is_own)
    kernel.apply(batch, 0)
    with pytest.raises(IndexError, match=f"{COUNT} are open"):
        kernel.apply(batch, 1)


@forms
@cuts
def test_control_row_speaks_of_no_market(*, jit: bool, is_own: bool) -> None:
    pipeline = fresh(jit=jit, program=PROGRAM)
    pipeline.process(batch_of(COUNT, Kind.CONTROL, is_own=is_own))
    assert pipeline.now_us == 20


@pytest.mark.parametrize("market", [2**31, -(2**31) - 1])
def test_number_beyond_the_column_is_refused_by_append(market: int) -> None:
    batch = Batch(1)
    with pytest.raises(struct.error, match="format requires"):
        batch.append(Kind.TRADE, market, at_us=1, received_us=1)
    assert len(batch) == 0
