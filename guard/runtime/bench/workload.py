"""The stream that measures run on: synthetic, seeded, of the shape that was measured on exchanges."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from guard.model import Batch, Flag, Kind, Market, MarketFacts
from guard.runtime.bench.chance import Chance

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["EXCHANGES", "START_US", "Columns", "Markets", "batches", "joined", "stream", "trades_of", "typed"]

START_US = 1_760_000_000_000_000
EXCHANGES = ("one", "two", "three")
_LAG_US = 20_000
_ZIPF = 1.05
_TRADE_SHARE = 0.30
_SAME_STAMP = 0.15
_REMOVED = 0.45
_ROUND_SIZES = 0.15
_DEPTH_TICKS = 12.0
_SWEEP_TICKS = 0.7
_TYPES = {
    "kind": np.int8,
    "market": np.int32,
    "at_us": np.int64,
    "received_us": np.int64,
    "price": np.float64,
    "amount": np.float64,
    "side": np.int8,
    "key": np.int64,
    "flags": np.int8,
}


class Columns(NamedTuple):
    """Rows of a `guard.model.Batch` as numpy columns of equal length; the columns are described there."""

    kind: NDArray[np.int8]
    market: NDArray[np.int32]
    at_us: NDArray[np.int64]
    received_us: NDArray[np.int64]
    price: NDArray[np.float64]
    amount: NDArray[np.float64]
    side: NDArray[np.int8]
    key: NDArray[np.int64]
    flags: NDArray[np.int8]

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.kind)

    def where(self, chosen: NDArray[np.bool_] | slice) -> Columns:
        """Return the rows that are chosen."""
        return Columns._make(column[chosen] for column in self)


class Markets:
    """The markets of a workload: the same coins on three exchanges, the first one leading.

    Parameters
    ----------
    count
        How many, > 0.
    seed
        Makes prices and steps.

    Notes
    -----
    `middle` is a price that the market moves around, in steps of `tick`; a coin has one on all exchanges. The first market is
    the busiest: market n is drawn with weight (n + 1) ** -1.05.
    """

    def __init__(self, count: int, seed: int = 7) -> None:
        chance = Chance(seed)
        coins = -(-count // len(EXCHANGES))
        coin = np.arange(count) // len(EXCHANGES)
        self.count = count
        self.middle = (5_000 + chance.uniform(coins) * 45_000).astype(np.int64)[coin]
        self.tick = (10.0 ** np.floor(-6 + 5 * chance.uniform(coins)))[coin]
        self.weights: NDArray[Any] = (1.0 + np.arange(count)) ** -_ZIPF

    def facts(self, *, streams: frozenset[str] = frozenset({"trades", "book"})) -> list[MarketFacts]:
        """Return what a connector would know of each market."""
        return [
            MarketFacts(
                Market(EXCHANGES[number % len(EXCHANGES)], f"C{number // len(EXCHANGES)}/USDT"),
                tick=float(self.tick[number]),
                usd_rate=1.0,
                volume_24h_usd=5e5 * (1.0 + number % 97),
                listed_us=START_US - 400 * 86_400_000_000,
                streams=streams,
            )
            for number in range(self.count)
        ]

    def price(self, market: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the price that lies `steps` ticks above the middle."""
        return (self.middle[market] + steps) * self.tick[market]


def stream(markets: Markets, events: int, *, per_second: float, seed: int = 7, start_us: int = START_US) -> Columns:
    """Return trades and book deltas, in order of time.

    30 % are trades; the others are deltas of one level, 45 % of which take it away; 15 % share the stamp of the event before.
    Levels lie around the middle, most near it; bids stay below and asks above, so that the book is never crossed.

    Parameters
    ----------
    events
        How many, > 0.
    per_second
        Their mean rate in event time, over all markets.
    """
    chance = Chance(seed + 1)
    market = chance.pick(markets.weights, events)
    is_trade = chance.uniform(events) < _TRADE_SHARE
    gaps = chance.exponential(events) * (chance.uniform(events) >= _SAME_STAMP) / (1.0 - _SAME_STAMP)
    at_us = start_us + np.floor(np.cumsum(gaps) * 1e6 / per_second).astype(np.int64)
    side = np.where(chance.uniform(events) < 0.5, 1, -1)  # noqa: PLR2004 - both sides alike
    far = 1 + np.floor(chance.exponential(events) * np.where(is_trade, _SWEEP_TICKS, _DEPTH_TICKS)).astype(np.int64)
    # A taker's buy meets the asks, which lie above; a bid lies below.
    steps = far * np.where(is_trade, side, -side)
    size = np.exp(0.8 * chance.normal(events))
    size = np.where(chance.uniform(events) < _ROUND_SIZES, np.ceil(size), size)
    is_removed = ~is_trade & (chance.uniform(events) < _REMOVED)
    return typed(
        kind=np.where(is_trade, int(Kind.TRADE), int(Kind.LEVEL)),
        market=market,
        at_us=at_us,
        received_us=at_us + _LAG_US,
        price=markets.price(market, steps),
        amount=np.where(is_removed, 0.0, size * np.where(is_trade, 1.0, 20.0)),
        side=side,
        key=np.arange(1, events + 1),
        flags=np.where(is_trade, 0, int(Flag.LAST)),
    )


def trades_of(columns: Columns) -> Columns:
    """Return the trades alone."""
    return columns.where(columns.kind == int(Kind.TRADE))


def joined(*parts: Columns) -> Columns:
    """Return the rows of several streams, one after the other."""
    return Columns._make(np.concatenate(column) for column in zip(*parts, strict=True))


def batches(columns: Columns, size: int = 1024) -> list[Batch]:
    """Return the rows as batches of `size` over the columns, not copied."""
    return [Batch.over(**columns.where(slice(start, start + size))._asdict()) for start in range(0, columns.rows, size)]


def typed(**columns: NDArray[Any]) -> Columns:
    """Return columns of the item types that a batch has."""
    return Columns(**{name: np.ascontiguousarray(columns[name], dtype=kind) for name, kind in _TYPES.items()})
