"""Windows: rings of bin edges, each edge a copy of some columns as they stood when the bin closed.

A clock is all rings of one width: they close their bins together. For each bin it keeps the number of an edge in its rings, so that
bins in which nothing happened cost one integer each. A window begins a fixed number of bins before the open one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.blocks import copy, repeat

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["FULL_US", "coverage", "covered", "edge", "rebase", "roll", "share", "window_high", "window_low"]

FULL_US: Final = 300_000_000
_PARTIAL_COVERAGE: Final = 0.9
_INFINITE: Final = float("inf")
# Bits of `slots.STREAMS`.
_OF_TRADES: Final = 1
_OF_BOOK: Final = 2


def roll(x: Floats, i: Integers, p: Integers, at: int) -> None:
    """Close every bin that event time has passed, finest clock first."""
    clocks = p[s.P_RINGS]
    count = p[s.P_RING_COUNT]
    above_high = s.NAN
    above_low = s.NAN
    price = x[s.PRICE]
    for r in range(clocks, clocks + count * s.RING_STRIDE, s.RING_STRIDE):
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
        width = p[r]
        slot = p[r + s.R_SLOT]
        upcoming = i[slot] + 1
        if at < upcoming * width:
            break
        if upcoming == 0:
            _open(x, i, p, r, at)
            continue
        size = p[r + s.R_SIZE]
        places = slot + s.CLOCK_HEAD
        place = i[slot + 1]
        number = i[places + (place if place > 0 else size) - 1] + 1
        if number == size:
            number = 0
        i[places + place] = number
        x[s.HIGH] = high
        x[s.LOW] = low
        _keep(x, p, r, number)
        i[slot] = upcoming
        i[slot + 1] = place + 1 if place + 1 < size else 0
        if at >= (upcoming + 1) * width:
            _pass(x, i, p, r, at, number)
        x[top] = price
        x[top + 1] = price
        above_high = high
        above_low = low
    if count > 0:
        i[s.NEXT_EDGE] = (i[p[clocks + s.R_SLOT]] + 1) * p[clocks]


def _open(x: Floats, i: Integers, p: Integers, r: int, at: int) -> None:
    """Begin to keep the rings of a clock: all that was before is as it stands now."""
    slot = p[r + s.R_SLOT]
    size = p[r + s.R_SIZE]
    now = at // p[r]
    i[slot] = now
    i[slot + 1] = now % size
    repeat(i, slot + s.CLOCK_HEAD, size, 0)
    _keep(x, p, r, 0)
    for g in range(p[r + s.R_GROUPS], p[r + s.R_GROUPS_END], s.GROUP_STRIDE):
        i[p[g + s.G_SINCE]] = at


def _pass(x: Floats, i: Integers, p: Integers, r: int, at: int, number: int) -> None:
    """Go on to the bin of `at` past bins in which nothing happened; `number` is the last edge, which they share."""
    size = p[r + s.R_SIZE]
    slot = p[r + s.R_SLOT]
    places = slot + s.CLOCK_HEAD
    place = i[slot + 1]
    now = at // p[r]
    silent = now - i[slot]
    price = x[s.PRICE]
    if p[r + s.R_HAS_RANGE] and not (x[s.HIGH] == price and x[s.LOW] == price):
        # They have no high but their price.
        x[s.HIGH] = price
        x[s.LOW] = price
        number = number + 1 if number + 1 < size else 0
        _keep(x, p, r, number)
    if silent >= size:
        repeat(i, places, size, number)
    else:
        run = size - place
        if silent <= run:
            repeat(i, places + place, silent, number)
        else:
            repeat(i, places + place, run, number)
            repeat(i, places, silent - run, number)
    i[slot] = now
    i[slot + 1] = (place + silent) % size


def _keep(x: Floats, p: Integers, r: int, number: int) -> None:
    """Copy the columns as they stand to edge `number` of a clock's rings."""
    for g in range(p[r + s.R_GROUPS], p[r + s.R_GROUPS_END], s.GROUP_STRIDE):
        count = p[g + s.G_COUNT]
        copy(x, p[g] + number * count, p[g + s.G_FIRST], count)


def rebase(x: Floats, p: Integers) -> None:
    """Let all windowed totals begin at 0 again, so that a huge print costs later windows no precision."""
    clocks = p[s.P_RINGS]
    for r in range(clocks, clocks + p[s.P_RING_COUNT] * s.RING_STRIDE, s.RING_STRIDE):
        size = p[r + s.R_SIZE]
        for g in range(p[r + s.R_GROUPS], p[r + s.R_GROUPS_END], s.GROUP_STRIDE):
            count = p[g + s.G_COUNT]
            first = p[g + s.G_FIRST]
            for column in range(p[g + s.G_SUMS], first + count):
                base = x[column]
                # Where nothing was added there is nothing to take away.
                if base != 0.0:
                    start = p[g] + column - first
                    for at in range(start, start + size * count, count):
                        x[at] -= base
    price = x[s.PRICE]
    mid = x[s.MID]
    high = x[s.HIGH]
    low = x[s.LOW]
    for column in range(s.COLUMNS):
        x[column] = 0.0
    x[s.PRICE] = price
    x[s.MID] = mid
    x[s.HIGH] = high
    x[s.LOW] = low


