"""What a person has declared safe: allow entries override rules, never a person's own hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.model.market import Market
from guard.model.quarantine import Target, TargetKind

if TYPE_CHECKING:
    from guard.model.quarantine import Hold

__all__ = ["AllowEntry"]


class AllowEntry(NamedTuple):
    """The `rules` named here do not quarantine `target` until `until_us` (None: as long as the entry stands).

    An empty `rules` names every rule. An entry suppresses a hold whose target lies wholly within its own; it does not reach
    through a wider hold: a market that is allowed is still held when its exchange is.

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
    actor: str = "guard.yaml"

    def overrides(self, hold: Hold, *, at_us: int) -> bool:
        """Whether `hold` is suppressed at `at_us`."""
        if self.until_us is not None and at_us >= self.until_us:
            return False
        return (not self.rules or hold.rule in self.rules) and _contains(self.target, hold.target)


def _contains(outer: Target, inner: Target) -> bool:
    if outer == inner:
        return True
    if inner.kind is TargetKind.MARKET:
        return outer.covers(Market.parse(inner.name))
    return inner.kind is TargetKind.SYMBOL and outer == Target(TargetKind.BASE, Market("", inner.name).base)
