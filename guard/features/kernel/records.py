"""What was known of a market when it was opened, as a checkpoint holds it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from guard.model.market import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["facts_in", "facts_out", "known"]


def facts_out(facts: MarketFacts) -> dict[str, Any]:
    """Return the facts as JSON-able values."""
    return {
        **facts._asdict(),
        "market": str(facts.market),
        "market_class": str(facts.market_class),
        "tags": sorted(facts.tags),
        "streams": sorted(facts.streams),
    }


def facts_in(values: Mapping[str, Any]) -> MarketFacts:
    """Return what `facts_out` took apart. Raises KeyError, TypeError or ValueError for what is damaged."""
    return MarketFacts(
        **{
            **values,
            "market": Market.parse(values["market"]),
            "market_class": MarketClass(values["market_class"]),
            "tags": frozenset(values["tags"]),
            "streams": frozenset(values["streams"]),
        }
    )


def known(value: float | None) -> float:
    """Return a number as rows hold it: NaN where it is not known."""
    return math.nan if value is None else value
