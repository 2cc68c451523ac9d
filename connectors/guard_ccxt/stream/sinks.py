"""How rows go into a sink: in the way that takes the least time, where the sink has it, as guard's own does."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from guard.model import Flag, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model.ports import Sink
    from guard_ccxt.stream.mirror import Change

__all__ = ["message_putter", "row_putter"]

_LEVEL, _LAST = int(Kind.LEVEL), int(Flag.LAST)


def row_putter(sink: Sink) -> Callable[[int, int, int, int, float, float, int, int, int], None]:
    """Return what takes a row by place: kind, market, at_us, received_us, price, amount, side, key, flags."""
    return getattr(sink, "put", None) or partial(_by_name, sink.append)


def message_putter(sink: Sink) -> Callable[..., None]:
    """Return what takes a book message as a whole: market, changes, at_us, received_us, key, flags."""
    return getattr(sink, "levels", None) or partial(_one_by_one, sink.append)


def _by_name(  # noqa: PLR0917 - a row by place
    append: Callable[..., None],
    kind: int,
    market: int,
    at_us: int,
    received_us: int,
    price: float,
    amount: float,
    side: int,
    key: int,
    flags: int,
) -> None:
    append(kind, market, at_us=at_us, received_us=received_us, price=price, amount=amount, side=side, key=key, flags=flags)


def _one_by_one(
    append: Callable[..., None], market: int, changes: Sequence[Change], *, at_us: int, received_us: int, key: int, flags: int
) -> None:
    left = len(changes)
    for side, price, amount in changes:
        left -= 1
        bits = flags if left else flags | _LAST
        _by_name(append, _LEVEL, market, at_us, received_us, price, amount, side, key, bits)