def edge(i: Integers, p: Integers, w: int) -> int:
    """Return where column 0 would stand at the left edge of the window whose record begins at `w`."""
    slot = p[w + s.W_SLOT]
    place = i[slot + 1] - p[w + s.W_BACK]
    if place < 0:
        place += p[w + s.W_SIZE]
    return p[w + s.W_RING] + i[slot + s.CLOCK_HEAD + place] * p[w + s.W_COUNT]


def covered(x: Floats, i: Integers, p: Integers, w: int, since: int, began: int, down: int) -> int:
    """Return 1 where a stream's window may be read: up to 5 min it needs full coverage, a longer one 90 %.

    `since` is the integer slot of the moment from which the stream is unbroken, `began` of its first moment, `down` the column of
    the time that was lost, in the window's group.
    """
    us = p[w]
    if us <= FULL_US:
        at = i[s.AT]
        return 1 if at - i[since] >= us and at - i[p[w + s.W_SINCE]] >= us else 0
    return 1 if share(x, i, p, w, since, began, down) >= _PARTIAL_COVERAGE else 0


def share(x: Floats, i: Integers, p: Integers, w: int, since: int, began: int, down: int) -> float:
    """Return the covered share of a window, 0 while the stream is lost."""
    if i[since] == s.NEVER:
        return 0.0
    at = i[s.AT]
    us = p[w]
    lasted = min(at - i[began], at - i[p[w + s.W_SINCE]], us)
    lost = x[down] - x[edge(i, p, w) + down]
    return max(0.0, (float(lasted) - lost) / float(us))


def coverage(x: Floats, i: Integers, p: Integers, w: int, down: int) -> float:
    """Return the covered share of a window, of the worst of the market's streams; 0 before the first event.

    `down` is the column of the time that trades lost, in the window's group.
    """
    if i[p[w + s.W_SLOT]] < 0:
        return 0.0
    worst = 1.0
    if i[s.STREAMS] & _OF_TRADES:
        worst = _covered_share(x, i, p, w, s.TRADES_SINCE, s.TRADES_BEGAN, down)
    if i[s.STREAMS] & _OF_BOOK:
        worst = min(worst, _covered_share(x, i, p, w, s.BOOK_SINCE, s.BOOK_BEGAN, down + 1))
    return worst


def _covered_share(x: Floats, i: Integers, p: Integers, w: int, since: int, began: int, down: int) -> float:
    """Return the covered share of one stream's window: of a short one only what is unbroken counts."""
    full = share(x, i, p, w, since, began, down)
    if p[w] <= FULL_US:
        unbroken = float(i[s.AT] - i[since]) / float(p[w])
        full = min(full, max(0.0, unbroken))
    return full


def window_high(x: Floats, i: Integers, p: Integers, w: int) -> float:
    """Return the highest price of a window."""
    width = p[w + s.W_WIDTH]
    price = x[s.PRICE]
    # The last price is not known after a hole, nor is that of some bins.
    highest = price if price == price else -_INFINITE
    clocks = p[s.P_RINGS]
    for r in range(clocks, clocks + p[s.P_RING_COUNT] * s.RING_STRIDE, s.RING_STRIDE):
        if p[r] > width:
            break
        value = x[p[r + s.R_TOP]]
        if value > highest:
            highest = value
    size = p[w + s.W_SIZE]
    slot = p[w + s.W_SLOT]
    count = p[w + s.W_COUNT]
    first = p[w + s.W_RING] + s.HIGH
    start = slot + s.CLOCK_HEAD
    end = start + i[slot + 1]
    begin = end - p[w + s.W_BACK] + 1
    if begin < start:
        for place in range(begin + size, start + size):
            value = x[first + i[place] * count]
            if value > highest:
                highest = value
        begin = start
    for place in range(begin, end):
        value = x[first + i[place] * count]
        if value > highest:
            highest = value
    return highest if highest != -_INFINITE else s.NAN


def window_low(x: Floats, i: Integers, p: Integers, w: int) -> float:
    """Return the lowest price of a window."""
    width = p[w + s.W_WIDTH]
    price = x[s.PRICE]
    # The last price is not known after a hole, nor is that of some bins.
    lowest = price if price == price else _INFINITE
    clocks = p[s.P_RINGS]
    for r in range(clocks, clocks + p[s.P_RING_COUNT] * s.RING_STRIDE, s.RING_STRIDE):
        if p[r] > width:
            break
        value = x[p[r + s.R_TOP] + 1]
        if value < lowest:
            lowest = value
    size = p[w + s.W_SIZE]
    slot = p[w + s.W_SLOT]
    count = p[w + s.W_COUNT]
    first = p[w + s.W_RING] + s.LOW
    start = slot + s.CLOCK_HEAD
    end = start + i[slot + 1]
    begin = end - p[w + s.W_BACK] + 1
    if begin < start:
        for place in range(begin + size, start + size):
            value = x[first + i[place] * count]
            if value < lowest:
                lowest = value
        begin = start
    for place in range(begin, end):
        value = x[first + i[place] * count]
        if value < lowest:
            lowest = value
    return lowest if lowest != _INFINITE else s.NAN
