"""What a person has declared safe: allow entries override rules, never a person's own hold."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from guard.model.assets import NO_ALIASES, symbol_in
from guard.model.market import Market
from guard.model.quarantine import Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.quarantine import Hold

__all__ = ["ALLOW_FILE", "AllowChange", "AllowEntry"]

ALLOW_FILE = "guard.yaml"
"""The actor of entries that stand in the file; a person's order cannot take them back."""


class AllowEntry(NamedTuple):
    """The `rules` named here do not quarantine `target` until `until_us` (None: as long as the entry stands).

    An empty `rules` names every rule. An entry suppresses a hold whose target lies wholly within its own; it does not reach
    through a wider hold: a market that is allowed is still held when its exchange is. `since_us` is when it was ordered, 0 for
    those of guard.yaml.

    Examples
    --------
    >>> from guard.model import Hold, Level, Target, TargetKind
    >>> hold = Hold("pump_dump", None, Target(TargetKind.MARKET, "sim:X/USDT"), Level.DANGER, "", for_us=1, max_us=1)
    >>> AllowEntry(Target(TargetKind.BASE, "X"), reason="our own listing").overrides(hold, at_us=0)
    True
    """

    target: Target
    rules: frozenset[str] = frozenset()
    until_us: int | None = None
    reason: str = ""
    actor: str = ALLOW_FILE
    since_us: int = 0

    @property
    def id(self) -> str:
        """12 hex digits of a hash of target, rules and the moment of the order, the same in every replay."""
        return sha256(f"allow|{self.target}|{','.join(sorted(self.rules))}|{self.since_us}".encode()).hexdigest()[:12]

    def is_over(self, at_us: int) -> bool:
        """Whether the entry has ended by `at_us`."""
        return self.until_us is not None and at_us >= self.until_us

    def overrides(self, hold: Hold, *, at_us: int, aliases: Mapping[str, str] = NO_ALIASES) -> bool:
        """Whether `hold` is suppressed at `at_us`."""
        if self.is_over(at_us) or (self.rules and hold.rule not in self.rules):
            return False
        return _contains(self.target, hold.target, aliases)


class AllowChange(NamedTuple):
    """An allow entry that a person added (`cause` ``added``) or took back (``removed``); goes into the audit trail."""

    at_us: int
    entry: AllowEntry
    cause: str
    actor: str
    reason: str


def _contains(outer: Target, inner: Target, aliases: Mapping[str, str]) -> bool:
    if outer == inner:
        return True
    if inner.kind is TargetKind.MARKET:
        return outer.covers(Market.parse(inner.name), aliases)
    if outer.canonical(aliases=aliases) == inner.canonical(aliases=aliases):
        return True
    if inner.kind is not TargetKind.SYMBOL:
        return False
    asset = symbol_in("", inner.name, aliases).partition("/")[0]
    return outer.canonical(aliases=aliases) == Target(TargetKind.BASE, asset)
