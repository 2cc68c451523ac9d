"""Windows: rings of bin edges, each edge a copy of the columns as they stood when the bin closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.blocks import copy

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["FULL_US", "covered", "edge", "rebase", "roll", "share", "window_high", "window_low"]

FULL_US: Final = 300_000_000
_PARTIAL_COVERAGE: Final = 0.9


def roll(x: Floats, i: Integers, p: Integers, at: int) -> None:
    """Close every bin that event time has passed, finest ring first."""
    rings = p[s.P_RINGS]
    count = p[s.P_RING_COUNT]
    above_high = s.NAN
    above_low = s.NAN
    price = x[s.PRICE]
    for r in range(rings, rings + count * s.RING_STRIDE, s.RING_STRIDE):
        width = p[r]
        slot = p[r + s.R_SLOT]
        top = p[r + s.R_TOP]
        high = x[top]
        low = x[top + 1]
        if above_high == above_high:
            if not high >= above_high:
                high = above_high
                x[top] = high
            if not low <= above_low:
                low = above_low
                x[top + 1] = low
        now = at // width
        opened = i[slot]
        if now <= opened:
            break
        size = p[r + s.R_SIZE]
        ring = p[r + s.R_RING]
        i[slot] = now
        if opened < 0:
            i[slot + 1] = at
            _fill(x, ring, size, 0, size)
            continue
        x[s.HIGH] = high
        x[s.LOW] = low
        copy(x, ring + (opened % size) * s.COLUMNS, 0, s.COLUMNS)
        x[s.HIGH] = price
        x[s.LOW] = price
        if now - opened > 1:
            _fill(x, ring, size, opened + 1, min(now - opened - 1, size))
        x[top] = price
        x[top + 1] = price
        above_high = high
        above_low = low
    if count > 0:
        i[s.NEXT_EDGE] = (i[p[rings + s.R_SLOT]] + 1) * p[rings]


def _fill(x: Floats, ring: int, size: int, first_bin: int, count: int) -> None:
    """Write the columns as they stand to the edges of `count` bins in which nothing happened."""
    start = first_bin % size
    run = min(count, size - start)
    _tile(x, ring + start * s.COLUMNS, run)
    if count > run:
        _tile(x, ring, count - run)


def _tile(x: Floats, start: int, count: int) -> None:
    """Copy the columns `count` times to `start`, doubling the copied block each time."""
    copy(x, start, 0, s.COLUMNS)
    done = 1
    while done < count:
        step = min(done, count - done)
        copy(x, start + done * s.COLUMNS, start, step * s.COLUMNS)
        done += step


def rebase(x: Floats, p: Integers) -> None:
    """Let all windowed totals begin at 0 again, so that a huge print costs later windows no precision."""
    rings = p[s.P_RINGS]
    for r in range(rings, rings + p[s.P_RING_COUNT] * s.RING_STRIDE, s.RING_STRIDE):
        ring = p[r + s.R_RING]
        for column in range(s.SUMS):
            base = x[column]
            # Where nothing was added there is nothing to take away.
            if base != 0.0:
                for at in range(ring + column, ring + column + p[r + s.R_SIZE] * s.COLUMNS, s.COLUMNS):
                    x[at] -= base
    for column in range(s.SUMS):
        x[column] = 0.0


def edge(i: Integers, p: Integers, w: int) -> int:
    """Return the offset of the columns at the left edge of the window whose record begins at `w`."""
    return p[w + s.W_RING] + (((i[s.AT] - p[w]) // p[w + s.W_WIDTH] - 1) % p[w + s.W_SIZE]) * s.COLUMNS


def covered(x: Floats, i: Integers, p: Integers, w: int, since: int, began: int, down: int) -> int:
    """Return 1 where a stream's window may be read: up to 5 min it needs full coverage, a longer one 90 %.

    `since` is the integer slot of the moment from which the stream is unbroken, `began` of its first moment, `down` the column of
    the time that was lost.
    """
    us = p[w]
    if us <= FULL_US:
        at = i[s.AT]
        return 1 if at - i[since] >= us and at - i[p[w + s.W_SLOT] + 1] >= us else 0
    return 1 if share(x, i, p, w, since, began, down) >= _PARTIAL_COVERAGE else 0


def share(x: Floats, i: Integers, p: Integers, w: int, since: int, began: int, down: int) -> float:
    """Return the covered share of a window, 0 while the stream is lost."""
    if i[since] == s.NEVER:
        return 0.0
    at = i[s.AT]
    us = p[w]
    lasted = min(at - i[began], at - i[p[w + s.W_SLOT] + 1], us)
    lost = x[down] - x[edge(i, p, w) + down]
    return max(0.0, (float(lasted) - lost) / float(us))


def window_high(x: Floats, i: Integers, p: Integers, w: int) -> float:
    """Return the highest price of a window."""
    width = p[w + s.W_WIDTH]
    size = p[w + s.W_SIZE]
    first = p[w + s.W_RING] + s.HIGH
    highest = x[s.PRICE]
    rings = p[s.P_RINGS]
    for r in range(rings, rings + p[s.P_RING_COUNT] * s.RING_STRIDE, s.RING_STRIDE):
        if p[r] <= width and x[p[r + s.R_TOP]] > highest:
            highest = x[p[r + s.R_TOP]]
    for number in range((i[s.AT] - p[w]) // width, i[p[w + s.W_SLOT]]):
        value = x[first + (number % size) * s.COLUMNS]
        if value > highest:  # noqa: PLR1730 - `max` costs a call in a loop of up to 100 bins
            highest = value
    return highest


def window_low(x: Floats, i: Integers, p: Integers, w: int) -> float:
    """Return the lowest price of a window."""
    width = p[w + s.W_WIDTH]
    size = p[w + s.W_SIZE]
    first = p[w + s.W_RING] + s.LOW
    lowest = x[s.PRICE]
    rings = p[s.P_RINGS]
    for r in range(rings, rings + p[s.P_RING_COUNT] * s.RING_STRIDE, s.RING_STRIDE):
        if p[r] <= width and x[p[r + s.R_TOP] + 1] < lowest:
            lowest = x[p[r + s.R_TOP] + 1]
    for number in range((i[s.AT] - p[w]) // width, i[p[w + s.W_SLOT]]):
        value = x[first + (number % size) * s.COLUMNS]
        if value < lowest:  # noqa: PLR1730 - likewise
            lowest = value
    return lowest
