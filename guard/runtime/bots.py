"""What bots trade on one exchange, from wherever it is known."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from guard.model import MarketFacts
    from guard.runtime.asked import AskedMarkets
    from guard.runtime.bot_list import BotList

__all__ = ["Bots"]


class Bots:
    """Joins a bot's own list with what bots ask guard about.

    Parameters
    ----------
    exchange
        Its name in guard.yaml.
    listed
        The list of a bot, None where there is none.
    asked
        What bots ask about, None where that is not to be watched. It counts only where the exchange offers it.
    """

    def __init__(self, exchange: str, *, listed: BotList | None, asked: AskedMarkets | None) -> None:
        self._exchange = exchange
        self._listed = listed
        self._asked = asked
        self.changed = asyncio.Event() if listed is None else listed.changed
        if asked is not None:
            asked.tell(self._hear)

    @property
    def problem(self) -> str | None:
        """Why the bot's own list may be out of date, None where it is not."""
        return None if self._listed is None else self._listed.problem

    @property
    def is_known(self) -> bool:
        """Whether the bot's own list is known, be it an old one; True where there is none to know."""
        return self._listed is None or self._listed.is_known

    def traded(self, offered: Sequence[MarketFacts], *, most: int) -> Collection[str]:
        """Return the symbols that bots trade."""
        listed = frozenset() if self._listed is None else frozenset(self._listed.traded(offered, most=most))
        if self._asked is None:
            return listed
        return listed | (self._asked.of(self._exchange) & {facts.market.symbol for facts in offered})

    async def ready(self) -> None:
        """Wait until the bot was asked once, with or without an answer."""
        if self._listed is not None:
            await self._listed.ready()

    async def run(self) -> None:
        """Ask until cancelled."""
        if self._listed is not None:
            await self._listed.run()
        await asyncio.Event().wait()

    def _hear(self, exchange: str) -> None:
        if exchange == self._exchange:
            self.changed.set()
