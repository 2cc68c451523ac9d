"""Moves of blocks within a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats

__all__ = ["copy", "copy_each"]


def copy(x: Floats, to: int, start: int, count: int) -> None:
    """Copy `count` floats from `start` to `to`; the blocks may overlap."""
    x[to : to + count] = x[start : start + count]


def copy_each(x: Floats, to: int, start: int, count: int) -> None:
    """Do as `copy` does, one by one: what a compiler takes in its place, because a slice of an array is no copy."""
    if to <= start:
        for at in range(count):
            x[to + at] = x[start + at]
    else:
        for at in range(count - 1, -1, -1):
            x[to + at] = x[start + at]
