"""What a person sees of a running guard: one row a market, and the figures of the whole."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.engine import risk_of
from guard.engine.verdicts import group_stand
from guard.model import DataState, IsolationState, Level, RuleMode
from guard.model.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guard.dsl import Outcome, Rule
    from guard.engine.watched import Watched
    from guard.model import Market
    from guard.pipeline import Pipeline

__all__ = ["BoardRow", "board_row", "board_rows", "in_order", "row_record"]


class BoardRow(NamedTuple):
    """One market as the board shows it.

    `rule` is the one at the highest level, then one that tells people before one in the shadow, then with the highest score;
    `mode` is its mode; `factors` are (name, value in [0, 1] or None,
    ``known``, ``unknown`` or ``absent``) of it. `until_us` is the end of a quarantine as known now, `new_until_us` when a
    market whose data is new will be 72 hours old.
    """

    market: str
    rule: str
    mode: str
    level: Level
    score: float | None
    factors: tuple[tuple[str, float | None, str], ...]
    state: IsolationState
    data: str
    age_ms: float | None
    until_us: int | None
    rules_ready: int
    rules_expected: int
    new_until_us: int | None = None


def board_rows(pipeline: Pipeline, now_us: int) -> list[BoardRow]:
    """Return a row for each watched market, the most dangerous first."""
    return in_order(board_row(pipeline, market, row, now_us) for market, row in pipeline.engine.markets.items())


def in_order(rows: Iterable[BoardRow]) -> list[BoardRow]:
    """Return rows with the most dangerous first."""
    return sorted(rows, key=lambda r: (r.state is IsolationState.NORMAL, -r.level, -(r.score or 0.0), r.market))


def board_row(pipeline: Pipeline, market: Market, row: int, now_us: int) -> BoardRow:
    """Return the row of one market."""
    watched = pipeline.engine.watched[row]
    view = pipeline.view(row)
    _, arrived_us = pipeline.engine.kernel.last(row)
    leading = leading_rule(pipeline, watched)
    factors: tuple[tuple[str, float | None, str], ...] = ()
    if leading is not None:
        risk = risk_of(leading[0], leading[1], watched.facts)
        factors = tuple((part.factor, part.value, part.status) for part in risk.contributions)
    return BoardRow(
        market=str(market),
        rule=leading[0].id if leading else "",
        mode=str(leading[0].mode) if leading else "",
        level=leading[2] if leading else Level.NORMAL,
        score=leading[1].score if leading else None,
        factors=factors,
        state=pipeline.isolation.state_of(market),
        data=view.data,
        age_ms=max(0, now_us - arrived_us) / 1000 if arrived_us else None,
        until_us=max((held.until_us for held in pipeline.isolation.covering(market)), default=None),
        rules_ready=view.rules_active,
        rules_expected=view.rules_expected,
        new_until_us=view.listed_until_us if view.data == DataState.NEW else None,
    )


def leading_rule(pipeline: Pipeline, watched: Watched) -> tuple[Rule, Outcome, Level] | None:
    """Return the rule of a market at the highest level, with it; None before the first evaluation.

    Of several, one that tells people goes before one in the shadow, then the highest score.
    """
    rules, groups, market = pipeline.engine.program.rules, pipeline.engine.groups, watched.facts.market
    told = [
        (rules[outcome.rule], outcome, groups.level(rules[outcome.rule], market, episode.level))
        for outcome, episode in zip(watched.outcomes, watched.episodes, strict=False)
    ]
    return max(told, key=_weight, default=None)


def _weight(told: tuple[Rule, Outcome, Level]) -> tuple[Level, bool, bool, float]:
    rule, outcome, level = told
    is_heard = level is not Level.NORMAL and rule.mode is not RuleMode.SHADOW
    return level, is_heard, bool(rule.factors), -1.0 if outcome.score is None else outcome.score


def group_records(pipeline: Pipeline) -> list[dict[str, Any]]:
    """Return the groups of markets that have a level under a rule that judges them together, JSON-able, the highest level first."""
    engine, found = pipeline.engine, []
    for rule in engine.program.rules:
        for group in engine.groups.all_of(rule):
            if group.level is Level.NORMAL:
                continue
            stand = group_stand(rule, group, engine.watched, engine.watched[next(iter(group.rows))].facts.market)
            told = {
                "rule": rule.id,
                "mode": str(rule.mode),
                "per": str(stand.per),
                "group": stand.name,
                "level": str(group.level),
                "held": stand.held,
                "needed": stand.needed,
                "of": stand.of,
                "members": list(map(str, stand.members)),
            }
            found.append((-group.level, rule.id, stand.name, told))
    return [told for *_, told in sorted(found, key=itemgetter(0, 1, 2))]


def row_record(row: BoardRow) -> dict[str, Any]:
    """Return a row as ``guard --json status`` shows it."""
    return {
        "market": row.market,
        "level": str(row.level),
        "score": None if row.score is None else round(row.score, 4),
        "rule": row.rule,
        "mode": row.mode,
        "factors": {name: None if value is None else round(value, 4) for name, value, _ in row.factors},
        "state": str(row.state),
        "data": row.data,
        "age_ms": None if row.age_ms is None else round(row.age_ms, 1),
        "until": None if row.until_us is None else stamp(row.until_us),
        "rules_active": row.rules_ready,
        "rules_expected": row.rules_expected,
        "new_until": None if row.new_until_us is None else stamp(row.new_until_us),
    }
