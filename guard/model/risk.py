"""Risk: levels, and a score that is the sum of its visible contributions."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["Contribution", "Level", "RiskScore"]


class Level(IntEnum):
    """How dangerous a market looks under one rule."""

    NORMAL = 0
    WARNING = 1
    DANGER = 2
    CRITICAL = 3

    def __str__(self) -> str:
        """Return the word used in rules, alerts and JSON."""
        return self.name.lower()


class Contribution(NamedTuple):
    """What one factor adds to a score.

    `value` in [0, 1], None where unknown or absent; `share` = what it adds to the score, so that shares sum to the score.
    `status` is ``known``, ``unknown`` or ``absent`` (its stream is not subscribed).
    """

    factor: str
    weight: float
    value: float | None
    share: float
    status: str = "known"


class RiskScore(NamedTuple):
    """A weighted score in [0, 1], None where a required factor is unknown, with its contributions in rule order."""

    score: float | None
    contributions: tuple[Contribution, ...]
