"""Fetches the trades that a lost connection missed, and tells whether that closes the hole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import MalformedEvent, RateLimited, Unavailable
from guard.model import event_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from guard.model.ports import Clock
    from guard_ccxt.counters import Counters
    from guard_ccxt.stream.gate import TradeRow
    from guard_ccxt.stream.seam import Seam
    from guard_ccxt.stream.subscription import Subscription

__all__ = ["Fetched", "assess", "assess_nameless", "overlooked", "passed", "repair"]


_LOOKS, _LOOK_S = 5, 0.2
_BEGUN_US = 300_000  # what was on its way when a stream began need not come


class Fetched(NamedTuple):
    """Trades that were missed, oldest first, and whether there can be no others."""

    missing: list[TradeRow]
    is_closed: bool


def assess(answer: list[TradeRow], *, known: frozenset[int], held: list[TradeRow], since_us: int) -> Fetched:
    """Return what of `answer` was missed since `since_us`, the last good moment.

    The hole is closed where the answer reaches back to a trade that was delivered (`known`), or that is older than the hole, and
    reaches forward to the first trade `held` since; and where each trade has an id to tell it by.
    """
    keys = {row.key for row in answer}
    has_past = any(row.key in known or row.at_us < since_us for row in answer)
    has_present = not held or (held[0].key != 0 and held[0].key in keys)
    arrived = {row.key for row in held}
    missing = [row for row in answer if row.at_us >= since_us and row.key not in known and row.key not in arrived]
    missing.sort(key=lambda row: row.at_us)
    return Fetched(missing, has_past and has_present and 0 not in keys)


def overlooked(answer: list[TradeRow], known: frozenset[int], since_us: int | None = None) -> list[TradeRow]:
    """Return the trades of an answer that never came though trades before and after them did, oldest first.

    Since `since_us`, where that is given, all of them should have come.

    Examples
    --------
    >>> from guard_ccxt.stream.gate import TradeRow
    >>> answer = [TradeRow(at, 1.0, 1.0, 1, key, 0) for at, key in ((10, 5), (20, 8), (30, 9), (40, 11), (50, 12))]
    >>> [row.key for row in overlooked(answer, frozenset({8, 11}))]
    [9]
    """
    came = [row.at_us for row in answer if row.key and row.key in known]
    if not came:
        return []
    first_us, last_us = min(came if since_us is None else (*came, since_us + _BEGUN_US)), max(came)
    gone = [row for row in answer if first_us < row.at_us < last_us and row.key and row.key not in known]
    return sorted(gone, key=lambda row: row.at_us)


def assess_nameless(answer: list[TradeRow], *, seam: Seam, held: list[TradeRow], offset_us: int) -> Fetched:
    """Like `assess`, for trades without ids: they are told by moment, price, amount and side, each fill once."""
    missing, has_past = seam.missed(answer, offset_us)
    has_present = not held or any(_is_like(row, held[0]) for row in answer)
    for row in held:
        at = next((at for at, one in enumerate(missing) if _is_like(one, row)), None)
        if at is not None:
            del missing[at]
    return Fetched(missing, has_past and has_present)


def assess_newer(answer: list[TradeRow], *, held: list[TradeRow], since_us: int) -> Fetched:
    """Like `assess`, for an answer without ids about a stream with ids: only what lies surely inside the hole, which stays one."""
    until_us = min((row.at_us for row in held), default=None)
    inside = [row for row in answer if row.at_us > since_us and (until_us is None or row.at_us < until_us)]
    return Fetched(sorted(inside, key=lambda row: row.at_us), is_closed=False)


def _is_like(one: TradeRow, other: TradeRow) -> bool:
    return one[:4] == other[:4]


async def repair(
    subscription: Subscription,
    fetch: Callable[..., Awaitable[Any]],
    *,
    clock: Clock,
    counters: Counters,
) -> None:
    """Fetch the last trades (and, where they do not reach back, those since the hole began) and settle the subscription.

    `fetch(since_ms)` raises Unavailable. A later loss may have settled it meanwhile: then nothing is done. Where ids count up, the
    next trade may show that nothing is missing: a market where none comes is asked about 1 s later than others.
    """
    held, since_us = subscription.held, subscription.last_good_us
    if held is None or since_us is None:
        return
    await _first(subscription, held, clock)
    floor_us = subscription.last_trade_us or since_us
    rows: list[TradeRow] = []
    fetched, is_refused = Fetched([], is_closed=False), False
    try:
        for since_ms in (None, floor_us // 1000 - 1):
            if subscription.held is not held:
                return  # too late
            rows = _merged(rows, passed(await fetch(since_ms), subscription, counters, clock.now_us()))
            arrived = [row for row, _ in held]
            if rows and not any(row.key for row in rows) and subscription.ids.last:
                fetched = assess_newer(rows, held=arrived, since_us=floor_us)
            elif rows and not any(row.key for row in rows):
                offset_us = subscription.gate.offset.offset_us
                fetched = assess_nameless(rows, seam=subscription.memory.seam, held=arrived, offset_us=offset_us)
            else:
                fetched = assess(rows, known=subscription.known, held=arrived, since_us=floor_us)
            if fetched.is_closed:
                break
    except RateLimited:
        is_refused = True
        counters.note("missed trades cannot all be fetched within guard's REST share: what is left out is a gap")
    except Unavailable as error:
        counters.note(f"trades missed on {subscription.symbol} cannot be fetched: {error}")
    finally:  # whatever happens, the trades held back must go on
        if subscription.held is held:
            _settle(subscription, fetched, is_refused=is_refused)


async def _first(subscription: Subscription, held: list[tuple[TradeRow, int]], clock: Clock) -> None:
    for _ in range(_LOOKS if subscription.ids.tells else 0):
        if held or subscription.held is not held:
            return
        await clock.sleep(_LOOK_S)


def _settle(subscription: Subscription, fetched: Fetched, *, is_refused: bool) -> None:
    if is_refused and not subscription.held and subscription.ids.tells:
        subscription.is_given_up = True  # nothing is held back: until it is a gap the next trade may tell
        return
    new = [row for row in fetched.missing if not subscription.remember(row)]
    subscription.settle(new, is_closed=fetched.is_closed)


def _merged(first: list[TradeRow], second: list[TradeRow]) -> list[TradeRow]:
    known = {row.key for row in first}
    return first + [row for row in second if row.key not in known]


def passed(trades: Any, subscription: Subscription, counters: Counters, now_us: int) -> list[TradeRow]:
    """Return the trades of an answer that pass the gate; the others are counted.

    ccxt leaves the ids of some answers out (KuCoin's ``sequence``): they are taken where they are those of the stream.
    """
    rows, names = [], []
    for trade in trades or ():
        try:
            rows.append(subscription.gate.trade(trade, received_us=now_us, is_live=False))
        except MalformedEvent as error:
            counters.reject(error.reason)
            continue
        about = trade.get("info")
        names.append(event_key(about.get("sequence")) if isinstance(about, dict) else 0)
    if any(row.key for row in rows) or not all(names):
        return rows
    came = subscription.recent() | {row.key for row, _ in subscription.held or ()}
    return [row._replace(key=name) for row, name in zip(rows, names, strict=True)] if came & set(names) else rows
