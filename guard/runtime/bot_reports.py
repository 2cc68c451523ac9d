"""What bots say of themselves: counts of their orders, what they hold, and that they live."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.client.reports import COUNTS
from guard.model import Market
from guard.model.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BOTS_MAX", "Bot", "BotReports"]

BOTS_MAX: Final = 64
_MARKETS_MAX: Final = 500
_POSITIONS_MAX: Final = 200
_SHOWN_MAX: Final = 20
_TEXT_MAX: Final = 60
_COUNT_MAX: Final = 10**15
# A bot that was started anew takes the place of the process before it, once that has been quiet for so long.
_REPLACED_US: Final = 30_000_000


class BotKey(NamedTuple):
    """One process of one bot. Containers count their processes from 1, so the name belongs to it."""

    name: str
    pid: int


class Bot:
    """What one process of a bot reported last."""

    def __init__(self, key: BotKey) -> None:
        self.key = key
        self.kind = ""
        self.version = ""
        self.seen_us = 0
        self.heard_us = 0
        self.loops = False
        self.has_parted = False
        self.totals: dict[str, int] = {}
        self.markets: dict[str, dict[str, int]] = {}
        self.positions: dict[str, float] | None = None
        self.positions_left_out = 0
        self.grew: dict[str, int] = {}
        # Totals, and markets of the last report, as they were before it and as it told them.
        self.before: tuple[dict[str, int], dict[str, dict[str, int]]] = ({}, {})
        self.told: dict[str, dict[str, int]] = {}
        # Since when the process counts, on the machine's boot clock, as it says.
        self.began_us: int | None = None

    @property
    def name(self) -> str:
        """How people know it."""
        return self.key.name or f"{self.kind or 'a bot'} (process {self.key.pid})"

    def record(self, now_us: int, *, is_silent: bool) -> dict[str, Any]:
        """Return it as the status document shows it."""
        busiest = sorted(self.markets.items(), key=lambda item: -item[1].get("blocked", 0) - item[1].get("would_block", 0))
        return {
            "bot": self.key.name or None,
            "name": self.name,
            "kind": self.kind or None,
            "pid": self.key.pid,
            "version": self.version or None,
            "seen": stamp(self.seen_us),
            "seen_s": round(max(0, now_us - self.heard_us) / 1e6, 1),
            "silent": is_silent,
            "parted": self.has_parted,
            "totals": {name: self.totals.get(name, 0) for name in COUNTS},
            "markets": dict(busiest[:_SHOWN_MAX]),
            "positions": self.positions,
            "positions_left_out": self.positions_left_out,
            "grew_while_blocked": dict(self.grew),
        }


class BotReports:
    """The bots that reported since guard started.

    Attributes
    ----------
    dropped
        Reports that were none, or for which there was no room.

    Notes
    -----
    A report may come from anyone who may write to the socket: nothing in it is believed to be of a sane size or type, it changes no
    answer to any bot, and at most 64 processes with 500 markets each are remembered. One that parted or has been quiet for longest
    makes room.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.bots: dict[BotKey, Bot] = {}

    def take(self, report: Mapping[str, Any], *, now_us: int, monotonic_us: int) -> tuple[Bot, dict[str, float]] | None:
        """Take a report and return its bot with what it held before; None for one that is dropped."""
        try:
            key = BotKey(_text(report.get("bot")), _count(report["pid"]))
            kind, version = _text(report.get("kind")), _text(report.get("version"))
            totals = {name: _count(report["totals"][name]) for name in COUNTS if name in report["totals"]}
            markets = {
                str(Market.parse(_text(name))): {what: _count(counts[what]) for what in COUNTS if what in counts}
                for name, counts in list(report.get("markets", {}).items())[:_MARKETS_MAX]
            }
            held, began_us = report.get("positions"), report.get("began_us")
            began_us = None if began_us is None else int(_amount(began_us))
            positions = None if held is None else {
                str(Market.parse(_text(name))): _amount(amount) for name, amount in list(held.items())[:_POSITIONS_MAX]
            }  # fmt: skip
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self.dropped += 1
            return None
        bot = self._bot(key, monotonic_us)
        if bot is None:
            self.dropped += 1
            return None
        before = bot.positions or {}
        bot.before = bot.totals, {name: bot.markets.get(name, {}) for name in markets}
        bot.told, bot.began_us = markets, began_us
        bot.kind, bot.version, bot.seen_us, bot.heard_us = kind or bot.kind, version, now_us, monotonic_us
        bot.has_parted = report.get("bye") is True
        bot.loops = bot.loops or report.get("loops") is True
        bot.totals = totals
        for name, counts in markets.items():
            if name in bot.markets or len(bot.markets) < _MARKETS_MAX:
                bot.markets[name] = counts
        if positions is not None:
            bot.positions, bot.positions_left_out = positions, max(0, len(held or ()) - _POSITIONS_MAX)
        return bot, before

    def holders(self, market: str) -> list[tuple[Bot, float]]:
        """Return the bots that hold a market, with their signed amounts."""
        return [
            (bot, amount)
            for bot in self.bots.values()
            if bot.positions and not bot.has_parted and (amount := bot.positions.get(market))
        ]

    def _bot(self, key: BotKey, monotonic_us: int) -> Bot | None:
        bot = self.bots.get(key)
        if bot is not None:
            return bot
        for other in [one for one in self.bots.values() if one.key.name == key.name and key.name]:
            if other.has_parted or monotonic_us - other.heard_us >= _REPLACED_US:
                del self.bots[other.key]
        if len(self.bots) >= BOTS_MAX:
            oldest = min(self.bots.values(), key=lambda one: (not one.has_parted, one.heard_us))
            if not oldest.has_parted and monotonic_us - oldest.heard_us < _REPLACED_US:
                return None
            del self.bots[oldest.key]
        bot = self.bots[key] = Bot(key)
        return bot


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return "".join(sign if sign.isprintable() else "?" for sign in value[:_TEXT_MAX])


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < _COUNT_MAX:
        raise ValueError("not a count")
    return value


def _amount(value: object) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):  # type: ignore[arg-type]
        raise ValueError("not an amount")
    return float(value)  # type: ignore[arg-type]
