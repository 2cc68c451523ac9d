"""Freqtrade's locks, made of a snapshot: which there should be, and what has to change for that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.api.opening import opening
from guard.client.answer import Question, answer
from guard.model.bot import ListingAnswer
from guard.model.clearance import ClearanceStatus
from guard.model.market import Market

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.client.payload import Snapshot

__all__ = ["EVERY_PAIR", "OURS", "Lock", "Plan", "locks_of", "plan_of"]

OURS: Final = "guard:"
"""What the reason of a lock of guard begins with."""
EVERY_PAIR: Final = "*"
"""What Freqtrade takes for all pairs."""
# Columns of Freqtrade's table.
_REASON_MAX: Final = 255
_PAIR_MAX: Final = 25
# Two clocks that are kept by the same network service differ by less.
_CLOCKS_US: Final = 1_000_000
_SIDES: Final = {frozenset({"buy", "sell"}): "*", frozenset({"buy"}): "long", frozenset({"sell"}): "short"}


class Lock(NamedTuple):
    """A lock that there should be; `side` is Freqtrade's ``long``, ``short`` or ``*``, `until_us` its end at the earliest."""

    pair: str
    side: str
    until_us: int
    reason: str

    def payload(self) -> dict[str, str]:
        """Return it as ``POST /api/v1/locks`` takes it."""
        until = datetime.fromtimestamp(self.until_us / 1e6, UTC).isoformat()
        return {"pair": self.pair, "side": self.side, "until": until, "reason": self.reason}


class Plan(NamedTuple):
    """What has to change: locks to `add`, and the numbers of those of guard's own to `drop`."""

    add: tuple[Lock, ...]
    drop: tuple[int, ...]


def locks_of(
    snapshot: Snapshot,
    exchange: str,
    pairs: Iterable[str],
    *,
    bot: str | None,
    now_us: int,
    ahead_us: int = 0,
    is_bypassed: bool = False,
) -> tuple[Lock, ...]:
    """Return the locks that say what a bot may not enter.

    Parameters
    ----------
    snapshot
        What is published.
    exchange, pairs
        The exchange's name in guard.yaml and what the bot trades there.
    bot
        Whose policy counts; None takes the policy of all.
    now_us
        Microseconds since 1970; blocks that ended by then are over.
    ahead_us
        How far the bot's wall clock is ahead of that.
    is_bypassed
        Everything is permitted.

    Notes
    -----
    Only what is blocked until a known moment becomes a lock: a probation cannot be said by one, and stale data has no end. A pause
    of the whole exchange is one lock of all pairs.
    """
    question = opening(snapshot, Market(exchange, ""), bot, now_us=now_us, is_bypassed=is_bypassed)
    whole = _lock(snapshot, question, "", EVERY_PAIR, ahead_us)
    # A whitelist is long and little of it is blocked; only a policy on new listings blocks what no block covers.
    is_any = question.bot.new_listings.answer is ListingAnswer.REFUSE
    asked = sorted({pair for pair in pairs if len(pair) <= _PAIR_MAX and (is_any or snapshot.covering(Market(exchange, pair)))})
    found = (_lock(snapshot, question, pair, pair, ahead_us) for pair in asked)
    single = [lock for lock in found if lock is not None and (whole is None or lock[1:] != whole[1:])]
    return (*([] if whole is None else [whole]), *single)


def _lock(snapshot: Snapshot, question: Question, symbol: str, pair: str, ahead_us: int) -> Lock | None:
    refused, ends = set[str](), list[tuple[int, str]]()
    for side in ("buy", "sell"):
        asked = question._replace(market=Market(question.market.exchange, symbol), side=side)
        clearance = answer(snapshot, asked).clearance
        until_us = clearance.until_us
        if clearance.status is ClearanceStatus.BLOCKED and not clearance.permitted and until_us is not None:
            refused.add(side)
            ends.append((until_us, f"{OURS}{clearance.quarantine_id or '-'}:{clearance.rule or clearance.reason}"[:_REASON_MAX]))
    if not refused:
        return None
    until_us, reason = max(ends)
    return Lock(pair, _SIDES[frozenset(refused)], until_us + ahead_us, reason)


def plan_of(wanted: Sequence[Lock], standing: Iterable[Mapping[str, Any]], *, candle_us: int) -> Plan:
    """Return what makes the locks that stand the wanted ones.

    Parameters
    ----------
    standing
        As ``GET /api/v1/locks`` lists them; those of others are left alone.
    candle_us
        The bot's timeframe: Freqtrade moves the end of a lock on to the end of a candle.

    Raises
    ------
    KeyError, TypeError, ValueError
        For a list that Freqtrade would not write.
    """
    missing = {(lock.pair, lock.side, lock.reason): lock for lock in wanted}
    drop: list[int] = []
    for each in standing:
        number, reason = int(each["id"]), each["reason"]
        if not isinstance(reason, str) or not reason.startswith(OURS):
            continue
        key = (each["pair"], each["side"], reason)
        lock, over_us = missing.get(key), int(each["lock_end_timestamp"]) * 1000
        if lock is not None and -_CLOCKS_US <= over_us - lock.until_us <= candle_us + _CLOCKS_US:
            del missing[key]
        else:
            drop.append(number)
    return Plan(tuple(missing.values()), tuple(drop))
