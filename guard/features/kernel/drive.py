"""The kernel's loop: events and due times in order, up to the point where rules must be looked at.

Due times are of two kinds. What came in after a market's last evaluation is looked at when the 50 ms bin of arrival is over: such
markets stand in the list `d`, all with one due time. Markets that time alone may change stand in the heap `h`, ordered by due
time, then row. A busy market's due time is put off with each evaluation: it moves in the heap only when the earlier one comes.
Both are bounded by the number of markets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.fold import CHANGED, DUE, fold, take
from guard.features.kernel.machine import differs
from guard.model.batch import Kind

if TYPE_CHECKING:
    from guard.features.kernel.rows import FloatRows, Floats, IntegerRows, Integers

__all__ = ["DEADLINE", "DONE", "EVALUATE", "TOLD", "UNOPENED", "drive", "is_unopened", "run", "schedule", "set_due"]

# Why the loop stops: nothing left to do; a market to evaluate; a market whose rule has a timer due; a STATUS or CONTROL row;
# a batch, none of which is taken, with a row of a market that nobody opened.
DONE: Final = 0
EVALUATE: Final = 1
DEADLINE: Final = 2
TOLD: Final = 3
UNOPENED: Final = 4

# The loop's own state, `c`.
POSITION: Final = 0
STOP: Final = 1
NOW: Final = 2
UNTIL: Final = 3
LIMIT: Final = 4
ROW: Final = 5
EVALUATIONS: Final = 6
DIRTY_COUNT: Final = 7
DIRTY_NEXT: Final = 8
DIRTY_DUE: Final = 9
HEAP_COUNT: Final = 10
MARKETS: Final = 11
CONTROL_SIZE: Final = 16

_STATUS: Final = int(Kind.STATUS)
_CONTROL: Final = int(Kind.CONTROL)
_LOOK_US: Final = 1_000_000
_LOOK_MAX_US: Final = 15_000_000
_SILENCE_SHARE: Final = 16


def drive(
    X: FloatRows, I: IntegerRows, p: Integers, q: Floats, c: Integers, d: Integers, h: Integers,
    kinds: Integers, markets: Integers, ats: Integers, arrivals: Integers, prices: Floats, amounts: Floats, sides: Integers,
    keys: Integers, flags: Integers,
) -> int:  # fmt: skip
    """Take events and due times in order until one needs rules; returns why it stopped, with the market in ``c[ROW]``.

    A CONTROL row speaks of no market and changes none: after it ``c[ROW]`` means nothing.

    Due times fire before the event that passes them. It also stops before what is later than ``c[UNTIL]``, at which something
    outside of the kernel is due; without events left it goes on to ``c[LIMIT]``.
    """
    stop = c[STOP]
    until = c[UNTIL]
    position = c[POSITION]
    while True:
        arrival = arrivals[position] if position < stop else c[LIMIT]
        due = c[DIRTY_DUE]
        if c[HEAP_COUNT] > 0 and I[h[0]][s.HEAP_DUE] < due:
            due = I[h[0]][s.HEAP_DUE]
        if due <= arrival and due <= until:
            reason = _fire(X, I, p, q, c, d, h, due)
            if reason != DONE:
                return reason
            continue
        if position >= stop or until <= arrival:
            return DONE
        # `+ 0`: one integer type for all columns where they are arrays of narrow ones.
        row = markets[position] + 0
        kind = kinds[position] + 0
        now = c[NOW]
        if arrival > now:
            now = arrival
            c[NOW] = now
        if kind == _CONTROL:
            c[POSITION] = position + 1
            return TOLD
        answer = fold(
            X, I, p, q, row, kind, ats[position], arrival, prices[position], amounts[position],
            sides[position] + 0, keys[position], flags[position] + 0,
        )  # fmt: skip
        position += 1
        c[POSITION] = position
        i = I[row]
        if answer == DUE:
            i[s.ARRIVED] = now
            c[ROW] = row
            return TOLD if kind == _STATUS else EVALUATE
        if answer == CHANGED:
            i[s.ARRIVED] = now
            if i[s.DIRTY] == s.CLEAN:
                d[c[DIRTY_COUNT]] = row
                if c[DIRTY_COUNT] == 0:
                    c[DIRTY_DUE] = (now // s.BIN_US + 1) * s.BIN_US
                c[DIRTY_COUNT] += 1
            i[s.DIRTY] = s.UNSEEN


def _fire(X: FloatRows, I: IntegerRows, p: Integers, q: Floats, c: Integers, d: Integers, h: Integers, due: int) -> int:
    """Bring the market that is due to that time; DONE where there was nothing to look at after all."""
    if c[DIRTY_DUE] == due:
        row = d[c[DIRTY_NEXT]]
        c[DIRTY_NEXT] += 1
        if c[DIRTY_NEXT] == c[DIRTY_COUNT]:
            c[DIRTY_NEXT] = 0
            c[DIRTY_COUNT] = 0
            c[DIRTY_DUE] = s.NEVER
        is_seen = I[row][s.DIRTY] == s.SEEN
        I[row][s.DIRTY] = s.CLEAN
        if is_seen:
            return DONE
        reason = EVALUATE
    else:
        row = h[0]
        if I[row][s.DUE] > due:
            set_due(I, c, h, row, I[row][s.DUE])
            return DONE
        reason = DEADLINE if I[row][s.DEADLINE] <= due else EVALUATE
        set_due(I, c, h, row, s.NEVER)
    i = I[row]
    c[NOW] = max(c[NOW], due)
    c[ROW] = row
    take(X, I, X[row], i, p, q, i[s.EVENT_AT] + max(0, due - i[s.RECEIVED]))
    return reason


def run(
    X: FloatRows, I: IntegerRows, S: IntegerRows, p: Integers, q: Floats, m: Integers, k: Floats, r: Floats, n: Integers,
    c: Integers, d: Integers, h: Integers,
    kinds: Integers, markets: Integers, ats: Integers, arrivals: Integers, prices: Floats, amounts: Floats, sides: Integers,
    keys: Integers, flags: Integers,
) -> int:  # fmt: skip
    """Like `drive`, but evaluations in which no rule says anything new are settled here. `n` tells where a market's screen is."""
    if c[POSITION] == 0 and is_unopened(c, kinds, markets):
        return UNOPENED
    while True:
        reason = drive(X, I, p, q, c, d, h, kinds, markets, ats, arrivals, prices, amounts, sides, keys, flags)
        if reason != EVALUATE:
            return reason
        row = c[ROW]
        i = I[row]
        # A timer may be due at the very end of the bin, at which the list comes before the heap.
        if i[s.DEADLINE] <= c[NOW] or differs(n[row], X, I, X[row], i, p, q, S[row], m, k, r, c[NOW]):
            return reason
        schedule(I, c, h, row)


