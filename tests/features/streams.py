"""Streams of rows for the kernel, and a slow exact answer to what it should read."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from hypothesis import strategies as st

from guard.features.kernel import Kernel
from guard.model import BUY, SELL, Batch, Kind, Market, MarketFacts

if TYPE_CHECKING:
    from guard.features.tables import Leaf

SECOND = 1_000_000
START = 1_600_000_000 * SECOND
WINDOWS = (1 * SECOND, 10 * SECOND, 60 * SECOND, 300 * SECOND, 1_800 * SECOND)


class Row(NamedTuple):
    kind: int
    at_us: int
    price: float = 0.0
    amount: float = 0.0
    side: int = 0
    key: int = 0
    flags: int = 0
    market: int = 0
    lag_us: int = 1_000


def trade(at_us: int, price: float, amount: float = 1.0, side: int = BUY, *, flags: int = 0, market: int = 0) -> Row:
    return Row(Kind.TRADE, at_us, price, amount, side, 0, flags, market)


def feed(kernel: Kernel, rows: list[Row]) -> list[bool]:
    batch = Batch(max(1, len(rows)))
    for row in rows:
        batch.append(
            row.kind,
            row.market,
            at_us=row.at_us,
            received_us=row.at_us + row.lag_us,
            price=row.price,
            amount=row.amount,
            side=row.side,
            key=row.key,
            flags=row.flags,
        )
    return [kernel.apply(batch, number) for number in range(len(rows))]


def opened(leaves: list[Leaf], **facts: object) -> Kernel:
    kernel = Kernel(leaves)
    kernel.open(MarketFacts(Market("sim", "X/USDT"), **facts))  # type: ignore[arg-type]
    return kernel


def read(kernel: Kernel, at_us: int, row: int = 0, received_us: int | None = None) -> dict[str, float]:
    out = [0.0] * len(kernel.leaves)
    kernel.read(row, at_us, at_us + 1_000 if received_us is None else received_us, out)
    return {str(leaf): value for leaf, value in zip(kernel.leaves, out, strict=True)}


@st.composite
def tapes(draw: st.DrawFn, *, size: int = 60) -> list[Row]:
    """Trades in order of time, dense and sparse by turns, on few price levels, often several with one stamp."""
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 1_000, 40_000, 900_000, 7 * SECOND, 61 * SECOND, 700 * SECOND]),
                st.integers(90, 110),
                st.integers(1, 50),
                st.sampled_from([BUY, SELL]),
            ),
            min_size=1,
            max_size=size,
        )
    )
    at_us, rows = START, []
    for step, price, amount, side in steps:
        at_us += step
        rows.append(trade(at_us, float(price), amount / 8, side))
    return rows


class Oracle:
    """Keeps every trade and adds them up in fractions."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = rows

    def since(self, at_us: int) -> list[Row]:
        return [row for row in self.rows if row.at_us >= at_us]

    def volume(self, at_us: int) -> Fraction:
        return sum((Fraction(row.amount) for row in self.since(at_us)), Fraction(0))

    def buy_volume(self, at_us: int) -> Fraction:
        return sum((Fraction(row.amount) for row in self.since(at_us) if row.side == BUY), Fraction(0))

    def turnover(self, at_us: int) -> Fraction:
        return sum((Fraction(row.amount) * Fraction(row.price) for row in self.since(at_us)), Fraction(0))

    def open_price(self, at_us: int) -> float | None:
        before = [row.price for row in self.rows if row.at_us < at_us]
        return before[-1] if before else None

    def rush(self, at_us: int, side: int) -> int:
        """Count prints beyond the one before on their side, at most 1 s after it."""
        same = [row for row in self.rows if row.side == side]
        pairs = pairwise(same)
        return sum(
            later.at_us >= at_us and later.at_us - earlier.at_us <= SECOND and (later.price - earlier.price) * side > 0
            for earlier, later in pairs
        )
