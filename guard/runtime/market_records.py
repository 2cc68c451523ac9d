"""What the status document says of each market, made in slices: the loop answers bots in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.engine import missing_in_group, missing_to_fire
from guard.model import DataState, IsolationState, Level
from guard.runtime.board import board_row, in_order, leading_rule, row_record
from guard.runtime.ready_view import caveats_of, rules_ready

if TYPE_CHECKING:
    from guard.dsl import Outcome, Rule
    from guard.engine.watched import Watched
    from guard.model import Market
    from guard.pipeline import Pipeline
    from guard.runtime.live import Live
    from guard.runtime.slices import Slices

__all__ = ["MarketRecords", "market_figures", "market_records", "nearest"]

_NEAREST_MAX: Final = 3
_READY: Final = frozenset(map(str, (DataState.OK, DataState.NEW, DataState.DEGRADED)))


class MarketRecords(NamedTuple):
    """A record for each watched market, the most dangerous first, and the calm ones nearest to firing; all JSON-able."""

    markets: list[dict[str, Any]]
    nearest: list[dict[str, Any]]

    @property
    def ready(self) -> int:
        """Of how many markets the data can be used."""
        return sum(record["data"] in _READY for record in self.markets)


def _watched(live: Live) -> list[tuple[Market, int]]:
    let_go = {market for feed in live.feeds for market in feed.let_go}
    return [(market, row) for market, row in live.pipeline.engine.markets.items() if market not in let_go]


async def market_records(live: Live, slices: Slices) -> MarketRecords:
    """Return all that people ask of each market."""
    pipeline, now_us = live.pipeline, live.clock.now_us()
    let_go = {market for feed in live.feeds for market in feed.let_go}
    ready = await rules_ready(pipeline, now_us, caveats_of(live.feeds), slices, let_go=let_go)
    rows = []
    for market, row in _watched(live):
        rows.append(board_row(pipeline, market, row, live.clock.now_us()))
        await slices.step()
    near = await nearest(pipeline, slices)
    return MarketRecords([{**row_record(row), "rules": ready.get(row.market, [])} for row in in_order(rows)], near)


async def market_figures(live: Live, slices: Slices) -> MarketRecords:
    """Return the level, the state and the quality of the data of each market alone: what can be had every second."""
    pipeline, records = live.pipeline, []
    for market, row in _watched(live):
        records.append(
            {
                "market": str(market),
                "level": str(pipeline.engine.level(row)),
                "state": str(pipeline.isolation.state_of(market)),
                "data": pipeline.engine.data_state(row, pipeline.now_us),
            }
        )
        await slices.step()
    return MarketRecords(records, [])


async def nearest(pipeline: Pipeline, slices: Slices) -> list[dict[str, Any]]:
    """Return the calm markets that are nearest to firing, with what is missing."""
    scores = []
    for market, row in list(pipeline.engine.markets.items()):
        leading = _calm(pipeline, row)
        if leading is not None:
            scores.append((-(leading[1].score or 0.0), str(market), row))
        await slices.step()
    found = []
    for _, name, row in sorted(scores)[:_NEAREST_MAX]:
        # Others ran meanwhile: rules may have been swapped.
        leading = _calm(pipeline, row)
        if leading is not None:
            rule, outcome = leading
            missing = "; ".join(_missing(pipeline, pipeline.engine.watched[row], rule, outcome))
            score = round(outcome.score or 0.0, 4)
            found.append({"market": name, "rule": rule.id, "score": score, "missing": missing or "only time: it has to hold"})
        await slices.step()
    return found


def _calm(pipeline: Pipeline, row: int) -> tuple[Rule, Outcome] | None:
    """Return what leads on a market that is calm and has a score, else None."""
    watched = pipeline.engine.watched[row]
    pipeline.engine.look(row, pipeline.now_us)
    leading = leading_rule(pipeline, watched)
    if leading is None or leading[1].score is None or leading[2] is not Level.NORMAL:
        return None
    is_free = pipeline.isolation.state_of(watched.facts.market) is IsolationState.NORMAL
    return leading[:2] if is_free else None


def _missing(pipeline: Pipeline, watched: Watched, rule: Rule, outcome: Outcome) -> list[str]:
    missing = missing_to_fire(rule, outcome, pipeline.engine.program.explain(watched.binding, rule.number, watched.values))
    if rule.quorum is not None:
        missing += missing_in_group(rule, pipeline.engine.groups.of(rule, watched.facts.market), watched.facts.market)
    return missing
