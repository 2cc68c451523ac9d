"""The answer a bot gets before each order."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Clearance", "ClearanceStatus", "Intent", "Mode"]


class Mode(StrEnum):
    """The ceiling of guard.yaml: under observe and alert every answer is permitted."""

    OBSERVE = "observe"
    ALERT = "alert"
    ENFORCE = "enforce"


class Intent(StrEnum):
    """What an order does to the position; reduce, close and hedge are always permitted."""

    OPEN = "open"
    INCREASE = "increase"
    REDUCE = "reduce"
    CLOSE = "close"
    HEDGE = "hedge"


class ClearanceStatus(StrEnum):
    """What guard says of a market."""

    ALLOWED = "allowed"
    SHRINK = "shrink"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"


class Clearance(NamedTuple):
    """What guard says of one order.

    `permitted` is the bool a bot acts on. `max_fraction` is the part of the usual size that may be opened (1.0 unless the
    status is shrink). `would_block` tells that enforcement would have refused. `reason` of an unknown is ``guard_silent``,
    ``feed_stale``, ``warming`` or ``not_watched``. `data` is the market's data state. `rules_active` of `rules_expected`
    stand behind the answer. `epoch` and `seq` name the published state, `durable` tells whether it is in the ledger,
    `age_ms` how long ago guard last proved to be alive, None where it never did. `permitted_by` tells what alone permits an order
    that would be refused or shrunk otherwise: ``bypass``, ``mode``, or of this bot's policy ``bot_mode``, ``bot_exchanges``,
    ``bot_sides`` or ``bot_rules`` (its rules, tags and level). `until_us` is the end of the block or, where `reason` is
    ``new_listing``, of the time in which this bot's policy counts the market as new.
    """

    status: ClearanceStatus
    permitted: bool
    would_block: bool
    reason: str = ""
    rule: str | None = None
    level: str | None = None
    quarantine_id: str | None = None
    until_us: int | None = None
    max_fraction: float = 1.0
    data: str | None = None
    rules_active: int = 0
    rules_expected: int = 0
    epoch: int = 0
    seq: int = 0
    durable: bool = True
    age_ms: float | None = None
    bypassed: bool = False
    permitted_by: str = ""
