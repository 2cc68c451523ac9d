"""What exchanges allow one address to ask in a while, and what each request costs of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from guard_ccxt.markets.families import family_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Quota", "quota_of", "weight_of"]

MINUTE_S = 60.0
_PER_MINUTE_MIN, _PER_MINUTE_MAX = 6.0, 6000.0
_WEIGHT_MAX = 100_000.0


class Quota(NamedTuple):
    """A documented budget: `weight` within `window_s` seconds. `unit` is the weight of one unit of ccxt's costs."""

    weight: float
    window_s: float
    unit: float = 1.0

    @property
    def per_minute(self) -> float:
        """The weight of a minute."""
        return self.weight * MINUTE_S / self.window_s


# From the exchanges' documentation of public REST endpoints; per address, without keys. OKX counts each endpoint for itself, and
# so does Gate: one budget for all of them is on the safe side. What is not listed has the budget of its family.
_LIMITS: Mapping[str, Quota] = {
    "binance": Quota(6000.0, 60.0, 5.0),
    "binanceus": Quota(1200.0, 60.0, 1.0),
    "binanceusdm": Quota(2400.0, 60.0, 1.0),
    "binancecoinm": Quota(2400.0, 60.0, 1.0),
    "kucoin": Quota(2000.0, 30.0, 1.0),
    "gate": Quota(200.0, 10.0, 1.0),
    "okx": Quota(20.0, 2.0, 1.0),
    "bybit": Quota(250.0, 5.0, 1.0),  # ccxt gives every request a cost of 5
}
# Where ccxt's cost is below the documented weight.
_WEIGHTS: Mapping[str, Mapping[str, float]] = {
    "binance": {"/api/v3/trades": 25.0, "/api/v3/historicalTrades": 25.0, "/api/v3/aggTrades": 4.0, "/api/v3/exchangeInfo": 20.0},
}


def quota_of(exchange: Any) -> Quota:
    """Return the budget of a ccxt instance: the documented one, else what ccxt's own pace allows, at most 6000 a minute.

    Examples
    --------
    >>> class Exchange:
    ...     id, rateLimit = "small", 500
    >>> quota_of(Exchange)
    Quota(weight=120.0, window_s=60.0, unit=1.0)
    """
    known = _LIMITS.get(str(exchange.id)) or _LIMITS.get(family_of(str(exchange.id)))
    if known is not None:
        return known
    pace_ms = exchange.rateLimit
    is_sane = isinstance(pace_ms, (int, float)) and math.isfinite(pace_ms) and pace_ms > 0
    per_minute = MINUTE_S * 1000 / pace_ms if is_sane else _PER_MINUTE_MIN
    return Quota(min(max(per_minute, _PER_MINUTE_MIN), _PER_MINUTE_MAX), MINUTE_S)


def weight_of(exchange_id: str, url: str, cost: object, unit: float) -> float:
    """Return the weight of a request, given ccxt's `cost` of it.

    Examples
    --------
    >>> weight_of("binance", "https://api.binance.com/api/v3/trades?symbol=AAAUSDT", 2, 5.0)
    25.0
    """
    units = float(cost) if isinstance(cost, (int, float)) and not isinstance(cost, bool) and math.isfinite(cost) else 1.0
    documented = _WEIGHTS.get(exchange_id, {}).get(urlsplit(url).path, 0.0)
    return min(max(units * unit, documented, 0.0), _WEIGHT_MAX)
