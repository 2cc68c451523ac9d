"""The machine's arithmetic has the bits of the operations it stands for."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
from features.kernel.subset import jitted
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.detection.risk import with_best
from guard.dsl.operations import OPERATIONS
from guard.features.kernel import machine

if TYPE_CHECKING:
    from collections.abc import Callable

NAN, INF = float("nan"), float("inf")
values = st.one_of(st.sampled_from([NAN, 0.0, -0.0, 1.0, -1.0, INF, -INF, 1e308, 5e-324]), st.floats())

MEANINGS = {
    machine.ADD: "add",
    machine.SUBTRACT: "subtract",
    machine.MULTIPLY: "multiply",
    machine.DIVIDE: "divide",
    machine.MIN: "min",
    machine.MAX: "max",
    machine.DEFAULT: "default",
    machine.ABS: "abs",
    machine.NEGATIVE: "negative",
    machine.LOG: "log",
    machine.SQRT: "sqrt",
    machine.AT_LEAST: "at_least",
    machine.RAMP_FREE: "ramp",
    machine.CLAMP_FREE: "clamp",
}
_ARITY = dict.fromkeys(("abs", "negative", "log", "sqrt"), 1) | dict.fromkeys(("at_least", "ramp", "clamp"), 3)


def bits(value: float) -> bytes:
    """Return the bits of a number; all unknown ones are alike."""
    return struct.pack("<d", value) if value == value else b"unknown"  # noqa: PLR0124 - NaN differs from itself


def form(name: str, *, is_jitted: bool) -> Callable[..., float]:
    """Return a function of the machine, plain or jitted."""
    plain: Callable[..., float] = getattr(machine, name)
    if not is_jitted:
        return plain
    pytest.importorskip("numba", reason="numba is not installed: only the plain form runs here")
    twin: Callable[..., float] = jitted("machine")[plain]
    return twin


@pytest.mark.parametrize("is_jitted", [False, True], ids=["plain", "jitted"])
@pytest.mark.parametrize("operation", MEANINGS, ids=MEANINGS.values())
@settings(max_examples=150, deadline=None)
@given(a=values, b=values, c=values)
def test_every_operation_has_the_bits_of_its_meaning(*, operation: int, is_jitted: bool, a: float, b: float, c: float) -> None:
    name = MEANINGS[operation]
    wanted = OPERATIONS[name](*(a, b, c)[: _ARITY.get(name, 2)])
    assert bits(form("number", is_jitted=is_jitted)(operation, a, b, c)) == bits(wanted)


@pytest.mark.parametrize("is_jitted", [False, True], ids=["plain", "jitted"])
@settings(max_examples=150, deadline=None)
@given(of=values, low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_fixed_bounds_have_the_bits_of_free_ones(*, is_jitted: bool, of: float, low: float, width: float) -> None:
    number = form("number", is_jitted=is_jitted)
    high = low + width
    assert bits(number(machine.RAMP, of, low, high - low)) == bits(OPERATIONS["ramp"](of, low, high))
    assert bits(number(machine.CLAMP, of, low, high)) == bits(OPERATIONS["clamp"](of, low, high))


@settings(max_examples=200, deadline=None)
@given(
    total=st.one_of(st.just(NAN), st.floats(0.0, 3.0)),
    weight=st.floats(0.1, 3.0),
    parts=st.lists(
        st.tuples(st.floats(0.1, 3.0), st.one_of(st.sampled_from([NAN, 0.0, 0.5, 1.0]), st.floats(0.0, 1.0))), max_size=5
    ),
)
def test_best_mean_has_the_bits_of_the_classifiers(total: float, weight: float, parts: list[tuple[float, float]]) -> None:
    constants = [heavy for heavy, _ in parts]
    registers = [value for _, value in parts]
    code = [operand for number in range(len(parts)) for operand in (-1 - number, number)]
    assert bits(machine.best(code, constants, registers, total, weight, 0, len(parts))) == bits(with_best(total, weight, parts))
