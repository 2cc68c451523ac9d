"""Which trades of a market were seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard_ccxt.stream.seam import Seam

if TYPE_CHECKING:
    from guard_ccxt.stream.gate import Gate, TradeRow

__all__ = ["RECENT_MAX", "Memory"]

RECENT_MAX: Final = 512


class Memory:
    """The last 512 trades: `marks` tells those with ids by price and amount, `seam` those without.

    `since_us` is when the stream was taken for live without a trade, None where a trade said so: what was traded since should come.
    """

    __slots__ = ("_gate", "marks", "seam", "since_us")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.marks: dict[int, int] = {}
        self.seam = Seam()
        self.since_us: int | None = None

    def begin(self) -> None:
        """Note that the stream begins anew."""
        self.seam.begin()
        self.since_us = None

    def repeats(self, row: TradeRow) -> bool:
        """Return whether a trade was seen; from now on it was."""
        if not row.key:
            return self.seam.repeats(row, self._gate.offset.offset_us)
        mark = hash((row.price, row.amount))
        if self.marks.get(row.key) == mark:
            return True
        self.marks[row.key] = mark
        if len(self.marks) > RECENT_MAX:
            del self.marks[next(iter(self.marks))]
        return False
