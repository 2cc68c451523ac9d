"""From an outcome to a level, and from a level that changed to a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.detection.risk import SECOND_FAMILY_MIN
from guard.model import Finding, GroupStand, Level, RiskScore, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.dsl import Outcome, Program, Rule
    from guard.engine.episode import Episode
    from guard.engine.groups import Group
    from guard.engine.watched import Watched
    from guard.model import Market, MarketFacts

__all__ = ["Answer", "candidate_level", "ended_group", "ended_verdicts", "group_stand", "of_group", "risk_of", "verdict_of"]

_MEMBERS_SHOWN = 8
# A market with its verdicts, or nothing to tell.
Answer = tuple[int, tuple[Verdict, ...]] | None


def candidate_level(rule: Rule, outcome: Outcome) -> Level | None:
    """Return the level that a rule reaches by its conditions and score now; None where it cannot tell."""
    if outcome.fires is False:
        return Level.NORMAL
    if outcome.fires is None or outcome.score is None:
        return None
    level = rule.level if rule.classifier is None else rule.classifier.level(outcome.score)
    assert level is not None
    lifting = rule.lifting if level > Level.WARNING else None
    if lifting is not None and not any(_is_high(outcome.factors[at]) for at in lifting):
        return Level.WARNING
    return level


def _is_high(value: float | None) -> bool:
    return value is not None and value >= SECOND_FAMILY_MIN


def verdict_of(
    program: Program,
    watched: Watched,
    rule: Rule,
    outcome: Outcome,
    episode: Episode,
    *,
    before: Level,
    at_us: int,
) -> Verdict:
    """Tell that the level of `rule` changed, with its contributions and findings."""
    risk = risk_of(rule, outcome, watched.facts)
    actions = rule.actions.get(episode.level)
    return Verdict(
        at_us=at_us,
        market=watched.facts.market,
        rule=rule.id,
        level=episode.level,
        previous=before,
        mode=rule.mode,
        risk=risk,
        findings=_findings(program, watched, rule, outcome, at_us),
        episode_us=episode.started_us,
        alert=actions is not None and actions.alert,
        orders=() if actions is None else actions.orders,
    )


def of_group(verdict: Verdict, rule: Rule, group: Group, watched: Sequence[Watched], *, before: Level) -> Verdict:
    """Return the verdict of the group that a member tipped, made of the one that the member alone would have given."""
    level = group.level
    return verdict._replace(
        level=level,
        previous=before,
        episode_us=group.started_us,
        alert=level in rule.actions and rule.actions[level].alert,
        group=group_stand(rule, group, watched, verdict.market),
    )


def ended_group(rule: Rule, group: Group, watched: Sequence[Watched], row: int, *, before: Level, at_us: int) -> Verdict:
    """Tell that the level of a group changed, and not because one of its rules said so; `row` is a member."""
    market, nothing = watched[row].facts.market, RiskScore(None, ())
    stand = group_stand(rule, group, watched, market)
    return Verdict(at_us, market, rule.id, group.level, before, rule.mode, nothing, (), group.started_us, alert=False, group=stand)


def group_stand(rule: Rule, group: Group, watched: Sequence[Watched], member: Market) -> GroupStand:
    """Tell how a group stands: the first markets, by name, that hold its level, and how many do."""
    markets = sorted(watched[row].facts.market for row in group.holders(group.level))
    return GroupStand(
        per=rule.per,
        name=rule.per.name_of(member),
        members=tuple(markets[:_MEMBERS_SHOWN]),
        held=group.held(group.level),
        needed=group.needed,
        of=len(group.rows),
    )


def ended_verdicts(watched: Watched, rules: Iterable[tuple[int, Rule]], at_us: int) -> tuple[Verdict, ...]:
    """Tell that the levels of some rules of a market ended with the rules themselves, and not because the market is calm."""
    found = []
    for place, rule in rules:
        episode = watched.episodes[place]
        # What a group told ends with the group.
        if episode.level is not Level.NORMAL and rule.quorum is None:
            market = watched.facts.market
            nothing = RiskScore(None, ())
            found.append(
                Verdict(
                    at_us, market, rule.id, Level.NORMAL, episode.level, rule.mode, nothing, (), episode.started_us, alert=False
                )
            )
    return tuple(found)


def risk_of(rule: Rule, outcome: Outcome, facts: MarketFacts) -> RiskScore:
    """Return the score of an outcome with what each factor adds to it."""
    if rule.classifier is None:
        return RiskScore(outcome.score, ())
    return rule.classifier.score(outcome.factors, rule.factor_absent(facts))


def _findings(program: Program, watched: Watched, rule: Rule, outcome: Outcome, at_us: int) -> tuple[Finding, ...]:
    market = watched.facts.market
    return tuple(
        Finding(at_us, market, rule.id, detector.name, score, program.evidence(rule.number, watched.values, detector=at))
        for at, (detector, score) in enumerate(zip(rule.detectors, outcome.detectors, strict=True))
        if score is not None and score > 0.0
    )
