"""Volume that was added and taken away again without trading.

Trades and depth come on different sockets, so a removal waits until trades have passed its time by 300 ms (1 s where none come),
and trades wait 1 s for their removal. What neither meets was removed unfilled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.kernel import slots as s
from guard.features.kernel.sizes import FILLS_CAP, FILLS_PARTS, PENDING_CAP, PENDING_PARTS

if TYPE_CHECKING:
    from guard.features.kernel.rows import Floats, Integers

__all__ = ["classify", "fill", "remove"]

# A waiting removal: time, price, side, amount, what of it did not trade. A waiting fill: time, price, side that it hit (0 = it may
# be either), rest.
_HOLD_US: Final = 300_000
_TIMEOUT_US: Final = 1_000_000
_TRADED_MAX: Final = 0.05
_BAND: Final = 0.0025


def remove(x: Floats, i: Integers, pending: int, fills: int, price: float, amount: float, side: int) -> None:
    """Queue a removal of `amount` (base) at `price`, less what lately traded there."""
    mid = x[s.MID]
    if amount <= 0.0 or not abs(price - mid) <= _BAND * mid:
        return
    at = float(i[s.AT])
    hit = float(side)
    left = amount
    for entry in range(fills, fills + FILLS_CAP * FILLS_PARTS, FILLS_PARTS):
        if (
            x[entry + 1] == price
            and (x[entry + 2] == hit or x[entry + 2] == 0.0)
            and at - x[entry] <= _TIMEOUT_US
            and x[entry + 3] > 0.0
        ):
            met = min(left, x[entry + 3])
            x[entry + 3] -= met
            left -= met
    if i[s.PENDING_COUNT] == PENDING_CAP:
        # Evidence that does not fit is dropped: missing evidence never raises a level. It is counted.
        i[s.OVERFLOW] += 1
        i[s.PENDING_HEAD] = (i[s.PENDING_HEAD] + 1) % PENDING_CAP
        i[s.PENDING_COUNT] -= 1
    entry = pending + ((i[s.PENDING_HEAD] + i[s.PENDING_COUNT]) % PENDING_CAP) * PENDING_PARTS
    x[entry] = at
    x[entry + 1] = price
    x[entry + 2] = hit
    x[entry + 3] = amount
    x[entry + 4] = left
    i[s.PENDING_COUNT] += 1


def fill(x: Floats, i: Integers, pending: int, fills: int, price: float, amount: float, side: int) -> None:
    """Let a trade (taker side `side`, 0 = unknown) meet the waiting removals of the side it hit, and keep the rest for later ones.

    Where the side is unknown it may have hit either.
    """
    hit = float(-side)
    left = amount
    head = i[s.PENDING_HEAD]
    for number in range(head, head + i[s.PENDING_COUNT]):
        entry = pending + (number % PENDING_CAP) * PENDING_PARTS
        if x[entry + 1] == price and (x[entry + 2] == hit or hit == 0.0):
            met = min(left, x[entry + 4])
            x[entry + 4] -= met
            left -= met
    if left <= 0.0:
        return
    at = float(i[s.AT])
    head = i[s.FILLS_HEAD]
    # An order's single fills at one level share an entry; one each would push out those of the levels it swept before.
    entry = fills + ((head - 1) % FILLS_CAP) * FILLS_PARTS
    if x[entry] == at and x[entry + 1] == price and x[entry + 2] == hit:
        x[entry + 3] += left
        return
    entry = fills + head * FILLS_PARTS
    if x[entry + 3] > 0.0 and at - x[entry] <= _TIMEOUT_US:
        # A removal that this one would have met may now look unfilled.
        i[s.OVERFLOW] += 1
    i[s.FILLS_HEAD] = (head + 1) % FILLS_CAP
    x[entry] = at
    x[entry + 1] = price
    x[entry + 2] = hit
    x[entry + 3] = left


def classify(x: Floats, i: Integers, pending: int) -> None:
    """Settle every removal that has waited long enough."""
    while i[s.PENDING_COUNT] > 0:
        entry = pending + i[s.PENDING_HEAD] * PENDING_PARTS
        at = x[entry]
        if i[s.TRADE_AT] < at + _HOLD_US and i[s.AT] < at + _TIMEOUT_US:
            return
        i[s.PENDING_HEAD] = (i[s.PENDING_HEAD] + 1) % PENDING_CAP
        i[s.PENDING_COUNT] -= 1
        left = x[entry + 4]
        if left >= (1.0 - _TRADED_MAX) * x[entry + 3]:
            if x[entry + 2] > 0.0:
                x[s.REMOVED_BID] += left * x[entry + 1]
            else:
                x[s.REMOVED_ASK] += left * x[entry + 1]
