"""Looks at prices after each block, and after each block that a rule below enforce would have made."""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush
from math import isfinite
from typing import TYPE_CHECKING, Final

from guard.engine.holds import target_of
from guard.model import IsolationState, Market, Mode, RuleMode
from guard.model.aftermath import HORIZONS_US, Aftermath
from guard.model.quarantine import quarantine_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.model import Decision, Transition, Verdict
    from guard.pipeline import Pipeline

__all__ = ["FOLLOWED_MAX", "LATE_MAX_US", "Aftermaths"]

FOLLOWED_MAX: Final = 20_000
"""How many blocks are followed at a time."""
LATE_MAX_US: Final = 60_000_000
"""A price may be taken this long after its horizon; later it is not known: guard was down."""


class Aftermaths:
    """Follows what comes after blocks, in a live guard; nothing is decided by it.

    Parameters
    ----------
    pipeline
        Knows rules, markets and prices.

    Notes
    -----
    A block is noted once, however often it is extended or deepened; one that a rule below enforce would have made counts again only
    after the time it would have lasted at the least. What is beyond `FOLLOWED_MAX` is counted in `passed_over`.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._followed: OrderedDict[str, Aftermath] = OrderedDict()
        self._due: list[tuple[int, str, int]] = []
        self._would_until_us: dict[tuple[str, str], int] = {}
        self.passed_over = 0

    def __len__(self) -> int:
        """Return how many blocks are followed."""
        return len(self._followed)

    def restore(self, kept: Iterable[Aftermath]) -> None:
        """Go on with blocks of an earlier run."""
        for each in kept:
            self._follow(each)

    def take(self, decision: Decision) -> list[Aftermath]:
        """Return the blocks that a decision opens, now followed."""
        found = [new for transition in decision.transitions if (new := self._block(transition)) is not None]
        found += [new for verdict in decision.verdicts if (new := self._would_be(verdict)) is not None]
        return [new for new in found if self._follow(new)]

    def advance(self, now_us: int) -> list[Aftermath]:
        """Return the blocks of which another price became known, or turned out to stay unknown."""
        changed: dict[str, Aftermath] = {}
        while self._due and self._due[0][0] <= now_us:
            due_us, name, place = heappop(self._due)
            one = self._followed[name]
            price = self._price(one.market) if now_us - due_us <= LATE_MAX_US else None
            prices, closed = list(one.prices), list(one.closed)
            prices[place], closed[place] = price, True
            one = one._replace(prices=tuple(prices), closed=tuple(closed))
            changed[name] = self._followed[name] = one
            if all(closed):
                del self._followed[name]
        return list(changed.values())

    def _follow(self, one: Aftermath) -> bool:
        if one.id in self._followed or all(one.closed):
            return False
        if len(self._followed) >= FOLLOWED_MAX:
            self.passed_over += 1
            return False
        self._followed[one.id] = one
        for place, horizon_us in enumerate(HORIZONS_US):
            if not one.closed[place]:
                heappush(self._due, (one.opened_us + horizon_us, one.id, place))
        return True

    def _block(self, transition: Transition) -> Aftermath | None:
        held = transition.quarantine
        is_new = transition.previous is IsolationState.NORMAL and held.state is IsolationState.QUARANTINED
        if not is_new:
            return None
        market = str(held.hold.market or self._first_covered(transition) or "")
        return Aftermath(
            id=held.id,
            market=market,
            target=str(held.target),
            rule=held.hold.rule,
            level=str(held.hold.level),
            bound=self._pipeline.settings.mode is Mode.ENFORCE,
            opened_us=held.opened_us,
            for_us=held.hold.for_us,
            price=self._price(market),
        )

    def _first_covered(self, transition: Transition) -> Market | None:
        return next((each for each in self._pipeline.engine.markets if transition.quarantine.target.covers(each)), None)

    def _would_be(self, verdict: Verdict) -> Aftermath | None:
        if verdict.mode is RuleMode.ENFORCE or verdict.level <= verdict.previous:
            return None
        rule = next((rule for rule in self._pipeline.engine.program.rules if rule.id == verdict.rule), None)
        order = None if rule is None else rule.actions[verdict.level].quarantine
        if rule is None or order is None:
            return None
        target = target_of(order.target or rule.per.target, verdict.market)
        key = (rule.id, str(target))
        if verdict.at_us < self._would_until_us.get(key, 0):
            return None
        if len(self._would_until_us) >= FOLLOWED_MAX:
            self._would_until_us = {key: until for key, until in self._would_until_us.items() if until > verdict.at_us}
        self._would_until_us[key] = verdict.at_us + order.for_us
        return Aftermath(
            id="w" + quarantine_id(rule.id, target, verdict.at_us),
            market=str(verdict.market),
            target=str(target),
            rule=rule.id,
            level=str(verdict.level),
            bound=False,
            opened_us=verdict.at_us,
            for_us=order.for_us,
            price=self._price(str(verdict.market)),
        )

    def _price(self, name: str) -> float | None:
        row = self._pipeline.engine.markets.get(Market.parse(name)) if name else None
        price = None if row is None else self._pipeline.engine.kernel.price(row)
        return price if price is not None and isfinite(price) else None
