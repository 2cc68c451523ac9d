"""Windows: rings of bin edges, each edge a copy of the columns as they stood when the bin closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel import slots as s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.features.kernel.layout import Ring, Window

__all__ = ["covered", "edge", "rebase", "roll", "window_high", "window_low"]

FULL_US = 300_000_000
_PARTIAL_COVERAGE = 0.9


def roll(x: list[float], i: list[int], rings: Sequence[Ring], at: int) -> None:
    """Close every bin that event time has passed, finest ring first."""
    above_high = above_low = s.NAN
    price = x[s.PRICE]
    for width, size, ring, slot, top in rings:
        high = x[top]
        low = x[top + 1]
        if above_high == above_high:
            if not high >= above_high:
                high = x[top] = above_high
            if not low <= above_low:
                low = x[top + 1] = above_low
        now = at // width
        opened = i[slot]
        if now <= opened:
            break
        i[slot] = now
        if opened < 0:
            i[slot + 1] = at
            _fill(x, ring, size, 0, size)
            continue
        x[s.HIGH] = high
        x[s.LOW] = low
        first = ring + (opened % size) * s.COLUMNS
        x[first : first + s.COLUMNS] = x[0 : s.COLUMNS]
        x[s.HIGH] = x[s.LOW] = price
        if now - opened > 1:
            _fill(x, ring, size, opened + 1, min(now - opened - 1, size))
        x[top] = x[top + 1] = price
        above_high = high
        above_low = low
    if rings:
        i[s.NEXT_EDGE] = (i[rings[0].slot] + 1) * rings[0].width_us


def _fill(x: list[float], ring: int, size: int, first_bin: int, count: int) -> None:
    """Write the columns as they stand to the edges of `count` bins in which nothing happened."""
    start = first_bin % size
    run = min(count, size - start)
    _tile(x, ring + start * s.COLUMNS, run)
    if count > run:
        _tile(x, ring, count - run)


def _tile(x: list[float], start: int, count: int) -> None:
    """Copy the columns `count` times to `start`, doubling the copied block each time."""
    x[start : start + s.COLUMNS] = x[0 : s.COLUMNS]
    done = 1
    while done < count:
        step = min(done, count - done)
        x[start + done * s.COLUMNS : start + (done + step) * s.COLUMNS] = x[start : start + step * s.COLUMNS]
        done += step


def rebase(x: list[float], rings: Sequence[Ring]) -> None:
    """Let all windowed totals begin at 0 again, so that a huge print costs later windows no precision."""
    base = x[0 : s.SUMS]
    for _width, size, ring, _slot, _top in rings:
        for at in range(ring, ring + size * s.COLUMNS, s.COLUMNS):
            for column in range(s.SUMS):
                x[at + column] -= base[column]
    for column in range(s.SUMS):
        x[column] = 0.0


def edge(i: list[int], window: Window) -> int:
    """Return the offset of the columns at the window's left edge."""
    us, width, size, ring, _slot = window
    return ring + (((i[s.AT] - us) // width - 1) % size) * s.COLUMNS


def covered(x: list[float], i: list[int], window: Window, since: int, began: int, down: int) -> bool:
    """Whether a stream's window may be read: up to 5 min it needs full coverage, a longer one 90 %.

    `since` is the integer slot of the moment from which the stream is unbroken, `began` of its first moment, `down` the column of
    the time that was lost.
    """
    at = i[s.AT]
    us = window[0]
    kept = i[window[4] + 1]
    if us <= FULL_US:
        return at - i[since] >= us and at - kept >= us
    return share(x, i, window, since, began, down) >= _PARTIAL_COVERAGE


def share(x: list[float], i: list[int], window: Window, since: int, began: int, down: int) -> float:
    """Return the covered share of a window, 0 while the stream is lost."""
    at = i[s.AT]
    if i[since] == s.NEVER:
        return 0.0
    us = window[0]
    lasted = min(at - i[began], at - i[window[4] + 1], us)
    lost = x[down] - x[edge(i, window) + down]
    return max(0.0, (lasted - lost) / us)


def window_high(x: list[float], i: list[int], rings: Sequence[Ring], window: Window) -> float:
    """Return the highest price of a window."""
    us, width, size, ring, slot = window
    highest = x[s.PRICE]
    for inner in rings:
        if inner[0] <= width and x[inner[4]] > highest:
            highest = x[inner[4]]
    for number in range((i[s.AT] - us) // width, i[slot]):
        value = x[ring + (number % size) * s.COLUMNS + s.HIGH]
        highest = max(highest, value)
    return highest


def window_low(x: list[float], i: list[int], rings: Sequence[Ring], window: Window) -> float:
    """Return the lowest price of a window."""
    us, width, size, ring, slot = window
    lowest = x[s.PRICE]
    for inner in rings:
        if inner[0] <= width and x[inner[4] + 1] < lowest:
            lowest = x[inner[4] + 1]
    for number in range((i[s.AT] - us) // width, i[slot]):
        value = x[ring + (number % size) * s.COLUMNS + s.LOW]
        lowest = min(lowest, value)
    return lowest
