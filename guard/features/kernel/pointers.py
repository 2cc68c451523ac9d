"""Pointers in compiled code: rows and columns by their addresses, memory that is moved, machine code that is called."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = [
    "as_bytes",
    "as_float_rows",
    "as_floats",
    "as_integer_rows",
    "as_integers",
    "as_shorts",
    "call_screen",
    "copy_memory",
]


def _pointer(kind: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Return a function of compiled code that turns an address into a pointer to `kind`."""
    pointer = types.CPointer(kind)  # type: ignore[attr-defined] # numba is untyped

    @intrinsic  # type: ignore[untyped-decorator] # numba is untyped
    def made(_context: Any, address: Any) -> Any:  # noqa: ANN401 - numba's own types
        def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own types
            return builder.inttoptr(arguments[0], context.get_value_type(pointer))

        return pointer(address), generate

    return made


# Rows are plain pointers there: an array's index may be negative and counts from its end then, which costs a quarter of all time.
as_bytes, as_shorts, as_integers, as_floats = map(_pointer, (types.int8, types.int32, types.int64, types.float64))
as_integer_rows, as_float_rows = (_pointer(types.CPointer(kind)) for kind in (types.int64, types.float64))  # type: ignore[attr-defined] # numba is untyped


@intrinsic  # type: ignore[untyped-decorator] # numba is untyped
def _move(_context: Any, x: Any, to: Any, start: Any, count: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Move floats, as `memmove` does."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own types
        x, to, start, count = arguments
        cgutils.raw_memmove(builder, builder.gep(x, [to]), builder.gep(x, [start]), count, 8, align=8)
        return cgutils.get_null_value(cgutils.voidptr_t)

    return types.voidptr(x, to, start, count), generate


def copy_memory(x: Any, to: int, start: int, count: int) -> None:  # noqa: ANN401 - a pointer
    """Do as `blocks.copy` does."""
    _move(x, to, start, count)


@intrinsic  # type: ignore[untyped-decorator] # numba is untyped
def call_screen(_context: Any, screen: Any, X: Any, I: Any, x: Any, i: Any, sig: Any, received: Any) -> Any:  # noqa: ANN401 - numba's own types
    """Call the machine code at an address."""
    kinds = (X, I, x, i, sig, received)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:  # noqa: ANN401 - numba's own types
        shape = ir.FunctionType(ir.IntType(64), [context.get_value_type(kind) for kind in kinds])
        return builder.call(builder.inttoptr(arguments[0], shape.as_pointer()), arguments[1:])

    return types.int64(screen, *kinds), generate
