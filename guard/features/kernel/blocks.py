"""Moves of blocks within a row, searches and sums in one: by what C does for lists, or as a compiler takes them."""

from __future__ import annotations

from bisect import bisect_left
from functools import reduce
from operator import add, mul
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["copy", "find", "find_each", "repeat", "repeat_each", "weigh", "weigh_each"]

_STRIDE: Final = 8


def copy(x: Floats, to: int, start: int, count: int) -> None:
    """Copy `count` floats from `start` to `to`; the blocks may overlap."""
    x[to : to + count] = x[start : start + count]


def find(x: Floats, key: float, low: int, high: int) -> int:
    """Return where the first float not below `key` stands, among ascending ones from `low` to before `high`; else `high`."""
    return bisect_left(x, key, low, high)


def find_each(x: Floats, key: float, low: int, high: int) -> int:
    """Do as `find` does: what a compiler takes in its place. It begins at the end, where the best levels of a book are."""
    while high - _STRIDE >= low and x[high - _STRIDE] >= key:
        high -= _STRIDE
    while high > low and x[high - 1] >= key:
        high -= 1
    return high


def repeat(i: Integers, to: int, count: int, value: int) -> None:
    """Write an integer `count` times, from `to` on."""
    i[to : to + count] = [value] * count


def repeat_each(i: Integers, to: int, count: int, value: int) -> None:
    """Do as `repeat` does: what a compiler takes in its place."""
    for at in range(to, to + count):
        i[at] = value


def weigh(x: Floats, key: float, low: int, high: int, apart: int) -> float:
    """Add up, from the largest on, each float not below `key` times the one `apart` places on; ascending from `low` to `high`."""
    first = bisect_left(x, key, low, high)
    return reduce(add, map(mul, reversed(x[first:high]), reversed(x[first + apart : high + apart])), 0.0)


def weigh_each(x: Floats, key: float, low: int, high: int, apart: int) -> float:
    """Do as `weigh` does: what a compiler takes in its place."""
    total = 0.0
    for at in range(high - 1, low - 1, -1):
        if x[at] < key:
            break
        total += x[at] * x[at + apart]
    return total
