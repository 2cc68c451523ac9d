"""Rows as columns of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from guard.model import Flag, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]
    Smalls = NDArray[np.int8]
    Words = NDArray[np.uint64]

__all__ = ["Rows", "Trades", "cut", "joined", "length", "rows_of", "taken"]

Table = TypeVar("Table", "Trades", "Rows")


class Trades(NamedTuple):
    """Trades of one file; `market` numbers its symbols."""

    at_us: Integers
    market: Numbers
    side: Smalls
    price: Floats
    amount: Floats


class Rows(NamedTuple):
    """The columns of `guard.model.Batch`, with the same names and item types."""

    kind: Smalls
    market: Numbers
    at_us: Integers
    received_us: Integers
    price: Floats
    amount: Floats
    side: Smalls
    key: Integers
    flags: Smalls


def length(table: Trades | Rows) -> int:
    """Return the number of rows."""
    return len(table.at_us)


def taken(table: Table, index: NDArray[Any]) -> Table:
    """Return the rows at `index`, in that order."""
    return _like(table, [column[index] for column in table])


def cut(table: Table, start: int, stop: int) -> Table:
    """Return the rows from `start` to before `stop`, without copying."""
    return _like(table, [column[start:stop] for column in table])


def joined(tables: Sequence[Table]) -> Table:
    """Return the rows of several tables, one after the other; the one table itself where there is one."""
    if len(tables) == 1:
        return tables[0]
    return _like(tables[0], [np.concatenate(columns) for columns in zip(*tables, strict=True)])


def _like(table: Table, columns: Sequence[NDArray[Any]]) -> Table:
    made: Table = type(table)(*columns)
    return made


def rows_of(trades: Trades) -> Rows:
    """Return trades as rows of a batch; they were received when they happened."""
    count = length(trades)
    return Rows(
        kind=np.full(count, int(Kind.TRADE), np.int8),
        market=trades.market,
        at_us=trades.at_us,
        received_us=trades.at_us,
        price=trades.price,
        amount=trades.amount,
        side=trades.side,
        key=np.zeros(count, np.int64),
        flags=np.where(trades.side == 0, np.int8(Flag.INFERRED_SIDE), np.int8(Flag.NONE)),
    )
