"""From an outcome to a level, and from a level that changed to a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.dsl.signature import SECOND_FAMILY_MIN
from guard.model import Finding, Level, RiskScore, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.dsl import Outcome, Program, Rule
    from guard.engine.episode import Episode
    from guard.engine.watched import Watched
    from guard.model import MarketFacts

__all__ = ["candidate_level", "ended_verdicts", "risk_of", "verdict_of"]


def candidate_level(rule: Rule, outcome: Outcome) -> Level | None:
    """Return the level that a rule reaches by its conditions and score now; None where it cannot tell."""
    if outcome.fires is False:
        return Level.NORMAL
    if outcome.fires is None or outcome.score is None:
        return None
    level = rule.level if rule.classifier is None else rule.classifier.level(outcome.score)
    assert level is not None
    if level > Level.WARNING and rule.lifting is not None and not any(_is_high(outcome.factors[at]) for at in rule.lifting):
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
        alert=episode.level in rule.actions and rule.actions[episode.level].alert,
    )


def ended_verdicts(watched: Watched, rules: Iterable[tuple[int, Rule]], at_us: int) -> tuple[Verdict, ...]:
    """Tell that the levels of some rules of a market ended with the rules themselves, and not because the market is calm."""
    found = []
    for place, rule in rules:
        episode = watched.episodes[place]
        if episode.level is not Level.NORMAL:
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
