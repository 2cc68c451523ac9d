"""The files of others that are read as they are: which of them a file is, and where it has what."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from guard.model import ASK, BID, BUY, SELL

__all__ = ["Layout", "counts_contracts", "layout_of", "span_of"]

_TARDIS: Final = ("exchange", "symbol", "timestamp", "local_timestamp")
_BINANCE_NAME: Final = re.compile(r"^([A-Za-z0-9_]+)-(trades|aggTrades)-(\d{4}-\d{2}(?:-\d{2})?)\.")
_TRADE_SIDES: Final = {"buy": BUY, "sell": SELL, "unknown": 0, "": 0}
_COIN_MARGINED: Final = re.compile(r"USD_(PERP|\d{6})$")
# The maker bought, so the taker sold.
_MAKER_SIDES: Final = {"true": SELL, "false": BUY}


class Layout(NamedTuple):
    """What a file holds: ``trades`` or ``book``, whose they are, and the places of its columns; -1 for one that it has not.

    `symbol` is the one of the whole file where no column tells it. `stamp` and `arrived` are microseconds where `is_us`, else
    milliseconds or microseconds, by their size.
    """

    source: str
    holds: str
    width: int
    has_header: bool
    is_us: bool
    exchange: int
    symbol_at: int
    symbol: str
    stamp: int
    arrived: int
    key: int
    side: int
    sides: dict[str, int]
    price: int
    amount: int
    snapshot: int


def counts_contracts(name: str) -> bool:
    """Return whether a file is a public dump of Binance's COIN-M futures: their amounts are contracts of 10 or 100 USD.

    Examples
    --------
    >>> counts_contracts("BTCUSD_PERP-aggTrades-2024-03.zip"), counts_contracts("BTCUSDT_240329-trades-2024-03.zip")
    (True, False)
    """
    match = _BINANCE_NAME.match(name)
    return match is not None and _COIN_MARGINED.search(match[1].upper()) is not None


def span_of(name: str) -> tuple[str, str] | None:
    """Return symbol and month or day of a public dump of Binance, by its name; None for any other file.

    Examples
    --------
    >>> span_of("BTCUSDT-aggTrades-2024-03-07.zip")
    ('BTCUSDT', '2024-03-07')
    """
    match = _BINANCE_NAME.match(name)
    return None if match is None else (match[1].upper(), match[3])


def layout_of(header: list[str], name: str) -> Layout | None:
    """Return the layout of a file by its first line and its name; None where it is none of these."""
    names = [cell.strip().lower() for cell in header]
    if tuple(names[: len(_TARDIS)]) == _TARDIS:
        return _tardis(names)
    match = _BINANCE_NAME.match(name)
    if match is None:
        return None
    symbol, kind = match[1].upper(), match[2]
    if names and names[0].isdecimal():
        return _binance(symbol, kind, len(names), has_header=False)
    if "is_buyer_maker" in names and "base_qty" not in names:
        return _binance(symbol, kind, len(names), has_header=True)
    return None


def _tardis(names: list[str]) -> Layout | None:
    at = {name: place for place, name in enumerate(names)}
    is_book = "is_snapshot" in at
    if not {"side", "price", "amount"} <= set(at) or not (is_book or "id" in at):
        return None
    return Layout(
        source="tardis",
        holds="book" if is_book else "trades",
        width=len(names),
        has_header=True,
        is_us=True,
        exchange=at["exchange"],
        symbol_at=at["symbol"],
        symbol="",
        stamp=at["timestamp"],
        arrived=at["local_timestamp"],
        key=-1 if is_book else at["id"],
        side=at["side"],
        sides={"bid": BID, "ask": ASK} if is_book else _TRADE_SIDES,
        price=at["price"],
        amount=at["amount"],
        snapshot=at.get("is_snapshot", -1),
    )


def _binance(symbol: str, kind: str, width: int, *, has_header: bool) -> Layout | None:
    """Return the layout of a public dump: spot has one column more than the futures, whether the price was the best."""
    stamp = 4 if kind == "trades" else 5
    if width not in (stamp + 2, stamp + 3):
        return None
    return Layout(
        source="binance" if width == stamp + 3 else "binanceusdm",
        holds="trades",
        width=width,
        has_header=has_header,
        is_us=False,
        exchange=-1,
        symbol_at=-1,
        symbol=symbol,
        stamp=stamp,
        arrived=-1,
        key=0,
        side=stamp + 1,
        sides=_MAKER_SIDES,
        price=1,
        amount=2,
        snapshot=-1,
    )
