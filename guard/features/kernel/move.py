"""Carry a market's rows from one layout to another: what both have keeps its state, what is new starts cold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import baselines
from guard.features.kernel import slots as s
from guard.features.kernel.layout import (
    BASELINE_SIZE,
    BOOK_CAP,
    BOOK_PARTS,
    FILLS_CAP,
    FILLS_PARTS,
    PENDING_CAP,
    PENDING_PARTS,
    PRINTS_CAP,
    PRINTS_PARTS,
    PRINTS_TOTALS,
    SIZE_BUCKETS,
)

if TYPE_CHECKING:
    from guard.features.kernel.layout import Layout, Ring

__all__ = ["moved"]


def moved(old: Layout, new: Layout, x: list[float], i: list[int]) -> tuple[list[float], list[int]]:
    """Return the rows of a market under the new layout."""
    floats, integers = new.blank()
    floats[: s.FLOATS] = x[: s.FLOATS]
    integers[: s.INTEGERS] = i[: s.INTEGERS]
    kept = {ring.width_us: ring for ring in old.rings}
    for ring in new.rings:
        if ring.width_us in kept:
            _move_ring(kept[ring.width_us], ring, x, i, floats, integers)
    _move_baselines(old, new, x, i, floats, integers)
    _move_blocks(old, new, x, floats, integers)
    # The finest ring may be another one: its first roll sets the next edge.
    integers[s.NEXT_EDGE] = 0
    return floats, integers


def _move_ring(old: Ring, new: Ring, x: list[float], i: list[int], floats: list[float], integers: list[int]) -> None:
    """Copy the edges that both rings hold; a longer ring is kept only since its oldest edge."""
    newest = i[old.slot]
    integers[new.slot] = newest
    integers[new.slot + 1] = i[old.slot + 1]
    if newest < 0:
        return
    if new.size > old.size:
        integers[new.slot + 1] = max(i[old.slot + 1], (newest - old.size + 1) * old.width_us)
    for number in range(newest - new.size, newest):
        source = old.ring + (max(number, newest - old.size) % old.size) * s.COLUMNS
        target = new.ring + (number % new.size) * s.COLUMNS
        floats[target : target + s.COLUMNS] = x[source : source + s.COLUMNS]
    floats[new.top : new.top + 2] = x[old.top : old.top + 2]


def _move_baselines(old: Layout, new: Layout, x: list[float], i: list[int], floats: list[float], integers: list[int]) -> None:
    """Copy the histograms that both have; a new one begins its open bin now."""
    kept = {(item.kind, item.key): item for item in old.baselines}
    for item in new.baselines:
        source = kept.get((item.kind, item.key))
        if source is None:
            if item.source >= 0:
                integers[item.slot] = i[s.AT] // item.bin_us
                floats[item.offset + baselines.MARK] = x[item.source]
                floats[item.offset + baselines.PENDING] = 0.0
        else:
            floats[item.offset : item.offset + BASELINE_SIZE] = x[source.offset : source.offset + BASELINE_SIZE]
            integers[item.slot] = i[source.slot]
    binned = [(integers[item.slot] + 1) * item.bin_us for item in new.baselines if item.source >= 0]
    integers[s.NEXT_CLOSE] = min(binned) if binned and i[s.AT] else s.NEVER


def _move_blocks(old: Layout, new: Layout, x: list[float], floats: list[float], integers: list[int]) -> None:
    """Copy book, removals and prints where both have them."""
    blocks = (
        (old.book, new.book, 2 * BOOK_CAP * BOOK_PARTS, (s.BIDS, s.ASKS, s.BOOK_OK, s.CROSSED)),
        (old.pending, new.pending, PENDING_CAP * PENDING_PARTS, (s.PENDING_HEAD, s.PENDING_COUNT)),
        (old.fills, new.fills, FILLS_CAP * FILLS_PARTS, (s.FILLS_HEAD,)),
        (old.prints, new.prints, PRINTS_CAP * PRINTS_PARTS + SIZE_BUCKETS + PRINTS_TOTALS, (s.PRINTS_TAIL, s.PRINTS_COUNT)),
    )
    for source, target, length, counters in blocks:
        if source >= 0 and target >= 0:
            floats[target : target + length] = x[source : source + length]
        else:
            for slot in counters:
                integers[slot] = 0
