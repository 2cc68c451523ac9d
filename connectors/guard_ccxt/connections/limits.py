"""What exchanges allow on one connection and from one address, in streams, dials and requests to subscribe."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard_ccxt.markets.families import family_of

if TYPE_CHECKING:
    from guard_ccxt.options import Options

__all__ = ["Limits", "Window", "limits_of"]


class Window(NamedTuple):
    """At most `most` in any `seconds`."""

    most: int
    seconds: float


class Limits(NamedTuple):
    """The part of an exchange's limits that guard uses.

    Parameters
    ----------
    streams
        Subscriptions of one ccxt instance; more go to another instance, with connections of its own.
    dials
        Connections opened to the exchange, by all instances together.
    messages
        Requests to subscribe or unsubscribe on one connection, besides ccxt's own pace.
    sockets
        The most connections that ccxt spreads the streams of one instance over, where it does so; 0: as it likes. See `spread`.
    batch
        Symbols that one request to subscribe may name, see `guard_ccxt.connections.batches`.
    """

    streams: int
    dials: tuple[Window, ...]
    messages: tuple[Window, ...] = ()
    sockets: int = 0
    batch: int = 1


# About half of what is documented: a bot has the same address, and a reconnect of everything costs as much again.
# Binance: 300 connects in 5 min from one address, 1,024 streams on a connection, 5 messages a second (ccxt keeps to 4).
_BINANCE = Limits(2000, (Window(5, 1.0), Window(150, 300.0)), (), 10)
# OKX: 3 connects a second; 480 requests to subscribe, unsubscribe or log in an hour on a connection.
_OKX = Limits(200, (Window(2, 1.0),), (Window(400, 3600.0),))
# KuCoin: 300 topics a session, and ccxt opens no second one (its issue 25450); 30 connects a minute; 100 messages in 10 s, each
# with up to 100 symbols.
_KUCOIN = Limits(240, (Window(15, 60.0),), (Window(50, 10.0),), batch=100)
# Bybit: 500 connects in 5 min, at most 1,000 connections from one address.
_BYBIT = Limits(400, (Window(5, 1.0), Window(250, 300.0)))
# Gate: about 100 connections to one host are advised.
_GATE = Limits(400, (Window(2, 1.0), Window(30, 60.0)))
# Coinbase: 8 requests a second from one address.
_COINBASE = Limits(200, (Window(4, 1.0),), (Window(4, 1.0),))
_DEFAULT = Limits(200, (Window(2, 1.0), Window(30, 60.0)))
_TABLE = {
    "binance": _BINANCE,
    "bybit": _BYBIT,
    "coinbase": _COINBASE,
    "coinbaseexchange": _COINBASE,
    "gate": _GATE,
    "kucoin": _KUCOIN,
    "okx": _OKX,
}


def limits_of(options: Options) -> Limits:
    """Return the limits of an exchange: those of the table, with what `options` say laid over."""
    limits = _TABLE.get(family_of(options.id), _DEFAULT)
    if options.streams_max:
        limits = limits._replace(streams=options.streams_max)
    if options.dials_per_minute:
        limits = limits._replace(dials=(Window(options.dials_per_minute, 60.0),))
    return limits
