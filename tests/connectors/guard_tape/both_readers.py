"""Both readers of a tape, and what each says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.model import Batch, Kind
from guard_tape import Tape

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from guard.model import MarketFacts

HEADER = "symbol,timestamp,datetime,side,price,amount,btc_volume"
T0_MS = 1_500_000_000_000


def said(tape: Tape) -> tuple[Any, ...]:
    return tape.repeated, dict(tape.rejected), tape.examples


def by_rows(paths: Sequence[Path], *, exchange: str = "x") -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """Return the trades as the row reader gives them, in `heapq.merge` order."""
    tape = Tape(paths, exchange=exchange)
    return [tuple(trade) for trade in tape], said(tape)


def by_columns(
    paths: Sequence[Path], *, rows_max: int = 1000, exchange: str = "x"
) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
    """Return the trades as the column reader gives them."""
    tape = Tape(paths, exchange=exchange)
    markets: list[MarketFacts] = []
    trades = []
    for opened, batch in tape.batches(rows_max):
        markets += opened
        assert len(batch) <= rows_max
        trades += [row for row in rows_of(batch.plain(), markets) if row is not None]
    return trades, said(tape)


def rows_of(batch: Batch, markets: list[MarketFacts]) -> list[tuple[Any, ...] | None]:
    return [
        (batch.at_us[i], markets[batch.market[i]].market, batch.side[i], batch.price[i], batch.amount[i])
        if batch.kind[i] == Kind.TRADE
        else None
        for i in range(len(batch))
    ]
