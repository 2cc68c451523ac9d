"""Volume that was added and taken away again without trading.

Trades and depth come on different sockets, so a removal waits until trades have passed its time by 300 ms (1 s where none come),
and trades wait 1 s for their removal. What neither meets was removed unfilled.
"""

from __future__ import annotations

from guard.features.kernel import slots as s
from guard.features.kernel.layout import FILLS_CAP, FILLS_PARTS, PENDING_CAP, PENDING_PARTS

__all__ = ["classify", "fill", "remove"]

_HOLD_US = 300_000
_TIMEOUT_US = 1_000_000
_TRADED_MAX = 0.05
_BAND = 0.0025


def remove(x: list[float], i: list[int], pending: int, fills: int, price: float, amount: float, side: int) -> None:
    """Queue a removal of `amount` (base) at `price`, less what lately traded there."""
    mid = x[s.MID]
    if amount <= 0.0 or not abs(price - mid) <= _BAND * mid:
        return
    at = i[s.AT]
    left = amount
    for entry in range(fills, fills + FILLS_CAP * FILLS_PARTS, FILLS_PARTS):
        if x[entry + 1] == price and x[entry + 2] == side and at - x[entry] <= _TIMEOUT_US and x[entry + 3] > 0.0:
            met = min(left, x[entry + 3])
            x[entry + 3] -= met
            left -= met
    if i[s.PENDING_COUNT] == PENDING_CAP:
        # Evidence that does not fit is dropped: missing evidence never raises a level. It is counted.
        i[s.OVERFLOW] += 1
        i[s.PENDING_HEAD] = (i[s.PENDING_HEAD] + 1) % PENDING_CAP
        i[s.PENDING_COUNT] -= 1
    entry = pending + ((i[s.PENDING_HEAD] + i[s.PENDING_COUNT]) % PENDING_CAP) * PENDING_PARTS
    x[entry : entry + PENDING_PARTS] = [float(at), price, float(side), amount, left]
    i[s.PENDING_COUNT] += 1


def fill(x: list[float], i: list[int], pending: int, fills: int, price: float, amount: float, side: int) -> None:
    """Let a trade (taker side `side`) meet the waiting removals of the side it hit, and keep the rest for later ones."""
    left = amount
    for number in range(i[s.PENDING_COUNT]):
        entry = pending + ((i[s.PENDING_HEAD] + number) % PENDING_CAP) * PENDING_PARTS
        if x[entry + 1] == price and x[entry + 2] == -side:
            met = min(left, x[entry + 4])
            x[entry + 4] -= met
            left -= met
    if left <= 0.0:
        return
    entry = fills + i[s.FILLS_HEAD] * FILLS_PARTS
    i[s.FILLS_HEAD] = (i[s.FILLS_HEAD] + 1) % FILLS_CAP
    x[entry : entry + FILLS_PARTS] = [float(i[s.AT]), price, float(-side), left]


def classify(x: list[float], i: list[int], pending: int) -> None:
    """Settle every removal that has waited long enough."""
    while i[s.PENDING_COUNT]:
        entry = pending + i[s.PENDING_HEAD] * PENDING_PARTS
        at, price, side, amount, left = x[entry : entry + PENDING_PARTS]
        if i[s.TRADE_AT] < at + _HOLD_US and i[s.AT] < at + _TIMEOUT_US:
            return
        i[s.PENDING_HEAD] = (i[s.PENDING_HEAD] + 1) % PENDING_CAP
        i[s.PENDING_COUNT] -= 1
        if left >= (1.0 - _TRADED_MAX) * amount:
            x[s.REMOVED_BID if side > 0.0 else s.REMOVED_ASK] += left * price
