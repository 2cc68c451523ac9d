"""Watches the bots that report: one that falls silent, one that holds a blocked market, one that buys into a block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard.model import Block, IsolationState, Level, Market
from guard.runtime.bot_orders import grown
from guard.runtime.bot_reports import BotReports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.model import Decision, Delivery, Quarantine
    from guard.model.ports import Clock
    from guard.runtime.bot_reports import Bot

__all__ = ["BotWatch"]

_SILENT_AFTER_US: Final = 600_000_000
_TELL_EVERY_US: Final = 60_000_000
# Guard itself stood still, or the machine slept: nobody could be heard.
_DEAF_US: Final = 30_000_000
_NAMED_MAX: Final = 8
_FORGET_US: Final = 7 * 86_400_000_000
_GREW_BY: Final = 1.001
_HOLDERS_MAX: Final = 8


class BotWatch:
    """Joins what bots report with what guard holds.

    Parameters
    ----------
    covering
        Returns the quarantines over a market.
    silent_after
        For a bot's name (``*`` for all others), after how many microseconds without a word it is silent; None for never.
        A bot that is named there is missed even if it was never heard since guard started.
    announce
        Tells people: key, title, body, level.

    Notes
    -----
    Only bots that report from a loop are missed (those that give their positions), or that guard.yaml names. People are told once,
    and once when the bot is back; at most one message a minute, whatever the number of bots. A bot that said goodbye is not missed.
    """

    def __init__(
        self,
        covering: Callable[[Market], Sequence[Quarantine]],
        clock: Clock,
        announce: Callable[[str, str, str, Level], None],
        silent_after: Mapping[str, int | None] | None = None,
    ) -> None:
        self.reports = BotReports()
        self._covering = covering
        self._clock = clock
        self._announce = announce
        self._silent_after = dict(silent_after or {})
        self._expected = {name for name, after in self._silent_after.items() if name != "*" and after is not None}
        self._began_us = self._since_us = self._looked_us = clock.monotonic_us()
        self._told_us = self._since_us - _TELL_EVERY_US
        self._told: set[str] = set()
        # When guard.yaml began to name a bot while guard ran.
        self._named_us: dict[str, int] = {}
        # Adds to what `guard report` tells: what, bot and rule, how many.
        self.count: Callable[[str, str, float], None] = lambda _what, _name, _amount: None

    def follow(self, silent_after: Mapping[str, int | None]) -> None:
        """Take what guard.yaml says after it was read again.

        A bot that it names now for the first time is missed from now on. One that was told to be silent and has more time now, or
        is never missed, is not back: people are told that it is not missed any more.
        """
        silent, expected = self.silent(), self._expected
        self._silent_after = dict(silent_after)
        self._expected = {name for name, after in silent_after.items() if name != "*" and after is not None}
        self._named_us = {name: self._named_us.get(name, 0) for name in self._expected & expected}
        self._named_us |= dict.fromkeys(self._expected - expected, self._clock.monotonic_us())
        gone = sorted(self._told & silent - self.silent())
        if gone:
            body = "guard.yaml gives more time now, or names no time; nothing was heard."
            self._announce("bots", f"{_names(gone)} {_does(gone, 'is')} not missed any more", body, Level.NORMAL)
            self._told -= set(gone)

    def hear(self, report: Mapping[str, Any]) -> None:
        """Take a bot's report."""
        known = set(self.reports.bots)
        taken = self.reports.take(report, now_us=self._clock.now_us(), monotonic_us=self._clock.monotonic_us())
        if taken is None:
            return
        bot, before = taken
        self._count_orders(bot, is_first=bot.key not in known)
        for market, amount in (bot.positions or {}).items():
            had = abs(before.get(market, 0.0))
            if before and abs(amount) > had * _GREW_BY and self._was_blocked(market, bot):
                bot.grew[market] = bot.grew.get(market, 0) + 1

    def _count_orders(self, bot: Bot, *, is_first: bool) -> None:
        if is_first and (bot.began_us is None or bot.began_us < self._began_us):
            # It counted before this guard listened; the guard before may have heard that.
            return
        name = (bot.key.name or bot.kind or "a bot").replace("|", "/")
        for what, rule, amount in grown(bot.before, (bot.totals, bot.told), self._rule_over):
            self.count(what, f"{name}|{rule}", amount)

    def _rule_over(self, market: str) -> str:
        """Return the rule that holds a market now, the one that refuses entries first; empty where none does."""
        held = [each for each in self._covering(Market.parse(market)) if each.state is not IsolationState.NORMAL]
        held.sort(key=lambda each: (each.block is not Block.ENTRIES, -each.until_us))
        return held[0].hold.rule if held else ""

    def look(self) -> None:
        """Tell people of bots that fell silent and of those that are back, at most once a minute."""
        now_us = self._clock.monotonic_us()
        if (deaf_us := now_us - self._looked_us) > _DEAF_US:
            self._since_us += deaf_us
            self._named_us = {name: named_us + deaf_us for name, named_us in self._named_us.items()}
            for bot in self.reports.bots.values():
                bot.heard_us += deaf_us
        self._looked_us = now_us
        if now_us - self._told_us < _TELL_EVERY_US:
            return
        silent = self.silent()
        new, back = sorted(silent - self._told), sorted(self._told & self._heard() - silent)
        if new:
            self._announce(
                "bots", f"{_names(new)} {_does(new, 'fell')} silent", f"{self._silence(new)}\nguard status", Level.DANGER
            )
        if back:
            body = "Reports come in again. What was asked meanwhile was answered as usual."
            self._announce("bots", f"{_names(back)} {_does(back, 'is')} back", body, Level.NORMAL)
        if new or back:
            self._told_us = now_us
        self._told = (self._told | set(new)) - set(back)
        for bot in list(self.reports.bots.values()):
            if now_us - bot.heard_us > _FORGET_US:
                del self.reports.bots[bot.key]

    def silent(self) -> set[str]:
        """Return the names of bots that are missed now."""
        now_us = self._clock.monotonic_us()
        found = {bot.name for bot in self.reports.bots.values() if self._is_silent(bot, now_us)}
        found -= {bot.name for bot in self.reports.bots.values() if not self._is_silent(bot, now_us) and not bot.has_parted}
        known = {bot.key.name for bot in self.reports.bots.values()}
        for name in self._expected - known:
            after_us = self._silent_after[name]
            since_us = max(self._since_us, self._named_us.get(name, 0))
            if after_us is not None and now_us - since_us >= after_us:
                found.add(name)
        return found

    def told(self, decision: Decision) -> Decision:
        """Return a decision whose messages about quarantines say which bots hold what is blocked."""
        if not decision.deliveries or not self.reports.bots:
            return decision
        return decision._replace(deliveries=tuple(map(self._with_holders, decision.deliveries)))

    def record(self) -> dict[str, Any]:
        """Return the section ``bots`` of the status document."""
        now_us = self._clock.monotonic_us()
        bots = sorted(self.reports.bots.values(), key=lambda bot: bot.name)
        silent = self.silent()
        return {
            "bots": [
                {**bot.record(now_us, is_silent=self._is_silent(bot, now_us)), "holds_blocked": self._holds_blocked(bot)}
                for bot in bots
            ],
            "silent": sorted(silent),
            "never_heard": sorted(self._expected - {bot.key.name for bot in bots}),
            "dropped_reports": self.reports.dropped,
        }

    def _is_silent(self, bot: Bot, now_us: int) -> bool:
        named = bot.key.name in self._expected
        if bot.has_parted or not (bot.loops or named):
            return False
        after_us = self._silent_after.get(bot.key.name, self._silent_after.get("*", _SILENT_AFTER_US))
        return after_us is not None and now_us - bot.heard_us >= after_us

    def _heard(self) -> set[str]:
        """Return the names of bots that speak, or said goodbye."""
        now_us = self._clock.monotonic_us()
        return {bot.name for bot in self.reports.bots.values() if not self._is_silent(bot, now_us)}

    def _silence(self, names: Sequence[str]) -> str:
        lines = [
            f"{name}: {_last_word(self._bots(name), self._clock.monotonic_us())}{self._holding(self._bots(name))}"
            for name in names[:_NAMED_MAX]
        ]
        lines.append("A bot that hangs or died places no stops any more: look at it. Nothing changed in what guard answers.")
        return "\n".join(lines)

    def _bots(self, name: str) -> list[Bot]:
        return [bot for bot in self.reports.bots.values() if bot.name == name]

    def _holding(self, bots: Sequence[Bot]) -> str:
        held = [f"{amount:g} {market}" for bot in bots for market, amount in (bot.positions or {}).items() if amount]
        more = f" and {len(held) - _HOLDERS_MAX} more" if len(held) > _HOLDERS_MAX else ""
        return f"; it held {', '.join(held[:_HOLDERS_MAX])}{more}" if held else ""

    def _blocked_since(self, market: str) -> int | None:
        blocks = [
            held.opened_us
            for held in self._covering(Market.parse(market))
            if held.state is IsolationState.QUARANTINED and held.block is Block.ENTRIES
        ]
        return min(blocks, default=None)

    def _was_blocked(self, market: str, bot: Bot) -> bool:
        # An order that waited at the exchange may still fill after the block; one reporting interval is left for it.
        since_us = self._blocked_since(market)
        return since_us is not None and bot.seen_us - since_us > _DEAF_US

    def _holds_blocked(self, bot: Bot) -> list[str]:
        if bot.has_parted:
            return []
        return sorted(
            market for market, amount in (bot.positions or {}).items() if amount and self._blocked_since(market) is not None
        )

    def _with_holders(self, delivery: Delivery) -> Delivery:
        if delivery.kind != "quarantine" or not delivery.market:
            return delivery
        holders = self.reports.holders(delivery.market)[:_HOLDERS_MAX]
        if not holders:
            return delivery
        said = ", ".join(f"{bot.name} {amount:g}" for bot, amount in holders)
        return delivery._replace(body=f"{delivery.body}\nHeld by {said}. Exits always pass.")


def _last_word(bots: Sequence[Bot], now_us: int) -> str:
    if not bots:
        return "not heard since guard started"
    minutes = (now_us - max(bot.heard_us for bot in bots)) // 60_000_000
    return f"last heard {minutes} minutes ago"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_MAX])
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return f"{'the bot' if len(names) == 1 else 'the bots'} {shown}{more}"


def _does(names: Sequence[str], verb: str) -> str:
    return "are" if verb == "is" and len(names) > 1 else verb
