"""A market's rows in named parts: what a checkpoint holds, and how state moves when other rules name other windows.

A part is named by all that fixes its meaning, ``ring:trades:1500000`` or ``baseline:minute:21600000000``, so that state from other
rules fits as far as both know a part; what is missing starts cold.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.errors import StateError
from guard.features.kernel import slots as s
from guard.features.kernel.baselines import MARK
from guard.features.kernel.digits import recount
from guard.features.kernel.sizes import (
    BARS_SIZE,
    BASELINE_SIZE,
    BOOK_CAP,
    BOOK_PARTS,
    FILLS_CAP,
    FILLS_PARTS,
    FLOW_SIZE,
    PENDING_CAP,
    PENDING_PARTS,
    PRINTS_CAP,
    PRINTS_PARTS,
    PRINTS_TOTALS,
    SIZE_BUCKETS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.features.kernel.layout import Clock, Layout, Ring

__all__ = ["VERSION", "packed", "unpacked"]

VERSION: Final = 5
"""Changes with the meaning of any slot of any part."""

_CLOCK_FLOATS: Final = 2


class _Block(NamedTuple):
    """A part that is there or not: where it begins, its length, and the counters that are 0 without it."""

    name: str
    offset: int
    length: int
    counters: tuple[int, ...]


def _blocks(layout: Layout) -> Iterator[_Block]:
    yield _Block("book", layout.book, 2 * BOOK_CAP * BOOK_PARTS, (s.BIDS, s.ASKS, s.BOOK_OK, s.CROSSED))
    yield _Block("removals", layout.pending, PENDING_CAP * PENDING_PARTS, (s.PENDING_HEAD, s.PENDING_COUNT))
    yield _Block("fills", layout.fills, FILLS_CAP * FILLS_PARTS, (s.FILLS_HEAD,))
    prints = PRINTS_CAP * PRINTS_PARTS + SIZE_BUCKETS + PRINTS_TOTALS
    yield _Block("prints", layout.prints, prints, (s.PRINTS_TAIL, s.PRINTS_COUNT))
    yield _Block("bars", layout.bars, BARS_SIZE, ())
    yield _Block("flow", layout.flow, FLOW_SIZE, ())


def packed(layout: Layout, x: list[float], i: list[int]) -> dict[str, bytes]:
    """Return a market's rows as named parts: little-endian floats, then integers."""
    parts = {"slots": _bytes(x[: s.FLOATS], i[: s.INTEGERS])}
    for clock in layout.clocks:
        parts[f"clock:{clock.width_us}"] = _bytes(x[clock.top : clock.top + _CLOCK_FLOATS], [i[clock.slot]])
    for ring in layout.rings:
        parts[_name(ring)] = _bytes(_edges(ring, x, i), [i[ring.since]])
    for item in layout.baselines:
        parts[f"baseline:{item.kind}:{item.key}"] = _bytes(
            x[item.offset : item.offset + BASELINE_SIZE], i[item.slot : item.slot + 1]
        )
    for block in _blocks(layout):
        if block.offset >= 0:
            parts[block.name] = _bytes(x[block.offset : block.offset + block.length], [])
    return parts


def unpacked(layout: Layout, parts: Mapping[str, bytes]) -> tuple[list[float], list[int]]:
    """Return the rows that `packed` made into `parts`, under this layout. Raises StateError for a part of the wrong length."""
    x, i = layout.blank()
    fresh = [i[slot] for slot in s.OF_THIS_PROCESS]
    x[: s.FLOATS], i[: s.INTEGERS] = _numbers(parts["slots"], s.FLOATS, s.INTEGERS)
    for slot, value in zip(s.OF_THIS_PROCESS, fresh, strict=True):
        i[slot] = value
    i[s.VERSION] = 1
    for clock in layout.clocks:
        _take_clock(clock, parts.get(f"clock:{clock.width_us}"), x, i)
    for ring in layout.rings:
        _take_ring(ring, parts.get(_name(ring)), x, i)
    _take_baselines(layout, parts, x, i)
    for block in _blocks(layout):
        part = parts.get(block.name)
        if part is None or block.offset < 0:
            for slot in block.counters:
                i[slot] = 0
        else:
            x[block.offset : block.offset + block.length], _ = _numbers(part, block.length, 0)
    # They follow from the kept trades, so that they need not be saved.
    recount(x, i, layout.prints, layout.digits, layout.tail)
    # The finest clock may be new: its first roll sets the next edge.
    opened = i[layout.clocks[0].slot] if layout.clocks else -1
    i[s.NEXT_EDGE] = (opened + 1) * layout.clocks[0].width_us if opened >= 0 else 0
    return x, i


