"""From an outcome to a level, and from a level that changed to a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.detection.detector import Family
from guard.model import Finding, Level, RiskScore, RuleMode, Verdict

if TYPE_CHECKING:
    from guard.detection.risk import RiskClassifier
    from guard.dsl import Outcome, Rule
    from guard.engine.engine import Engine
    from guard.engine.episode import Episode
    from guard.engine.watched import Watched

__all__ = ["candidate_level", "verdict_of"]

# design: a soft detector caps at warning unless a factor of another family is at least this high.
_SECOND_FAMILY_MIN = 0.5
_FAMILIES = {
    "price_volatility": Family.PRICE,
    "volume_anomaly": Family.VOLUME,
    "order_book": Family.BOOK,
    "trade_pattern": Family.PATTERN,
}


def candidate_level(rule: Rule, outcome: Outcome, classifier: RiskClassifier) -> Level | None:
    """Return the level that a rule reaches by its conditions and score now; None where it cannot tell."""
    if outcome.fires is False:
        return Level.NORMAL
    if outcome.fires is None or outcome.score is None:
        return None
    level = classifier.level(outcome.score) if rule.risk else rule.level
    if level > Level.WARNING and not _has_second_family(rule, outcome):
        return Level.WARNING
    return level


def _has_second_family(rule: Rule, outcome: Outcome) -> bool:
    soft = {detector.family for detector in rule.detectors if not detector.is_hard}
    if not soft or len(soft) < len({detector.name for detector in rule.detectors}):
        return True
    high = {
        _FAMILIES.get(factor, factor)
        for factor, value in zip(rule.risk, outcome.factors, strict=True)
        if value is not None and value >= _SECOND_FAMILY_MIN
    }
    return len(high | soft) > 1


def verdict_of(
    engine: Engine,
    watched: Watched,
    rule: Rule,
    outcome: Outcome,
    episode: Episode,
    *,
    before: Level,
    at_us: int,
) -> Verdict:
    """Tell that the level of `rule` changed, with its contributions and findings."""
    score = outcome.score
    contributions = engine.classifier(rule, watched.facts).contributions(outcome.factors) if rule.risk else ()
    return Verdict(
        at_us=at_us,
        market=watched.facts.market,
        rule=rule.id,
        level=episode.level,
        previous=before,
        mode=RuleMode(rule.mode),
        risk=RiskScore(score, tuple(contributions)),
        findings=_findings(engine, watched, rule, outcome, at_us),
        episode_us=episode.started_us,
    )


def _findings(engine: Engine, watched: Watched, rule: Rule, outcome: Outcome, at_us: int) -> tuple[Finding, ...]:
    evidence = engine.program.evidence(rule, watched.values)
    return tuple(
        Finding(at_us, watched.facts.market, rule.id, detector.name, score, evidence)
        for detector, score in zip(rule.detectors, outcome.detectors, strict=True)
        if score is not None and score > 0.0
    )
