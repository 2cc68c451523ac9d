"""A finding: one detector's score on one market, with its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.market import Market

__all__ = ["Finding"]


class Finding(NamedTuple):
    """What a detector saw. Public data has no account ids: it says "-like", and the evidence lets a person judge.

    `score` in [0, 1]; `evidence` maps a feature's written form (``ret(60s)``) to its value, None where unknown.
    """

    at_us: int
    market: Market
    rule: str
    detector: str
    score: float
    evidence: Mapping[str, float | None]
