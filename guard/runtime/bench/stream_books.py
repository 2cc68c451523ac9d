"""Books of 100 markets over real sockets: what arrives, and what a message of 10 + 10 levels costs, beside stock ccxt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.runtime.bench.connected import Exchange
from guard.runtime.bench.streams import Load, measured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.runtime.bench.plan import Plan
    from guard.runtime.bench.rows import Row

__all__ = ["measure"]

_MARKETS = 100
_LOADS = (
    Load("burst", "bursts of 5,000 on one market", 5_000, 0.0),
    Load("calm", f"{_MARKETS} markets, 10 + 10 levels, 1,000/s", 5_000, 1_000.0, bars={"fast": 0.2}),
    Load("stall", f"{_MARKETS} markets, 1,000/s, the consumer stalled for 2 s", 4_000, 1_000.0, stall_s=2.0),
)


def measure(plan: Plan) -> Iterator[Row]:
    """Yield delivery and cost of messages of books."""
    with Exchange("book", _MARKETS) as exchange:
        yield from measured(plan, exchange, "p", "book", _LOADS)
