"""Why a rule fires or does not: every part of its conditions with its value, and how far its timers are."""

from __future__ import annotations

from functools import partial
from math import isinf
from typing import TYPE_CHECKING, Any

from guard.dsl.amounts import shown
from guard.dsl.scoping import scope_keys
from guard.engine.missing import below, is_literal, missing_to_fire, unmet
from guard.engine.readiness import readiness
from guard.engine.verdicts import candidate_level, group_stand, risk_of
from guard.features.lacking import lacking, lasting
from guard.features.tables import Unit
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.dsl import Explanation, Outcome, Program, Rule
    from guard.dsl.tracing import Tracer
    from guard.engine.engine import Engine
    from guard.engine.episode import Episode
    from guard.engine.groups import Group
    from guard.engine.watched import Watched
    from guard.model import GroupStand, Market, MarketFacts

__all__ = ["missing_in_group", "outside", "why"]

_LEVELS = (Level.WARNING, Level.DANGER, Level.CRITICAL)


def why(engine: Engine, row: int, now_us: int) -> list[dict[str, Any]]:
    """Return what every rule that looks at a market makes of it now, JSON-able."""
    engine.look(row, now_us)
    watched = engine.watched[row]
    lacks = partial(lacking, engine.kernel, row, now_us)
    found = [_why_rule(engine.program, watched, place, now_us, lacks) for place in range(len(watched.outcomes))]
    ready = {each.rule: each.record() for each in readiness(engine, row, now_us)}
    for told, outcome in zip(found, watched.outcomes, strict=True):
        told["ready"] = ready[told["rule"]]
        rule, market = engine.program.rules[outcome.rule], watched.facts.market
        if rule.quorum is not None:
            group = engine.groups.of(rule, market)
            told["group"] = _why_group(rule, group, group_stand(rule, group, engine.watched, market), now_us)
            told["missing"] += missing_in_group(rule, group, market)
    return found


def outside(engine: Engine, row: int, now_us: int) -> list[dict[str, Any]]:
    """Return why the other rules do not look at a market, JSON-able."""
    watched = engine.watched[row]
    inside = set(watched.binding.rules)
    others = (rule for rule in engine.program.rules if rule.number not in inside)
    lacks = partial(lacking, engine.kernel, row, now_us)
    return [_outside_rule(engine.program, watched, rule, lacks) for rule in others]


def _why_rule(
    program: Program,
    watched: Watched,
    place: int,
    now_us: int,
    why_leaf: Callable[[int], str],
) -> dict[str, Any]:
    """Return what a rule makes of a market at its last evaluation, JSON-able; `place` is its place among the market's rules."""
    outcome, episode = watched.outcomes[place], watched.episodes[place]
    rule = program.rules[outcome.rule]
    tracer = program.tracer(rule.number, watched.facts, watched.values, why_leaf)
    terms = program.terms(rule.number)
    found = tracer.explain(term for _, term in terms)
    labelled = {label: tree for (label, _), tree in zip(terms, found, strict=True)}
    trees = tuple(_labelled(label, tree) for label, tree in labelled.items())
    releases = [tree for label, tree in labelled.items() if label.endswith("release.when")]
    return {
        **_head(rule),
        "in_scope": True,
        "scope": _scope(rule, watched.facts),
        "level": str(episode.level),
        "fires": outcome.fires,
        "says": _text(candidate_level(rule, outcome)),
        "score": outcome.score,
        "unless": outcome.unless,
        "levels": _thresholds(rule),
        "factors": _factors(rule, outcome, watched.facts),
        "detectors": _detectors(program, tracer, rule, outcome),
        "for": _held(rule, episode, now_us),
        "clear": _clear(episode, outcome, now_us, labelled.get("clear.when")),
        "release": {"holds": outcome.releases, "missing": unmet(releases)},
        "unknown_for_s": None if episode.unknown_since_us is None else (now_us - episode.unknown_since_us) / 1e6,
        "started_us": episode.started_us if episode.level is not Level.NORMAL else None,
        "missing": _missing(rule, outcome, episode, trees, now_us) if episode.level is Level.NORMAL else [],
        "rise": _rise(rule, outcome, episode, now_us),
        "actions": _actions(rule),
        "tree": [record(tree) for tree in trees],
    }


def _why_group(rule: Rule, group: Group, stand: GroupStand, now_us: int) -> dict[str, Any]:
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


def _outside_rule(program: Program, watched: Watched, rule: Rule, why_leaf: Callable[[int], str]) -> dict[str, Any]:
    """Return why a rule does not look at a market, JSON-able."""
    scope = _scope(rule, watched.facts)
    terms = [(label, term) for label, term in program.terms(rule.number) if label == "scope.where"]
    trees = program.tracer(rule.number, watched.facts, watched.values, why_leaf).explain(term for _, term in terms)
    by = [f"{key['key']}: found {key['found']}, allowed {key['allowed']}" for key in scope if not key["holds"]]
    by += [f"where: {line}" for line in unmet(trees) if not by]
    tree = [record(_labelled(label, tree)) for (label, _), tree in zip(terms, trees, strict=True)]
    return {**_head(rule), "in_scope": False, "scope": scope, "by": by, "tree": tree}


