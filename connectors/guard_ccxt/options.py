"""The options of one exchange in guard.yaml, checked before anything is connected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from guard.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

__all__ = ["Options", "read_options", "refuse"]

_KEYS = frozenset(
    {"apiKey", "api_key", "secret", "password", "uid", "login", "token", "privateKey", "walletAddress", "credentials", "twofa"}
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_BINANCE_LIKE = frozenset({"binance", "binanceus"})
# Documented: Binance numbers the trades of each market, Gate gives "consecutive" ids within a market. KuCoin's leave out numbers.
_COUNTED = frozenset({*_BINANCE_LIKE, "gate", "gateeu"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How one exchange is reached.

    Parameters
    ----------
    id
        ccxt.pro's id of the exchange.
    urls, options, has
        Laid over the same attributes of the ccxt instance, nested.
    types
        Market types on offer, in the words of the exchange's ``fetchMarkets`` option (``spot``, ``linear``, ``swap``, ...).
        Empty: whatever ccxt loads.
    book_limit
        Depth asked for, levels on a side, 1..5000.
    levels_max
        Levels kept on a side, >= 10; a book half as deep again is cut and shown anew.
    stall_after_s, first_event_s
        Seconds of silence of a connection, and until the first event of a subscription, before it is rebuilt. 0.05..3600.
    ticker_poll_s
        Seconds between looks at all tickers, which find streams that died in silence; 0 for never, else 0.05..3600.
    markets_s
        Seconds between looks at the list of markets, 60..86400; a ticker of an unknown market makes the next one sooner.
    repair_delay_s
        Seconds before missed trades are asked for: REST answers lag behind streams. 0..4.
    bad_frames_max
        Bad frames in a row that end a connection, >= 1.
    tier
        ``auto``: a typed decoder reads frames where the exchange has one and msgspec is installed; ``generic``: ccxt alone does.
    recycle_after_s
        Age at which connections are renewed before the exchange cuts them: fresh ones deliver before the old ones are closed. Each
        shard takes up to a tenth off. 0 for never, else 0.2..604800.
    streams_max
        Subscriptions of one ccxt instance before another is opened, 0: as `connections.limits` knows the exchange. 0..10000.
    dials_per_minute
        Connections opened in a minute, 0: as `guard_ccxt.connections.limits` knows the exchange. 0..1000.
    rest_concurrent
        REST requests under way at once, 1..32.
    rest_share
        The part of the exchange's documented REST budget that guard may use, 0.001..1. A bot beside it needs the rest.
    rest_stop_at
        Where all that this address asks uses so much of that budget, guard asks nothing until it falls. 0.01..1.
    dummy_keys
        Set keys that open nothing, for an exchange class that insists on keys for public data. Loopback urls only.
    """

    id: str
    urls: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    has: Mapping[str, Any] = field(default_factory=dict)
    types: tuple[str, ...] = ()
    book_limit: int = 100
    levels_max: int = 2000
    stall_after_s: float = 60.0
    first_event_s: float = 30.0
    ticker_poll_s: float = 60.0
    markets_s: float = 3600.0
    repair_delay_s: float = 1.0
    bad_frames_max: int = 20
    tier: str = "auto"
    recycle_after_s: float = 82_800.0
    streams_max: int = 0
    dials_per_minute: int = 0
    rest_concurrent: int = 4
    rest_share: float = 0.2
    rest_stop_at: float = 0.5
    dummy_keys: bool = False

    def has_sequence(self, market_type: str) -> bool:
        """Return whether the ids of this exchange's trades are known to count up by one on each market."""
        is_aggregate = (self.options.get("watchTrades") or {}).get("name") == "aggTrade"
        return self.id in _COUNTED and market_type == "spot" and not is_aggregate

    def repair_parameters(self, market_type: str) -> dict[str, Any]:
        """Return what `fetch_trades` needs to answer with the ids of the stream (Binance's default answers aggregates)."""
        if self.id in _BINANCE_LIKE and self.has_sequence(market_type):
            return {"fetchTradesMethod": "publicGetTrades"}
        return {}


