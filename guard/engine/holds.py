"""What a verdict asks the quarantine for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.handover import holds_more
from guard.model import Hold, Market, RuleMode, Target, TargetKind

if TYPE_CHECKING:
    from guard.dsl import Program, Rule
    from guard.model import Verdict

__all__ = ["hold_of", "target_of"]

_FACTORS_SHOWN = 2


def hold_of(program: Program, verdict: Verdict, was: Rule | None = None) -> Hold | None:
    """Return the quarantine that a verdict's rule orders at its level; None where it orders none or may not.

    `was` is the rule that it replaced a moment ago, at the same level: what that held already is not ordered again.
    """
    if verdict.level <= verdict.previous or verdict.mode is not RuleMode.ENFORCE:
        return None
    rule = next(rule for rule in program.rules if rule.id == verdict.rule)
    order = rule.actions[verdict.level].quarantine
    if order is None or (was is not None and not holds_more(rule, was, verdict.level)):
        return None
    return Hold(
        rule=rule.id,
        market=verdict.market,
        target=target_of(order.target or rule.per.target, verdict.market),
        level=verdict.level,
        reason=_reason(rule.title, verdict),
        for_us=order.for_us,
        max_us=order.escalate.max_us,
        block=order.block,
        escalate_factor=order.escalate.factor,
        forget_us=order.escalate.forget_us,
        release_for_us=order.release.for_us,
        probation_us=order.release.probation_us,
        jitter=order.escalate.jitter,
    )


def target_of(kind: TargetKind, market: Market) -> Target:
    """Return what a quarantine of this kind holds when a verdict falls on `market`."""
    names = {
        TargetKind.MARKET: str(market),
        TargetKind.SYMBOL: market.symbol,
        TargetKind.BASE: market.base,
        TargetKind.EXCHANGE: market.exchange,
    }
    return Target(kind, names[kind])


def _reason(title: str, verdict: Verdict) -> str:
    score = "" if verdict.risk.score is None else f" {verdict.risk.score:.2f}"
    shares = sorted(verdict.risk.contributions, key=lambda part: -part.share)[:_FACTORS_SHOWN]
    parts = ", ".join(f"{part.factor} {part.value:.2f}" for part in shares if part.value is not None)
    why = score + (f" ({parts})" if parts else "")
    if verdict.group is None:
        return f"{title}: {verdict.level}{why}"
    return f"{title}: {verdict.level} on {verdict.group.shown}; last {verdict.market}{why}"