def record(tree: Explanation) -> dict[str, Any]:
    """Return a part of an expression as JSON."""
    found: dict[str, Any] = {
        "text": tree.text,
        # JSON knows no infinite number; what is shown says it.
        "value": None if isinstance(tree.value, float) and isinf(tree.value) else tree.value,
        "unit": str(tree.unit),
        "shown": shown(tree.value, tree.unit),
        "children": [record(child) for child in tree.children],
    }
    if tree.definition:
        found["definition"] = tree.definition
    if tree.why:
        found["why"] = list(tree.why)
    if is_literal(tree):
        found["literal"] = True
    return found


def _labelled(label: str, tree: Explanation) -> Explanation:
    return tree._replace(text=label, definition="", why=(), children=(tree,))


def _text(level: Level | None) -> str | None:
    return None if level is None else str(level)


def _head(rule: Rule) -> dict[str, Any]:
    place = f"{rule.file}:{rule.line}"
    return {"rule": rule.id, "title": rule.title, "place": place, "hash": rule.hash, "mode": str(rule.mode)}


def _scope(rule: Rule, facts: MarketFacts) -> list[dict[str, Any]]:
    return [key._asdict() for key in scope_keys(rule, facts)]


def _thresholds(rule: Rule) -> dict[str, float]:
    if rule.classifier is None:
        return {}
    return {str(level): least for level, least in zip(_LEVELS, rule.classifier.thresholds, strict=True)}


def _factors(rule: Rule, outcome: Outcome, facts: MarketFacts) -> list[dict[str, Any]]:
    contributions = risk_of(rule, outcome, facts).contributions
    pairs = zip(contributions, rule.factors, strict=bool(contributions))
    return [{**part._asdict(), "optional": factor.is_optional} for part, factor in pairs]


def _detectors(program: Program, tracer: Tracer, rule: Rule, outcome: Outcome) -> list[dict[str, Any]]:
    found = zip(rule.detectors, outcome.detectors, program.detectors(tracer, rule.number), strict=True)
    return [
        {
            "alias": used.alias,
            "detector": used.name,
            "title": used.title,
            "hard": used.is_hard,
            "score": score,
            "parts": [{"name": name, **record(tree._replace(unit=Unit.NONE) if name == "score" else tree)} for name, tree in parts],
        }
        for used, score, parts in found
    ]


def _held(rule: Rule, episode: Episode, now_us: int) -> dict[str, Any]:
    held = episode.held_us(now_us)
    waiting = {str(level): held[level] / 1e6 for level in _LEVELS if held[level] and level > episode.level}
    return {"needs_s": rule.for_us / 1e6, "held_s": waiting}


def _clear(episode: Episode, outcome: Outcome, now_us: int, tree: Explanation | None) -> dict[str, Any]:
    held_us = episode.clear_us(now_us) if episode.level is not Level.NORMAL else 0
    missing = unmet((tree,)) if tree is not None else []
    if tree is None and outcome.clears is not True:
        missing = ["nobody can tell"] if outcome.clears is None else ["it still fires"]
    return {"needs_s": episode.clear_for_us / 1e6, "held_s": held_us / 1e6, "holds": outcome.clears, "missing": missing}


def _missing(rule: Rule, outcome: Outcome, episode: Episode, trees: tuple[Explanation, ...], now_us: int) -> list[str]:
    """Return what keeps a rule from its first level, nearest first."""
    lines = missing_to_fire(rule, outcome, trees)
    if not lines and candidate_level(rule, outcome) not in (None, Level.NORMAL):
        lines.append(_holding(rule, episode.held_us(now_us)[Level.WARNING]))
    return lines


def _holding(rule: Rule, held_us: int) -> str:
    if held_us >= rule.for_us:
        return "nothing: its level begins with the next look"
    return f"it has to hold: {lasting(held_us)} of {lasting(rule.for_us)}"


def _rise(rule: Rule, outcome: Outcome, episode: Episode, now_us: int) -> list[str]:
    """Return what keeps a rule that fired from the next level."""
    after = next((level for level in _LEVELS if level > episode.level), None)
    if after is None or rule.classifier is None or episode.level is Level.NORMAL:
        return []
    says, least = candidate_level(rule, outcome), dict(zip(_LEVELS, rule.classifier.thresholds, strict=True))[after]
    if says is not None and says >= after:
        return [f"{after}: {_holding(rule, episode.held_us(now_us)[after])}"]
    if outcome.score is None or outcome.score < least:
        score = "unknown" if outcome.score is None else below(outcome.score, least)
        return [f"{after}: score >= {least:g} (is {score})"]
    if rule.lifting is not None and outcome.fires:
        return [f"{after}: a factor of another kind must reach 0.5 ({_lifting(rule, outcome, rule.lifting)})"]
    return [f"{after}: it does not fire now"]


def _lifting(rule: Rule, outcome: Outcome, places: Sequence[int]) -> str:
    known = ((rule.factors[at].name, outcome.factors[at]) for at in places)
    return ", ".join(f"{name} is {'unknown' if value is None else f'{value:.2f}'}" for name, value in known) or "it has none"


def _actions(rule: Rule) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for level, actions in rule.actions.items():
        if rule.level not in (None, level):
            continue
        words = ["alert"] if actions.alert else []
        if (order := actions.quarantine) is not None:
            block = "entries" if str(order.block) == "entries" else "all but small entries"
            words.append(f"quarantine the {order.target or rule.per.target} for {lasting(order.for_us)}, no {block}")
        words += [f"{each.kind} {each.name}" for each in actions.orders]
        found[str(level)] = words
    return found
