"""How ready each rule is on each market, for status: what the engine knows, and what the exchange cannot give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.engine import Ready, readiness

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from guard.dsl import Program
    from guard.model import Market
    from guard.pipeline import Pipeline
    from guard.runtime.feed import Feed
    from guard.runtime.slices import Slices

__all__ = ["caveats_of", "rules_ready"]

# Rules that look at single prints; what they find in sums of prints is weaker.
_OF_PRINTS = ("prints_",)


def caveats_of(feeds: Sequence[Feed]) -> dict[str, dict[str, str]]:
    """Return for each exchange what it cannot give, in words: under ``candles`` and ``prints``; nothing where all is there."""
    found: dict[str, dict[str, str]] = {}
    for feed in feeds:
        gives: Mapping[str, Any] = (feed.connector.health().details or {}).get("gives", {})
        told = {}
        if gives.get("candles") is False:
            told["candles"] = "the exchange gives no candles"
        if gives.get("prints") is False:
            told["prints"] = "its trades are sums of prints"
        found[feed.plan.name] = told
    return found


async def rules_ready(
    pipeline: Pipeline,
    now_us: int,
    caveats: Mapping[str, Mapping[str, str]],
    slices: Slices,
    *,
    let_go: Collection[Market] = (),
) -> dict[str, list[dict[str, Any]]]:
    """Return by market how ready each rule is there, JSON-able, made in `slices`. `let_go` are left out."""
    found: dict[str, list[dict[str, Any]]] = {}
    for market, row in [each for each in pipeline.engine.markets.items() if each[0] not in let_go]:
        found[str(market)] = _ready_on(pipeline, row, now_us, caveats.get(market.exchange, {}))
        await slices.step()
    return found


def _ready_on(pipeline: Pipeline, row: int, now_us: int, lacks: Mapping[str, str]) -> list[dict[str, Any]]:
    prints = _of_prints(pipeline.engine.program) if "prints" in lacks else ()
    told = []
    for each in readiness(pipeline.engine, row, now_us):
        record = each.record()
        caveat = lacks.get("candles") if each.state is Ready.WARMING else lacks.get("prints") if each.rule in prints else None
        if caveat and each.state is not Ready.NEVER:
            record["caveat"] = caveat
            record["text"] += f" ({caveat})"
        told.append(record)
    return told


def _of_prints(program: Program) -> set[str]:
    return {
        rule.id
        for rule in program.rules
        if any(program.leaves[number].field.startswith(_OF_PRINTS) for number in program.leaf_numbers(rule.number))
    }
