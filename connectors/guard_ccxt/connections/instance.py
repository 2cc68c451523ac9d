"""Makes ccxt.pro instances as guard.yaml wants them: one for REST and the market table, and one for each shard. Imports ccxt."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import ccxt.pro

from guard_ccxt.options import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard_ccxt.connections.limits import Limits
    from guard_ccxt.options import Options

__all__ = ["made", "share", "sibling", "spread"]

_TRADES_LIMIT = 10_000  # the largest burst of one message; the tap empties the cache at once
_HELD_KEYS = {"apiKey": "guard", "secret": "Z3VhcmQ=", "password": "guard"}
_SOCKETS_MIN, _SOCKET_STREAMS, _SOCKET_STREAMS_MAX = 4, 50, 500
_SPREAD = "guardSockets"
_SHOWN_MAX = 8
_TABLE = (
    "markets",
    "markets_by_id",
    "symbols",
    "ids",
    "currencies",
    "currencies_by_id",
    "baseCurrencies",
    "quoteCurrencies",
    "codes",
)


def made(name: str, options: Options) -> Any:
    """Return an instance for the exchange called `name`.

    Raises ConfigurationError for an id that ccxt.pro does not know, and for urls that it never calls.
    """
    if options.id not in ccxt.pro.exchanges:
        near = difflib.get_close_matches(options.id, ccxt.pro.exchanges, n=3)
        raise refuse(
            name,
            f"ccxt.pro knows no exchange {options.id!r}",
            f"did you mean {', '.join(near)}?" if near else "see guard exchanges ls",
        )
    exchange = getattr(ccxt.pro, options.id)({"enableRateLimit": True, "newUpdates": True})
    _check_urls(name, options, exchange.urls)
    exchange.urls = exchange.deep_extend(exchange.urls, dict(options.urls))
    exchange.options = exchange.deep_extend(exchange.options, {"tradesLimit": _TRADES_LIMIT, **options.options})
    exchange.has = exchange.deep_extend(exchange.has, dict(options.has))
    if options.types:
        given = exchange.options.get("fetchMarkets")
        exchange.options["fetchMarkets"] = {**(given if isinstance(given, dict) else {}), "types": list(options.types)}
    if options.dummy_keys:
        for key, value in _HELD_KEYS.items():
            setattr(exchange, key, value)
    return exchange


def _check_urls(name: str, options: Options, known: Any) -> None:
    # An address under a name that ccxt never reads would leave the real one in use.
    places = dict(_leaves(known))
    for place, _ in _leaves(options.urls):
        if place not in places:
            near = difflib.get_close_matches(place, places, n=3, cutoff=0.4)
            allowed = ", ".join(near or [place for place in places if place.startswith("api")][:_SHOWN_MAX])
            raise refuse(name, f"urls: ccxt's {options.id} has no address {place!r}", f"allowed are {allowed}")


def _leaves(urls: Any, above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in urls.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def share(exchange: Any, other: Any) -> None:
    """Let `other` use the market table of `exchange`."""
    for attribute in _TABLE:
        setattr(other, attribute, getattr(exchange, attribute, None))
    for helper in exchange.options.get("marketHelperProps") or ():
        if exchange.options.get(helper) is not None:
            other.options[helper] = exchange.options[helper]


def spread(exchange: Any, options: Options, limits: Limits, streams: int) -> None:
    """Let ccxt use as many sockets as so many streams are worth, where it spreads them; never fewer than before.

    ccxt takes 50 of Binance's for any number of streams. A read of a socket costs as much as the trade in it, so fewer are cheaper;
    but requests to subscribe go out at four a second on each, and a socket that breaks takes its streams along.
    """
    given = exchange.options.get("streamLimits")
    if not limits.sockets or not isinstance(given, dict) or "streamLimits" in options.options:
        return
    wanted = min(limits.sockets, max(_SOCKETS_MIN, -(-streams // _SOCKET_STREAMS)))
    most = max(wanted, exchange.options.get(_SPREAD, 1))
    if exchange.options.get(_SPREAD) == most:
        return
    exchange.options[_SPREAD] = most
    exchange.options["streamLimits"] = dict.fromkeys(given, most)
    if "subscriptionLimitByStream" not in options.options:
        # The first sockets have more than their share when others join; ccxt stops at 200 of the 1,024 that Binance allows.
        exchange.options["subscriptionLimitByStream"] = dict.fromkeys(given, _SOCKET_STREAMS_MAX)


def sibling(exchange: Any, name: str, options: Options, limits: Limits) -> Any:
    """Return a fresh instance with the market table of `exchange`, whose REST requests are made by `exchange`.

    Nothing is loaded again and the table is there once. One rate limiter, one REST session and one place for answers' headers serve
    all: a shard holds nothing but streams.
    """
    fresh = made(name, options)
    share(exchange, fresh)
    spread(fresh, options, limits, 1)
    fresh.ssl_context = exchange.ssl_context
    # KuCoin starts tasks before it opens anything by itself; its first request would have done this.
    fresh.asyncio_loop = exchange.asyncio_loop

    async def fetch(*arguments: Any, **named: Any) -> Any:
        return await exchange.fetch(*arguments, **named)

    async def throttle(*arguments: Any, **named: Any) -> Any:
        return await exchange.throttle(*arguments, **named)

    fresh.fetch, fresh.throttle = fetch, throttle
    return fresh
