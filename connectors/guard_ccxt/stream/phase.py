"""Where a stream stands."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["Phase"]


class Phase(Enum):
    """Where a subscription stands."""

    IDLE = auto()
    WAITING = auto()
    REPAIRING = auto()
    LIVE = auto()
    LOST = auto()
    PARKED = auto()
    SUSPECT = auto()
