"""Why a rule fires or does not: every part of its conditions with its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.engine.verdicts import risk_of
from guard.model import Level

if TYPE_CHECKING:
    from guard.dsl import Explanation, Outcome, Program, Rule
    from guard.engine.episode import Episode
    from guard.engine.groups import Group
    from guard.engine.watched import Watched
    from guard.model import GroupStand, Market

__all__ = ["missing_in_group", "missing_to_fire", "why_group", "why_rule"]


def why_rule(program: Program, watched: Watched, rule: Rule, outcome: Outcome, episode: Episode) -> dict[str, Any]:
    """Return what a rule makes of a market at its last evaluation, JSON-able."""
    risk = risk_of(rule, outcome, watched.facts)
    trees = program.explain(watched.binding, rule.number, watched.values)
    return {
        "rule": rule.id,
        "title": rule.title,
        "mode": str(rule.mode),
        "level": str(episode.level),
        "fires": outcome.fires,
        "score": outcome.score,
        "unless": outcome.unless,
        "factors": [part._asdict() for part in risk.contributions],
        "missing": missing_to_fire(rule, outcome, trees),
        "tree": [_record(tree) for tree in trees],
    }


def why_group(rule: Rule, group: Group, stand: GroupStand, now_us: int) -> dict[str, Any]:
    """Return how the group stands that a market belongs to under a rule, JSON-able."""
    return {
        "per": str(stand.per),
        "name": stand.name,
        "level": str(group.level),
        "since_us": None if group.level is Level.NORMAL else group.started_us,
        "quorum": str(rule.quorum),
        "held": stand.held,
        "needed": stand.needed,
        "of": stand.of,
        "unsure": stand.held - group.sure(group.level),
        "members": list(map(str, stand.members)),
        "more": stand.more,
        "calm": group.calm(now_us),
    }


def missing_in_group(rule: Rule, group: Group, market: Market) -> list[str]:
    """Return how many markets must hold warning for the group of a market to reach it, in words; empty where it has."""
    if group.level is not Level.NORMAL:
        return []
    return [f"{group.needed} markets of {rule.per.name_of(market)} at warning or above (there are {group.sure(Level.WARNING)})"]


def missing_to_fire(rule: Rule, outcome: Outcome, trees: tuple[Explanation, ...]) -> list[str]:
    """Return what would have to change for the rule to reach warning, in words; empty where it has."""
    lines = [line for tree in trees if tree.text in {"when", "scope.where"} for line in _unmet(tree.children[0])]
    if outcome.unless is not None:
        lines.append(f"the exception {outcome.unless} holds")
    if rule.classifier is not None:
        threshold = rule.classifier.threshold
        if outcome.score is None:
            lines.append("the score is unknown")
        elif outcome.score < threshold:
            lines.append(f"score >= {threshold:g} (is {outcome.score:.2f})")
    return lines


def _unmet(tree: Explanation) -> list[str]:
    if tree.value is True:
        return []
    conditions = [child for child in tree.children if isinstance(child.value, bool)]
    if conditions:
        return [line for child in tree.children if not isinstance(child.value, float) for line in _unmet(child)]
    numbers = ", ".join(f"{child.text} is {_shown(child.value)}" for child in tree.children if not _is_literal(child))
    return [f"{tree.text} ({numbers})" if numbers else f"{tree.text} (is {_shown(tree.value)})"]


def _is_literal(tree: Explanation) -> bool:
    return not tree.children and tree.text[:1].isdigit()


def _shown(value: float | bool | str | None) -> str:  # noqa: FBT001 - a value of the rule language
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _record(tree: Explanation) -> dict[str, Any]:
    return {
        "text": tree.text,
        "value": tree.value,
        "shown": _shown(tree.value),
        "children": [_record(child) for child in tree.children],
    }