def _name(ring: Ring) -> str:
    return f"ring:{ring.group.name}:{ring.clock.width_us}"


def _edges(ring: Ring, x: list[float], i: list[int]) -> list[float]:
    """Return the edges of all bins that are kept, oldest first: the same whichever places they stand at."""
    clock, count = ring.clock, ring.group.columns
    found: list[float] = []
    first = clock.slot + s.CLOCK_HEAD
    for number in (*range(i[clock.slot + 1], clock.size), *range(i[clock.slot + 1])):
        start = ring.offset + i[first + number] * count
        found += x[start : start + count]
    return found


def _take_clock(clock: Clock, part: bytes | None, x: list[float], i: list[int]) -> None:
    """Go on with the open bin; each place holds its own edge."""
    if part is None:
        return
    x[clock.top : clock.top + _CLOCK_FLOATS], (i[clock.slot],) = _numbers(part, _CLOCK_FLOATS, 1)
    if i[clock.slot] >= 0:
        i[clock.slot + 1] = i[clock.slot] % clock.size
        first = clock.slot + s.CLOCK_HEAD
        i[first : first + clock.size] = range(clock.size)


def _take_ring(ring: Ring, part: bytes | None, x: list[float], i: list[int]) -> None:
    """Copy the edges that both rings hold; a longer ring is kept only since its oldest edge, a new one since now."""
    clock, count, first = ring.clock, ring.group.columns, ring.group.first
    newest = i[clock.slot]
    if newest < 0:
        return
    now = x[first : first + count]
    if part is None:
        i[ring.since] = i[s.AT]
        x[ring.offset : ring.offset + clock.size * count] = now * clock.size
        return
    size = (len(part) // 8 - 1) // count
    floats, (since,) = _numbers(part, size * count, 1)
    i[ring.since] = since if clock.size <= size else max(since, (newest - size + 1) * clock.width_us)
    for number in range(newest - clock.size, newest):
        source = max(number - newest + size, 0) * count
        target = ring.offset + (number % clock.size) * count
        x[target : target + count] = floats[source : source + count]


def _take_baselines(layout: Layout, parts: Mapping[str, bytes], x: list[float], i: list[int]) -> None:
    """Copy the histograms that both have; a new one begins its open bin now."""
    for item in layout.baselines:
        part = parts.get(f"baseline:{item.kind}:{item.key}")
        if part is not None:
            x[item.offset : item.offset + BASELINE_SIZE], (i[item.slot],) = _numbers(part, BASELINE_SIZE, 1)
        elif item.source >= 0:
            i[item.slot] = i[s.AT] // item.bin_us
            x[item.offset + MARK] = x[item.source]
    binned = [(i[item.slot] + 1) * item.bin_us for item in layout.baselines if item.source >= 0]
    i[s.NEXT_CLOSE] = min(binned) if binned and i[s.AT] else s.NEVER


def _bytes(floats: list[float], integers: list[int]) -> bytes:
    arrays = array("d", floats), array("q", integers)
    if sys.byteorder == "big":
        for each in arrays:
            each.byteswap()
    return arrays[0].tobytes() + arrays[1].tobytes()


def _numbers(part: bytes, floats: int, integers: int) -> tuple[list[float], list[int]]:
    if len(part) != 8 * (floats + integers):
        raise StateError(f"the kernel's state is damaged: a part has {len(part)} bytes, {8 * (floats + integers)} are expected")
    found = array("d", part[: 8 * floats]), array("q", part[8 * floats :])
    if sys.byteorder == "big":
        for each in found:
            each.byteswap()
    return found[0].tolist(), found[1].tolist()
