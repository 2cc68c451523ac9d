"""Groups: markets that one rule judges together, by symbol or by exchange."""

from __future__ import annotations

from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.model.quarantine import Target, TargetKind

if TYPE_CHECKING:
    from guard.model.market import Market

__all__ = ["GroupStand", "Per", "Quorum"]

_RATIO_MIN: Final = 2
# 70 % of 10 is 7, also where the product is 7.000000000000001.
_ROUNDING: Final = 1e-9


class Per(StrEnum):
    """What has one level under a rule: each market, a symbol over all exchanges, or an exchange."""

    MARKET = "market"
    SYMBOL = "symbol"
    EXCHANGE = "exchange"

    def name_of(self, market: Market) -> str:
        """Return the name of the group that `market` belongs to.

        Examples
        --------
        >>> from guard.model import Market
        >>> Per.SYMBOL.name_of(Market("okx", "BTC/USDT")), Per.EXCHANGE.name_of(Market("okx", "BTC/USDT"))
        ('BTC/USDT', 'okx')
        """
        if self is Per.MARKET:
            return str(market)
        return market.symbol if self is Per.SYMBOL else market.exchange

    @property
    def target(self) -> TargetKind:
        """What a quarantine holds where its rule does not say."""
        return TargetKind(str(self))

    def is_covered_by(self, target: TargetKind) -> bool:
        """Whether a quarantine of this target holds every market of a group."""
        wide = {
            Per.MARKET: set(TargetKind),
            Per.SYMBOL: {TargetKind.SYMBOL, TargetKind.BASE},
            Per.EXCHANGE: {TargetKind.EXCHANGE},
        }
        return target in wide[self]


class Quorum(NamedTuple):
    """How many markets of a group must hold a level: `least` (>= 1), or `ratio` in (0, 1] of all of them where it is set.

    A ratio means two markets at least: one is no share of anything, and while a guard starts its markets open one by one.
    """

    least: int = 1
    ratio: float | None = None

    def __str__(self) -> str:
        """Return the written form."""
        return str(self.least) if self.ratio is None else f"{self.ratio * 100:.10g}%"

    def needed(self, of: int) -> int:
        """Return how many of `of` markets it asks for.

        Examples
        --------
        >>> Quorum(3).needed(10), Quorum(ratio=0.7).needed(10), Quorum(ratio=0.3).needed(1)
        (3, 7, 2)
        """
        return self.least if self.ratio is None else max(_RATIO_MIN, ceil(self.ratio * of - _ROUNDING))


class GroupStand(NamedTuple):
    """How a group stood when its level changed.

    `held` of its `of` markets hold the level now (warning or above where it went back to normal), `needed` are asked for.
    `members` are the first of those that hold it, by name.
    """

    per: Per
    name: str
    members: tuple[Market, ...]
    held: int
    needed: int
    of: int

    @property
    def target(self) -> Target:
        """The group as a quarantine holds it."""
        return Target(self.per.target, self.name)

    @property
    def more(self) -> int:
        """How many hold it and are not among `members`."""
        return self.held - len(self.members)

    @property
    def shown(self) -> str:
        """The group for a person.

        Examples
        --------
        >>> from guard.model import Market
        >>> GroupStand(Per.EXCHANGE, "okx", (Market("okx", "A/USDT"), Market("okx", "B/USDT")), 3, 3, 9).shown
        '3 of 9 markets of okx (okx:A/USDT, okx:B/USDT and 1 more), quorum 3'
        """
        names = ", ".join(map(str, self.members)) + (f" and {self.more} more" if self.more > 0 else "")
        listed = f" ({names})" if names else ""
        return f"{self.held} of {self.of} markets of {self.name}{listed}, quorum {self.needed}"
