"""What is told when rules are swapped: levels that end with their rules, and levels at which a rule may do more than before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.engine.handover import may_more, orders_more
from guard.engine.verdicts import group_stand, of_group, verdict_of
from guard.model import Level, RiskScore, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from guard.dsl import Program, Rule
    from guard.engine.engine import Engine
    from guard.engine.groups import Group
    from guard.engine.handover import Handover

    Told = list[tuple[int, tuple[Verdict, ...]]]

__all__ = ["ended_groups", "restated"]


def ended_groups(engine: Engine, old: Program, kept: Collection[str], now_us: int) -> Told:
    """Tell that the levels of groups ended with their rules; `kept` are the `level_hash` of those that go on."""
    told: Told = []
    for number in old.grouped:
        rule = old.rules[number]
        for group in engine.groups.all_of(rule) if rule.level_hash not in kept else ():
            if group.level is not Level.NORMAL:
                row = group.speaker
                market = engine.watched[row].facts.market
                over = Verdict(
                    now_us,
                    market,
                    rule.id,
                    Level.NORMAL,
                    group.level,
                    rule.mode,
                    RiskScore(None, ()),
                    (),
                    group.started_us,
                    alert=False,
                    group=group_stand(rule, group, engine.watched, market),
                )
                told.append((row, (over,)))
    return told


def restated(engine: Engine, edited: Sequence[tuple[int, Handover]], now_us: int) -> Told:
    """Tell again of the levels of markets at which rules may do more than before the swap; of a group once, by its speaker."""
    told: Told = []
    speakers: dict[int, int] = {}
    for row, handover in edited:
        watched, verdicts = engine.watched[row], []
        for place, rule, was in handover.edited:
            episode = watched.episodes[place]
            group = None if rule.quorum is None else engine.groups.of(rule, watched.facts.market)
            level = episode.level if group is None else group.level
            if level is Level.NORMAL or not may_more(rule, was, level):
                continue
            if group is not None and row != _speaker(group, speakers):
                continue
            engine.look(row, now_us)
            own = _again(engine, row, place, rule, now_us)
            if group is not None:
                own = of_group(own, rule, group, engine.watched, before=Level.NORMAL)
            verdicts.append(own._replace(orders=orders_more(rule, was, level)))
        if verdicts:
            told.append((row, tuple(verdicts)))
    return told


def _speaker(group: Group, known: dict[int, int]) -> int:
    if id(group) not in known:
        known[id(group)] = group.speaker
    return known[id(group)]


def _again(engine: Engine, row: int, place: int, rule: Rule, now_us: int) -> Verdict:
    """Return the verdict of a level that stands; without a score on a market that was not heard of yet."""
    watched = engine.watched[row]
    episode = watched.episodes[place]
    if watched.outcomes:
        outcome = watched.outcomes[place]
        return verdict_of(engine.program, watched, rule, outcome, episode, before=Level.NORMAL, at_us=now_us)
    level, alert = episode.level, episode.level in rule.actions and rule.actions[episode.level].alert
    risk, market = RiskScore(None, ()), watched.facts.market
    return Verdict(now_us, market, rule.id, level, Level.NORMAL, rule.mode, risk, (), episode.started_us, alert=alert)
