"""The values of leaves: what formulas read of a market."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import slots as s
from guard.features.kernel.readers import read_leaf

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["leaf_value", "read_all"]


def leaf_value(X: FloatRows, I: IntegerRows, x: Floats, i: Integers, p: Integers, q: Floats, at: int, received: int) -> float:
    """Return the value of the leaf whose record begins at `at`; NaN where it is unknown, or its stream absent."""
    stream = p[at + s.L_STREAM]
    if stream != 0 and i[s.STREAMS] & stream == 0:
        return s.NAN
    return read_leaf(X, I, x, i, p, q, at, received)


def read_all(X: FloatRows, I: IntegerRows, p: Integers, q: Floats, row: int, received: int, out: Floats) -> None:
    """Fill `out` with all leaves of a market."""
    x = X[row]
    i = I[row]
    at = p[s.P_LEAVES]
    for number in range(p[s.P_LEAF_COUNT]):
        out[number] = leaf_value(X, I, x, i, p, q, at, received)
        at += s.LEAF_STRIDE
