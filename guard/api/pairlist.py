"""Freqtrade's RemotePairList, made of a snapshot: the way that needs no code in the bot."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from guard.api.opening import opening
from guard.client.answer import answer
from guard.model.assets import RENAMED
from guard.model.market import Market
from guard.model.quarantine import Block, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard.client.payload import Snapshot

__all__ = ["MODES", "pairlist"]

MODES: Final = ("blacklist", "whitelist")
_REFRESH_S: Final = 1
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
# How exchanges write many coins as one: 1000PEPE, 1000000MOG, 1MBABYDOGE, kPEPE. As in `guard.model.assets`, or wider.
_MULTIPLES: Final = r"(?:10{3,7}|1M|k)?"


def pairlist(
    snapshot: Snapshot | None,
    exchange: str,
    *,
    bot: str | None = None,
    mode: str = "blacklist",
    now_us: int,
    problem: str | None = None,
    is_bypassed: bool = False,
) -> tuple[int, str, bytes]:
    r"""Return the status, content type and body of one answer to a RemotePairList.

    Parameters
    ----------
    snapshot
        What is published; None where nothing is.
    exchange
        Its name in guard.yaml.
    bot
        Whose policy counts; None takes the policy of all.
    mode
        ``blacklist``: the symbols that must not be entered. ``whitelist``: those that may be, of the watched ones.
    now_us
        Microseconds since 1970; blocks that ended by then are over.
    problem
        Why the snapshot is out of its lease, None where it is not.
    is_bypassed
        Everything is permitted.

    Notes
    -----
    A Freqtrade bot looks at the content type, never at the status, and reads JSON without ``pairs`` as an empty list: every error
    is plain text, which makes it keep its last list or, at its start, stop. Entries are regular expressions to it, and one that is
    none ends its process: each symbol is escaped. A base asset that is blocked as a whole is a pattern, because it covers markets
    that guard does not watch.

    Examples
    --------
    >>> pairlist(None, "binance", now_us=0)
    (503, 'text/plain', b'guard has published nothing yet\n')
    """
    if mode not in MODES:
        return _error(400, f"mode is one of {', '.join(MODES)}")
    if problem is not None or snapshot is None or not snapshot.is_running:
        return _error(503, problem or ("guard has published nothing yet" if snapshot is None else "guard was stopped"))
    symbols = _watched(snapshot, exchange)
    if not symbols:
        return _unwatched(snapshot, exchange)
    refused = {symbol for symbol in symbols if not _is_open(snapshot, exchange, symbol, bot, now_us, is_bypassed=is_bypassed)}
    if mode == "whitelist":
        return _list(sorted(re.escape(symbol) for symbol in symbols - refused))
    beyond = set() if is_bypassed else set(_beyond(snapshot, exchange, symbols, bot, now_us))
    return _list(sorted({re.escape(symbol) for symbol in refused} | beyond))


def _watched(snapshot: Snapshot, exchange: str) -> set[str]:
    prefix = f"{exchange}:"
    return {market[len(prefix) :] for market in snapshot.markets if market.startswith(prefix)}


def _unwatched(snapshot: Snapshot, exchange: str) -> tuple[int, str, bytes]:
    if exchange in snapshot.unreached:
        return _error(503, f"{exchange} was not reached yet: nobody knows what is watched there")
    names = sorted({market.partition(":")[0] for market in snapshot.markets} | set(snapshot.unreached))
    return _error(404, f"guard watches nothing on {exchange!r}; it watches {', '.join(names) or 'nothing'}")


def _is_open(snapshot: Snapshot, exchange: str, symbol: str, bot: str | None, now_us: int, *, is_bypassed: bool) -> bool:
    question = opening(snapshot, Market(exchange, symbol), bot, now_us=now_us, is_bypassed=is_bypassed)
    # A contract is sold to open, too.
    question = question._replace(side=None if ":" in symbol else "buy")
    return answer(snapshot, question).clearance.permitted


def _beyond(snapshot: Snapshot, exchange: str, symbols: set[str], bot: str | None, now_us: int) -> Iterator[str]:
    """Yield patterns for what blocks cover beyond the watched markets, where this bot is refused there."""
    for block in snapshot.blocks:
        if block.block is not Block.ENTRIES:
            continue
        kind, name = block.target.kind, block.target.name
        if kind is TargetKind.BASE:
            sample, pattern = f"{name}/{_anything(snapshot)}", f"{_spellings(snapshot, exchange, name)}/.*"
        elif kind is TargetKind.SYMBOL:
            base, slash, rest = name.partition("/")
            sample, pattern = name, f"{_spellings(snapshot, exchange, base)}{re.escape(slash + rest)}"
        elif kind is TargetKind.MARKET and name.startswith(f"{exchange}:"):
            sample = name.partition(":")[2]
            pattern = re.escape(sample)
        elif kind is TargetKind.EXCHANGE and name == exchange:
            sample, pattern = next(iter(sorted(symbols))), ".*"
        else:
            continue
        if not _is_open(snapshot, exchange, sample, bot, now_us, is_bypassed=False):
            yield pattern


def _spellings(snapshot: Snapshot, exchange: str, asset: str) -> str:
    """Return a pattern of all bases that count one asset on an exchange, those of ``aliases`` in guard.yaml too."""
    names = {name for name, known in RENAMED.items() if known == asset}
    for alias, known in snapshot.aliases.items():
        place, _, base = alias.rpartition(":")
        if known == asset and place in {"", exchange}:
            names.add(base)
    other = "".join(f"|{re.escape(name)}" for name in sorted(names - {asset}))
    return f"(?:{_MULTIPLES}{re.escape(asset)}{other})"


def _anything(snapshot: Snapshot) -> str:
    return next((Market.parse(market).quote for market in snapshot.markets), "USDT")


def _list(pairs: list[str]) -> tuple[int, str, bytes]:
    return 200, _JSON, json.dumps({"pairs": pairs, "refresh_period": _REFRESH_S}).encode()


def _error(status: int, text: str) -> tuple[int, str, bytes]:
    return status, _TEXT, f"{text}\n".encode("utf-8", "backslashreplace")
