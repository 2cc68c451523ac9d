"""How long markets were blocked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import IsolationState

if TYPE_CHECKING:
    from guard.model import Transition

__all__ = ["BlockedTime"]


class BlockedTime:
    """Time in state quarantined, summed over targets; two reasons for one target count once."""

    def __init__(self) -> None:
        self._since: dict[str, int] = {}
        self._reasons: dict[str, set[str]] = {}
        self._total_us = 0

    def take(self, transition: Transition) -> None:
        """Take one transition."""
        target, name = str(transition.quarantine.target), transition.quarantine.id
        reasons = self._reasons.setdefault(target, set())
        if transition.quarantine.state is IsolationState.QUARANTINED:
            if not reasons:
                self._since[target] = transition.at_us
            reasons.add(name)
        elif name in reasons:
            reasons.remove(name)
            if not reasons:
                self._total_us += transition.at_us - self._since.pop(target)
        if not reasons:
            del self._reasons[target]

    def minutes(self, now_us: int) -> float:
        """Return the minutes up to `now_us`, those still running included."""
        return (self._total_us + sum(now_us - since for since in self._since.values())) / 60e6