def refuse(name: str, found: str, allowed: str) -> ConfigurationError:
    """Return the error for one option of exchange `name`."""
    return ConfigurationError(Problem("guard.yaml", 1, 1, "E400", "exchange-option", "error", f"exchange {name}: {found}", allowed))


def read_options(name: str, given: Mapping[str, Any]) -> Options:
    """Return the options of the exchange called `name`; raises ConfigurationError naming every mistake."""
    values = dict(given)
    problems = list(_problems(name, values))
    if problems:
        raise ConfigurationError(*(problem for error in problems for problem in error.problems))
    values.setdefault("id", name)
    values["types"] = tuple(values.get("types") or ())
    return Options(**values)


def _problems(name: str, values: Mapping[str, Any]) -> Iterator[ConfigurationError]:
    nested = values.get("options")
    keys = (set(values) | set(nested if isinstance(nested, dict) else ())) & _KEYS
    if keys:
        yield refuse(name, f"carries {', '.join(sorted(keys))}", "guard reads public data only and needs no keys: remove them")
    known = set(Options.__dataclass_fields__)
    for key in sorted(set(values) - known - _KEYS):
        yield refuse(name, f"unknown option {key!r}", f"allowed are {', '.join(sorted(known))}")
    for key, (is_good, needed) in _CHECKS.items():
        if key in values and not is_good(values[key]):
            yield refuse(name, f"{key} is {values[key]!r}", f"{needed} is needed")
    if values.get("dummy_keys") and not _is_loopback(values.get("urls") or {}):
        yield refuse(name, "dummy_keys with urls beyond this machine", "dummy keys are for a server on 127.0.0.1 only")


def _seconds(least: float, most: float) -> tuple[Callable[[object], bool], str]:
    return (lambda value: _is_number(value, least, most)), f"a number of seconds from {least:g} to {most:g}"


def _count(least: int, most: int) -> tuple[Callable[[object], bool], str]:
    return (lambda value: isinstance(value, int) and _is_number(value, least, most)), f"a whole number from {least} to {most}"


def _part(least: float) -> tuple[Callable[[object], bool], str]:
    return (lambda value: _is_number(value, least, 1.0)), f"a part from {least:g} to 1"


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


_MAPPING: tuple[Callable[[object], bool], str] = ((lambda value: isinstance(value, dict)), "a mapping")
_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    "id": ((lambda value: isinstance(value, str) and value.isidentifier()), "an id of ccxt.pro"),
    "urls": _MAPPING,
    "options": _MAPPING,
    "has": _MAPPING,
    "types": (
        (lambda value: isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)),
        "a list of market types",
    ),
    "book_limit": _count(1, 5000),
    "levels_max": _count(10, 100_000),
    "stall_after_s": _seconds(0.05, 3600.0),
    "first_event_s": _seconds(0.05, 3600.0),
    "ticker_poll_s": _seconds(0.0, 3600.0),
    "markets_s": _seconds(60.0, 86_400.0),
    "repair_delay_s": _seconds(0.0, 4.0),
    "bad_frames_max": _count(1, 100_000),
    "tier": ((lambda value: value in ("auto", "generic")), "auto or generic"),
    "recycle_after_s": (
        (lambda value: value == 0 or _is_number(value, 0.2, 604_800.0)),
        "0 or a number of seconds from 0.2 to 604800",
    ),
    "streams_max": _count(0, 10_000),
    "dials_per_minute": _count(0, 1000),
    "rest_concurrent": _count(1, 32),
    "rest_share": _part(0.001),
    "rest_stop_at": _part(0.01),
    "dummy_keys": ((lambda value: isinstance(value, bool)), "true or false"),
}


def _is_loopback(urls: Any) -> bool:
    found = list(_texts(urls))
    return bool(found) and all(urlsplit(url).hostname in _LOOPBACK for url in found)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value
