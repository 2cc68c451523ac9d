"""How ready each rule is on each market, for status: what the engine knows, and what the exchange cannot give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.engine import Ready, readiness

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.pipeline import Pipeline
    from guard.runtime.feed import Feed

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


def rules_ready(pipeline: Pipeline, now_us: int, caveats: Mapping[str, Mapping[str, str]]) -> dict[str, list[dict[str, Any]]]:
    """Return by market how ready each rule is there, JSON-able."""
    engine = pipeline.engine
    program = engine.program
    prints = {
        rule.id
        for rule in program.rules
        if any(program.leaves[number].field.startswith(_OF_PRINTS) for number in program.leaf_numbers(rule.number))
    }
    found = {}
    for market, row in engine.markets.items():
        lacks = caveats.get(market.exchange, {})
        told = []
        for each in readiness(engine, row, now_us):
            record = each.record()
            caveat = lacks.get("candles") if each.state is Ready.WARMING else lacks.get("prints") if each.rule in prints else None
            if caveat and each.state is not Ready.NEVER:
                record["caveat"] = caveat
                record["text"] += f" ({caveat})"
            told.append(record)
        found[str(market)] = told
    return found
