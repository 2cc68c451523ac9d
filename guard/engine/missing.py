"""What would have to change for a rule to fire, or for a market to be calm, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.dsl.amounts import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.dsl import Explanation, Outcome, Rule

__all__ = ["below", "is_literal", "missing_to_fire", "unmet"]

# How far what is no number is from holding, against comparisons whose distance is a share of the larger side.
_FALSE = 1.0
_EXCEPTION = 1.5
_UNKNOWN = 2.0


class _Lack(NamedTuple):
    distance: float
    text: str


def missing_to_fire(rule: Rule, outcome: Outcome, trees: tuple[Explanation, ...]) -> list[str]:
    """Return what would have to change for the rule to reach its first level, nearest first; empty where it has.

    `trees` are those of `Program.explain`. How near a comparison is, is the distance of its sides over the larger of them.
    """
    # An unknown scope.where counts as in scope.
    asked = [tree for tree in trees if tree.text == "when" or (tree.text == "scope.where" and tree.value is False)]
    lacks = [lack for tree in asked for lack in _unmet(tree.children[0])]
    if outcome.unless is not None:
        lacks.append(_Lack(_EXCEPTION, f"the exception {outcome.unless} holds"))
    lacks += [
        _Lack(_UNKNOWN, f"the exception {tree.text.removeprefix('unless.')} is unknown{_because(tree)}")
        for tree in trees
        if tree.text.startswith("unless.") and tree.value is None
    ]
    if rule.classifier is not None:
        threshold = rule.classifier.threshold
        if outcome.score is None:
            lacks.append(_Lack(_UNKNOWN, f"the score is unknown{_factors(rule, outcome)}"))
        elif outcome.score < threshold:
            text = f"score >= {threshold:g} (is {below(outcome.score, threshold)})"
            lacks.append(_Lack((threshold - outcome.score) / threshold, text))
    return _in_order(lacks)


def unmet(trees: Iterable[Explanation]) -> list[str]:
    """Return what keeps some conditions from holding, nearest first."""
    return _in_order([lack for tree in trees for lack in _unmet(tree)])


def _in_order(lacks: Iterable[_Lack]) -> list[str]:
    return list(dict.fromkeys(lack.text for lack in sorted(lacks, key=lambda lack: lack.distance)))


def below(value: float, threshold: float) -> str:
    """Return a number that is below a threshold so that it reads so."""
    return next((text for text in (f"{value:.{digits}f}" for digits in (2, 3, 4)) if float(text) < threshold), repr(value))


def _factors(rule: Rule, outcome: Outcome) -> str:
    pairs = zip(rule.factors, outcome.factors, strict=True)
    names = [factor.name for factor, value in pairs if value is None and not factor.is_optional]
    return f": {', '.join(names)}" if names else ""


def _unmet(tree: Explanation) -> list[_Lack]:
    if tree.value is True:
        return []
    conditions = [child for child in tree.children if child.value is None or isinstance(child.value, bool)]
    if tree.joins in ("and", "or") and conditions:
        parts = [_unmet(child) for child in conditions]
        if tree.joins == "and":
            return [lack for part in parts for lack in part]
        ways = [_Lack(max(lack.distance for lack in part), " and ".join(lack.text for lack in part)) for part in parts if part]
        ways.sort(key=lambda lack: lack.distance)
        return [_Lack(ways[0].distance, " or ".join(way.text for way in ways))] if ways else []
    return [_Lack(_distance(tree), f"{tree.text} ({_sides(tree)})")]


def _distance(tree: Explanation) -> float:
    if tree.value is None:
        return _UNKNOWN
    sides = [child.value for child in tree.children if isinstance(child.value, float)]
    if len(sides) != 2 or sides[0] == sides[1]:  # noqa: PLR2004 - a comparison
        return _FALSE if len(sides) != 2 else 0.0  # noqa: PLR2004 - likewise
    return min(_FALSE, abs(sides[0] - sides[1]) / max(abs(sides[0]), abs(sides[1])))


def _sides(tree: Explanation) -> str:
    sides = [child for child in tree.children if not is_literal(child)]
    if not sides:
        return f"is {shown(tree.value)}{_because(tree)}"
    return ", ".join(f"{side.text} is {shown(side.value, side.unit)}{_because(side)}" for side in sides)


def _because(tree: Explanation) -> str:
    """Return the first reason for which something is unknown."""
    if tree.value is not None:
        return ""
    while not tree.why and (inner := next((child for child in tree.children if child.value is None), None)) is not None:
        tree = inner
    more = f" (and {len(tree.why) - 1} more)" if len(tree.why) > 1 else ""
    return f": {tree.why[0]}{more}" if tree.why else ""


def is_literal(tree: Explanation) -> bool:
    """Whether a part is a number as written, whose value says nothing new."""
    return not tree.children and not tree.definition and (tree.text[:1].isdigit() or tree.text[:1] in "$['\"")
