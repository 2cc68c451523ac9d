"""Three ways to tell whether rules say something new: outcomes, the screen, and the kernel's machine, plain or jitted."""

from __future__ import annotations

from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any

from guard.dsl.signature import signature
from guard.engine.verdicts import candidate_level
from guard.features.kernel import machine
from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl import Binding, Program

_PARTS = ("passes", "number", "rarer_number", "clamp", "best")


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


def expected(program: Program, binding: Binding, row: Sequence[float], *, opened: Sequence[bool] = ()) -> list[int]:
    """Return the signatures of a row by the compiled function; `opened` tells of each rule whether it is open."""
    outcomes = binding.evaluate(row)
    return [
        signature(candidate_level(program.rules[each.rule], each), each.clears, each.releases, is_open=is_open)
        for each, is_open in zip(outcomes, opened or [False] * len(outcomes), strict=True)
    ]


def judged(program: Program, binding: Binding, row: Sequence[float], signed: Sequence[int], *, jitted: bool = False) -> int:
    """Return what the machine says."""
    start = binding.program
    i = [0] * s.INTEGERS
    i[s.PROGRAM] = start
    p = [0] * s.PLAN_HEAD
    code, registers = program.code, [*[7.0] * program.registers, *reversed(program.constants)]
    if not jitted:
        return judge()([], [], list(row), i, p, [], list(signed), code, registers, 0)
    import numpy as np

    def integers(values: Sequence[int]) -> Any:  # noqa: ANN401 - an array
        return np.array(values, np.int64)

    floats, rows = np.array([*row, 0.0]), np.zeros((1, 1))
    return judge(is_jitted=True)(
        rows, np.zeros((1, 1), np.int64), floats, integers(i), integers(p), floats, integers([*signed, 0]), integers(code),
        np.array(registers), 0,
    )  # fmt: skip


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
