"""The coins of the embedded exchange, and how each of them trades."""

from __future__ import annotations

import math
from typing import NamedTuple

from guard.errors import ConfigurationError, Problem

__all__ = ["COINS", "QUOTE", "Coin", "chosen", "hour_factor"]

QUOTE = "USDT"
_COUNT_MAX = 200


class Coin(NamedTuple):
    """One coin against USDT.

    `price` in USDT at the start; one tick is 10**-`price_digits`, one lot 10**-`lot_digits`. `step_bp` is the distance between
    two levels of the book in basis points, `level_usd` what rests on one near the middle. `trades_per_s` is the mean over a day,
    `order_usd` the median of a market order. `volatility` is the coin's own, per square root of a second; `beta` is what it takes
    of the common factor's moves. `quote_ms` is how often its market maker looks.
    """

    base: str
    price: float
    price_digits: int
    lot_digits: int
    step_bp: float
    level_usd: float
    trades_per_s: float
    order_usd: float
    volatility: float
    beta: float
    quote_ms: int = 100
    is_major: bool = False

    @property
    def symbol(self) -> str:
        """Return the unified symbol, ``BTC/USDT``."""
        return f"{self.base}/{QUOTE}"

    @property
    def id(self) -> str:
        """Return the exchange's own name, ``BTCUSDT``."""
        return f"{self.base}{QUOTE}"

    @property
    def ticks_per_usdt(self) -> float:
        """Return how many ticks make a USDT."""
        return float(10.0**self.price_digits)

    @property
    def lots_per_coin(self) -> float:
        """Return how many lots make a coin."""
        return float(10.0**self.lot_digits)

    @property
    def tick(self) -> float:
        """Return the smallest step of a price."""
        return float(10.0**-self.price_digits)

    @property
    def lot(self) -> float:
        """Return the smallest step of an amount."""
        return float(10.0**-self.lot_digits)

    def price_text(self, ticks: int) -> str:
        """Write a price as the exchange does."""
        return f"{ticks / self.ticks_per_usdt:.{self.price_digits}f}"

    def amount_text(self, lots: int) -> str:
        """Write an amount as the exchange does."""
        return f"{lots / self.lots_per_coin:.{self.lot_digits}f}"


# Activity falls off like 1/rank from BTC down; the last ones are silent for minutes, as thin coins are.
COINS = (
    Coin("BTC", 64_250.0, 2, 5, 0.5, 40_000.0, 6.0, 1_500.0, 0.00001, 1.0, is_major=True),
    Coin("ETH", 3_120.0, 2, 4, 0.8, 25_000.0, 3.5, 900.0, 0.00003, 1.1, is_major=True),
    Coin("SOL", 148.0, 3, 3, 1.5, 9_000.0, 2.0, 500.0, 0.00005, 1.25),
    Coin("XRP", 0.5230, 5, 1, 1.5, 8_000.0, 1.5, 400.0, 0.00005, 0.9),
    Coin("BNB", 571.0, 2, 3, 1.5, 8_000.0, 1.1, 450.0, 0.00004, 0.85),
    Coin("DOGE", 0.1240, 6, 0, 2.0, 6_000.0, 1.0, 300.0, 0.00006, 1.2),
    Coin("AVAX", 27.40, 4, 2, 2.5, 3_000.0, 0.7, 250.0, 0.00007, 1.3),
    Coin("LINK", 13.90, 4, 2, 2.5, 3_000.0, 0.6, 250.0, 0.00007, 1.1),
    Coin("LAYR", 2.315, 5, 2, 2.5, 1_500.0, 0.8, 150.0, 0.00006, 1.0),
    Coin("SUDS", 0.4710, 6, 1, 5.0, 900.0, 0.5, 120.0, 0.00007, 1.1),
    Coin("YAWN", 1.084, 6, 1, 5.0, 700.0, 0.4, 110.0, 0.00007, 0.9),
    Coin("MOON", 0.04200, 7, 0, 8.0, 220.0, 0.3, 70.0, 0.00008, 1.2),
    Coin("FROST", 0.8800, 6, 1, 6.0, 500.0, 0.25, 90.0, 0.00007, 1.0, 200),
    Coin("KELP", 0.01930, 7, 0, 8.0, 250.0, 0.15, 60.0, 0.00008, 0.8, 200),
    Coin("DUST", 0.000812, 9, 0, 12.0, 150.0, 1 / 60, 45.0, 0.00008, 1.0, 500),
    Coin("MOSS", 0.2210, 7, 1, 12.0, 120.0, 1 / 90, 40.0, 0.00008, 0.9, 500),
)


def chosen(symbols: object = None, count: object = None) -> tuple[Coin, ...]:
    """Return the coins that an exchange is to have: those named in `symbols` (always with BTC), else the first `count`, else all.

    Beyond the named ones come numbered thin coins, ``C016`` and so on. Raises ConfigurationError for a coin that does not exist
    and for a count outside 1 to 200.
    """
    if symbols is not None:
        return _named(symbols)
    if count is None:
        return COINS
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _COUNT_MAX:
        raise _wrong("count", f"count must be a whole number from 1 to {_COUNT_MAX}, found {count!r}")
    return COINS[:count] + tuple(_numbered(rank) for rank in range(len(COINS), count))


def _named(symbols: object) -> tuple[Coin, ...]:
    if not isinstance(symbols, (list, tuple)) or not symbols:
        raise _wrong("symbols", f"symbols must be a list such as [BTC/USDT, MOON/USDT], found {symbols!r}")
    by_name = {coin.symbol: coin for coin in COINS}
    unknown = [symbol for symbol in symbols if symbol not in by_name]
    if unknown:
        raise _wrong("symbols", f"no symbol {', '.join(map(str, unknown))} here; there are {', '.join(by_name)}")
    # BTC is the reference of every residual return; an exchange without it could not tell a market-wide fall from one coin's.
    return tuple(coin for coin in COINS if (coin.is_major and coin.base == "BTC") or coin.symbol in symbols)


def _numbered(rank: int) -> Coin:
    return Coin(
        base=f"C{rank:03d}",
        price=0.1 + 0.01 * rank,
        price_digits=6,
        lot_digits=1,
        step_bp=8.0,
        level_usd=250.0,
        trades_per_s=6.0 / (rank + 1) ** 1.3,
        order_usd=60.0,
        volatility=0.00008,
        beta=0.8 + 0.05 * (rank % 9),
        quote_ms=500,
    )


def hour_factor(at_us: int) -> float:
    """Return how busy the hour of `at_us` is against the day's mean: about 1.45 at 15:00 UTC, 0.55 at 03:00."""
    hour = at_us % 86_400_000_000 / 3_600_000_000
    return 1.0 + 0.45 * math.cos((hour - 15.0) * math.pi / 12.0)


def _wrong(name: str, message: str) -> ConfigurationError:
    return ConfigurationError(Problem("guard.yaml", 1, 1, "S001", f"sim-{name}", "error", f"exchange sim: {message}"))
