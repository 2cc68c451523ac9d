"""What bots' orders add to the report: the growth of counts that go on from the start of each process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["REPORTED", "grown"]

REPORTED: Final = {
    "seen": "orders.seen",
    "blocked": "orders.refused",
    "would_block": "orders.would_refuse",
    "bypassed": "orders.bypassed",
}
"""Counts of a bot by the names that ``guard report`` reads."""


def grown(
    before: tuple[Mapping[str, int], Mapping[str, Mapping[str, int]]],
    after: tuple[Mapping[str, int], Mapping[str, Mapping[str, int]]],
    rule_of: Callable[[str], str],
) -> Iterator[tuple[str, str, int]]:
    """Yield what came to the counts of a process: what the report calls it, the rule behind it, and how many.

    `before` and `after` are the totals and the counts by market. Each order is counted once, whatever the markets say; one whose
    market a report left out, or that no rule holds, comes under the rule ``""``.

    Examples
    --------
    >>> was = ({"seen": 5, "blocked": 1}, {"x:A/B": {"blocked": 1}})
    >>> now = ({"seen": 8, "blocked": 4}, {"x:A/B": {"blocked": 3}})
    >>> list(grown(was, now, {"x:A/B": "pump"}.get))
    [('orders.seen', '', 3), ('orders.refused', 'pump', 2), ('orders.refused', '', 1)]
    """
    (totals_before, markets_before), (totals, markets) = before, after
    for what, name in REPORTED.items():
        left = totals.get(what, 0) - totals_before.get(what, 0)
        if what != "seen":
            for market, counts in markets.items():
                more = min(left, counts.get(what, 0) - markets_before.get(market, {}).get(what, 0))
                if more > 0:
                    left -= more
                    yield name, rule_of(market), more
        if left > 0:
            yield name, "", left
