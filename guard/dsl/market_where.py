"""``where`` of an exchange in guard.yaml: which of its markets are watched, asked before they are opened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from guard.dsl.checked import checked
from guard.dsl.checker import Checker
from guard.dsl.compilation import fact_term
from guard.dsl.document import Scalar, Table
from guard.dsl.graph import Graph
from guard.dsl.memory import Memory
from guard.dsl.problems import Place, Report, Source
from guard.dsl.program import FACTS, market_facts
from guard.dsl.tables import Tables
from guard.dsl.terms import Names
from guard.errors import ConfigurationError
from guard.features.tables import Type

if TYPE_CHECKING:
    from guard.dsl.terms import Term
    from guard.model import MarketFacts

__all__ = ["KNOWN_BEFORE", "MarketWhere", "check_wheres"]

KNOWN_BEFORE: Final = ("volume_24h_usd", "market_age", "usd_rate")
"""The features that are known of a market that nobody watches yet."""


class _File:
    """What the expressions of guard.yaml share: there are no lists."""

    def __init__(self) -> None:
        self.lists: dict[str, tuple[str, ...]] = {}
        self.memory = Memory()
        self.is_torn = False

    def use_list(self, name: str) -> None:
        """Note nothing."""


class MarketWhere:
    """An expression over what the exchange tells of a market.

    Parameters
    ----------
    text
        In the language of rules; of features it may name those of `KNOWN_BEFORE`. Raises ConfigurationError.

    Examples
    --------
    >>> from guard.model import Market, MarketFacts
    >>> where = MarketWhere("volume_24h_usd() > 1M and market.class == spot")
    >>> facts = MarketFacts(Market("x", "A/USDT"), volume_24h_usd=900_000.0)
    >>> where.holds(facts, now_us=0), where.holds(facts, now_us=0, turnover=1.25), where.holds(MarketFacts(facts.market), now_us=0)
    (False, True, None)
    """

    def __init__(self, text: str) -> None:
        report = Report()
        node = Scalar(text, text, Place(Source.of("guard.yaml", text), 1, 1))
        self._graph = Graph()
        self._term = _check(node, self._graph, report)
        if report.errors:
            raise ConfigurationError(*report.errors)
        self.text = text

    def holds(self, facts: MarketFacts, *, now_us: int, turnover: float = 1.0) -> bool | None:
        """Return whether it holds for a market whose turnover is `turnover` times what is known; None where that is unknown."""
        values = {
            "volume_24h_usd": math.nan if facts.volume_24h_usd is None else facts.volume_24h_usd * turnover,
            "market_age": math.nan if facts.listed_us is None else float(max(0, now_us - facts.listed_us)),
            "usd_rate": math.nan if facts.usd_rate is None else facts.usd_rate,
        }
        leaves = [values[leaf.field] for leaf in self._graph.leaves]
        (found,) = self._graph.evaluate([self._term.node], leaves=leaves, facts=market_facts(facts))
        return None if found is None else bool(found)


def check_wheres(root: Table, report: Report) -> None:
    """Report what is wrong with the ``where`` of each exchange; `root` is the tree of guard.yaml."""
    exchanges = root.entries.get("exchanges")
    if exchanges is None or not isinstance(exchanges.node, Table):
        return
    for entry in exchanges.node.entries.values():
        where = entry.node.entries.get("where") if isinstance(entry.node, Table) else None
        if where is not None and isinstance(where.node, Scalar) and isinstance(where.node.value, str):
            _check(where.node, Graph(), report)


def _check(node: Scalar, graph: Graph, report: Report) -> Term:
    from guard.features.market_fields import MARKET_FIELDS  # noqa: PLC0415 - most files to check have no such expression

    fields = [field for field in MARKET_FIELDS if field.name in KNOWN_BEFORE]
    names = Names({f"market.{name}": fact_term(graph, name) for name in FACTS})
    return checked(Checker(graph, Tables(fields, ())), node, names, _File(), report, kind=Type.BOOL)
