"""Ways to tell whether rules say something new: outcomes, the screen, the kernel's machine, plain or jitted, and machine code."""

from __future__ import annotations

import ctypes
from array import array
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

from guard.dsl.signature import signature
from guard.engine.verdicts import candidate_level
from guard.features.kernel import machine
from guard.features.kernel import slots as s
from guard.features.kernel.readers import READERS
from guard.features.kernel.reading import read_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl import Binding, Program

_PARTS = ("turned", "passes", "number", "rarer_number", "clamp", "best")


def _slot(_rows: object, _integers: object, x: list[float], _i: object, _p: object, _q: object, at: int, _received: int) -> float:
    """Read a leaf from the float row by its number."""
    return x[at // s.LEAF_STRIDE]


@cache
def judge(*, is_jitted: bool = False) -> Callable[..., int]:
    """Return the machine, reading leaf `n` from place `n` of the float row."""
    wrap: Callable[[Any], Any] = lambda function: function  # noqa: E731
    if is_jitted:
        import numba

        wrap = numba.njit(error_model="numpy")
    scope = dict(machine.__dict__)
    for name in _PARTS:
        scope[name] = wrap(FunctionType(getattr(machine, name).__code__, scope, name))
    scope["leaf_value"] = wrap(_slot)
    found: Callable[..., int] = wrap(FunctionType(machine.judge.__code__, scope, "judge"))
    return found


def expected(program: Program, binding: Binding, row: Sequence[float], *, is_open: bool) -> list[int]:
    """Return the signatures of a row by the compiled function."""
    outcomes = binding.evaluate(row)
    levels = [candidate_level(program.rules[outcome.rule], outcome) for outcome in outcomes]
    return [
        signature(level, outcome.clears, outcome.releases, is_open=is_open, is_held=is_open)
        for level, outcome in zip(levels, outcomes, strict=True)
    ]


def judged(
    program: Program, binding: Binding, row: Sequence[float], signed: Sequence[int], *, jitted: bool = False, now: int = 0,
    left: list[int] | None = None,
) -> int:  # fmt: skip
    """Return what the machine says; `left` takes the signatures as it leaves them."""
    start = binding.program
    i = [0] * s.INTEGERS
    i[s.PROGRAM] = start
    p = [0] * s.PLAN_HEAD
    code, constants, registers = program.code, program.constants or [0.0], [7.0] * program.registers
    if not jitted:
        after = list(signed)
        answer = judge()([], [], list(row), i, p, [], after, code, constants, registers, now)
        if left is not None:
            left[:] = after
        return answer
    import numpy as np

    def integers(values: Sequence[int]) -> Any:  # noqa: ANN401 - an array
        return np.array(values, np.int64)

    floats, rows = np.array([*row, 0.0]), np.zeros((1, 1))
    signatures = integers([*signed, 0])
    answer = judge(is_jitted=True)(
        rows, np.zeros((1, 1), np.int64), floats, integers(i), integers(p), floats, signatures, integers(code),
        np.array(constants), np.array(registers), now,
    )  # fmt: skip
    if left is not None:
        left[:] = signatures[:-1].tolist()
    return answer


def screened(
    program: Program,
    binding: Binding,
    row: Sequence[float],
    signed: Sequence[int],
    reads: list[int] | None = None,
    *,
    is_open: bool = False,
) -> int:
    """Return what the screen says; `reads` takes the leaves in the order in which they are read."""

    def reader(number: int) -> Callable[..., float]:
        def read(*_: object) -> float:
            if reads is not None:
                reads.append(number)
            return row[number]

        return read

    make = binding.make_open_screen if is_open else binding.make_screen
    screen = make([reader(number) for number in range(len(program.leaves))], [0] * len(program.leaves))
    return screen([], [], [], [], [], [], list(signed), 0)


@cache
def native_screen(program: Program, begin: int, count: int) -> tuple[object, Callable[..., int]]:
    """Return the machine code of a program, reading leaf `n` of `count` from place `n` of the float row, and what it belongs to."""
    from guard.features.kernel.native import Native, compiled

    plan = [0] * s.PLAN_HEAD
    plan[s.P_LEAVES], plan[s.P_LEAF_COUNT] = s.PLAN_HEAD, count
    for number in range(count):
        record = [0] * s.LEAF_STRIDE
        record[0], record[s.L_A] = READERS.index(read_slot), number
        plan += record
    made = Native(compiled(program.code, program.constants, [begin], plan, []), [begin])
    kinds = [ctypes.c_int64, *[ctypes.c_void_p] * 5, ctypes.c_int64]
    return made, ctypes.CFUNCTYPE(*kinds)(made.addresses[begin])


def natively(
    program: Program, binding: Binding, row: Sequence[float], signed: Sequence[int], *, now: int = 0, left: list[int] | None = None
) -> int:
    """Return what the machine code says; `left` takes the signatures as it leaves them."""
    _, screen = native_screen(program, binding.program, len(row))
    floats, integers, signatures = array("d", [*row, 0.0]), array("q", [0] * s.INTEGERS), array("q", [*signed, 0])
    answer = screen(0, 0, *(each.buffer_info()[0] for each in (floats, integers, signatures)), now)
    if left is not None:
        left[:] = signatures[:-1].tolist()
    return answer
