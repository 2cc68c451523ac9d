"""Which level a rule that fires reaches, as questions about its score."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.detection.risk import SECOND_FAMILY_MIN
from guard.dsl.question import either, opposite
from guard.model import Level

if TYPE_CHECKING:
    from guard.dsl.question import Question
    from guard.dsl.questions import Questions
    from guard.dsl.rule import Plan, Rule

__all__ = ["level_questions", "lifts"]


def level_questions(questions: Questions, rule: Rule, plan: Plan, level: Level) -> list[Question] | None:
    """Return what must be answered by yes where a rule that fires is at `level`; None where it never is."""
    if rule.classifier is None:
        assert rule.level is not None
        return [] if level == (rule.level if rule.lifting is None else min(rule.level, Level.WARNING)) else None
    thresholds = rule.classifier.thresholds
    found = [questions.known(plan.score)]
    if level > 0:
        found.append(questions.above(plan.score, thresholds[level - 1], strict=False))
    below = [] if level == len(thresholds) else [opposite(questions.above(plan.score, thresholds[level], strict=False))]
    if rule.lifting is None or level < Level.WARNING:
        return [*found, *below]
    lifted = lifts(questions, rule, plan)
    return [*found, either((*below, opposite(lifted)))] if level == Level.WARNING else [*found, lifted, *below]


def lifts(questions: Questions, rule: Rule, plan: Plan) -> Question:
    """Ask whether a factor of another family lifts the cap of a rule's soft detectors."""
    present = set(questions.present(plan.score))
    factors = [plan.factors[at] for at in rule.lifting or () if plan.factors[at] in present]
    return either(questions.above(factor, SECOND_FAMILY_MIN, strict=False) for factor in factors)
