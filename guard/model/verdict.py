"""A verdict: the level of one rule on one market, told when it changes."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.action import ActionOrder
    from guard.model.finding import Finding
    from guard.model.group import GroupStand
    from guard.model.market import Market
    from guard.model.risk import Level, RiskScore

__all__ = ["RuleMode", "Verdict"]


class RuleMode(StrEnum):
    """How far a rule may go, under the ceiling of guard.yaml."""

    DISABLED = "disabled"
    SHADOW = "shadow"
    ALERT = "alert"
    ENFORCE = "enforce"


class Verdict(NamedTuple):
    """The level of `rule` on `market` became `level` at `at_us` (event time); it was `previous` before.

    `episode_us` is when the level left normal: it names the episode, the same for all verdicts of one. `alert` is whether the
    rule orders people to be told at `level`; a quarantine is told of in any case. `orders` are the other actions it lists there.

    A rule that judges markets together says how they stand in `group`: the level is theirs, and `market` is the one that tipped it.
    """

    at_us: int
    market: Market
    rule: str
    level: Level
    previous: Level
    mode: RuleMode
    risk: RiskScore
    findings: tuple[Finding, ...]
    episode_us: int
    alert: bool = True
    orders: tuple[ActionOrder, ...] = ()
    group: GroupStand | None = None

    @property
    def subject(self) -> str:
        """What has the level: the market, or the group as a target is written (``exchange:okx``)."""
        return str(self.market if self.group is None else self.group.target)