def is_unopened(c: Integers, kinds: Integers, markets: Integers) -> int:
    """Return 1 where a row of a batch speaks of a market that nobody opened; a CONTROL row speaks of none."""
    for position in range(c[STOP]):
        if (markets[position] < 0 or markets[position] >= c[MARKETS]) and kinds[position] != _CONTROL:
            return 1
    return 0


def schedule(I: IntegerRows, c: Integers, h: Integers, row: int) -> None:
    """Note that a market was evaluated now, and when it is looked at next if nothing arrives.

    A market that time alone may change is looked at after 1 s, and after a sixteenth of its silence once that is longer, 15 s at
    most; in any case when a rule's timer is due.
    """
    c[EVALUATIONS] += 1
    i = I[row]
    if i[s.DIRTY] == s.UNSEEN:
        i[s.DIRTY] = s.SEEN
    due = s.NEVER
    if i[s.OPEN] or i[s.LOOKS]:
        now = c[NOW]
        wait = (now - i[s.ARRIVED]) // _SILENCE_SHARE
        due = now + (_LOOK_US if wait < _LOOK_US else wait if wait < _LOOK_MAX_US else _LOOK_MAX_US)
        if now < i[s.DEADLINE] < due:
            due = i[s.DEADLINE]
    if i[s.HEAP_AT] >= 0 and i[s.HEAP_DUE] <= due < s.NEVER:
        i[s.DUE] = due
    elif due != i[s.DUE]:
        set_due(I, c, h, row, due)


def set_due(I: IntegerRows, c: Integers, h: Integers, row: int, due: int) -> None:
    """Change when a market is due; NEVER takes it out of the heap."""
    at = I[row][s.HEAP_AT]
    I[row][s.DUE] = due
    I[row][s.HEAP_DUE] = due
    if due == s.NEVER:
        if at < 0:
            return
        I[row][s.HEAP_AT] = -1
        last = c[HEAP_COUNT] - 1
        c[HEAP_COUNT] = last
        moved = h[last]
        if moved == row:
            return
        row = moved
        due = I[row][s.HEAP_DUE]
    elif at < 0:
        at = c[HEAP_COUNT]
        c[HEAP_COUNT] = at + 1
    _place(I, h, c[HEAP_COUNT], at, row, due)


def _place(I: IntegerRows, h: Integers, count: int, at: int, row: int, due: int) -> None:
    """Put a market at a free place of the heap and move it to where it belongs."""
    while at > 0:
        above = (at - 1) >> 1
        other = h[above]
        other_due = I[other][s.HEAP_DUE]
        if other_due < due or (other_due == due and other < row):
            break
        h[at] = other
        I[other][s.HEAP_AT] = at
        at = above
    while True:
        below = 2 * at + 1
        if below >= count:
            break
        other = h[below]
        other_due = I[other][s.HEAP_DUE]
        if below + 1 < count:
            second = h[below + 1]
            second_due = I[second][s.HEAP_DUE]
            if second_due < other_due or (second_due == other_due and second < other):
                below += 1
                other = second
                other_due = second_due
        if due < other_due or (due == other_due and row < other):
            break
        h[at] = other
        I[other][s.HEAP_AT] = at
        at = below
    h[at] = row
    I[row][s.HEAP_AT] = at
