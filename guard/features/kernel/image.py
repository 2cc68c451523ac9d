"""A kernel's state as plain JSON values, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import StateError
from guard.features.kernel import slots as s
from guard.features.kernel.layout import Layout
from guard.features.tables import Leaf
from guard.model.market import Market, MarketClass, MarketFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["VERSION", "dump", "load"]

VERSION = 1


def dump(
    layout: Layout,
    facts: Sequence[MarketFacts],
    references: Sequence[int | None],
    floats: Sequence[list[float]],
    integers: Sequence[list[int]],
) -> dict[str, Any]:
    """Return the state; NaN is written None, and a float's shortest decimal form brings back its very bits."""
    return {
        "version": VERSION,
        "leaves": [[leaf.field, list(leaf.arguments)] for leaf in layout.leaves],
        "markets": [
            {
                "facts": _facts_out(facts[row]),
                "reference": references[row],
                "floats": [None if value != value else value for value in floats[row]],
                "integers": list(integers[row]),
            }
            for row in range(len(facts))
        ],
    }


def load(
    state: Mapping[str, Any],
) -> tuple[Layout, list[MarketFacts], list[int | None], list[list[float]], list[list[int]]]:
    """Return layout, facts, references and rows of a saved state; StateError where it does not fit this version."""
    try:
        if state["version"] != VERSION:
            raise StateError(f"the kernel's state has version {state['version']}; this guard reads version {VERSION}")
        layout = Layout([Leaf(field, tuple(arguments)) for field, arguments in state["leaves"]])
        markets = state["markets"]
        facts = [_facts_in(market["facts"]) for market in markets]
        floats = [[s.NAN if value is None else float(value) for value in market["floats"]] for market in markets]
        integers = [[int(value) for value in market["integers"]] for market in markets]
        references = [market["reference"] for market in markets]
    except (KeyError, TypeError, ValueError) as error:
        raise StateError(f"the kernel's state is damaged: {error!r}") from error
    if any(len(row) != layout.floats for row in floats) or any(len(row) != layout.integers for row in integers):
        raise StateError("the kernel's state is damaged: a market's row has the wrong length")
    return layout, facts, references, floats, integers


def _facts_out(facts: MarketFacts) -> dict[str, Any]:
    return {
        **facts._asdict(),
        "market": str(facts.market),
        "market_class": str(facts.market_class),
        "tags": sorted(facts.tags),
        "streams": sorted(facts.streams),
    }


def _facts_in(values: Mapping[str, Any]) -> MarketFacts:
    return MarketFacts(
        **{
            **values,
            "market": Market.parse(values["market"]),
            "market_class": MarketClass(values["market_class"]),
            "tags": frozenset(values["tags"]),
            "streams": frozenset(values["streams"]),
        }
    )
