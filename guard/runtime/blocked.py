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
        self._total_us: dict[str, int] = {}

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
                lasted_us = transition.at_us - self._since.pop(target)
                self._total_us[target] = self._total_us.get(target, 0) + lasted_us
        if not reasons:
            del self._reasons[target]

    def minutes(self, now_us: int) -> float:
        """Return the minutes up to `now_us`, those still running included."""
        return (sum(self._total_us.values()) + sum(now_us - since for since in self._since.values())) / 60e6

    def by_target(self, now_us: int) -> dict[str, float]:
        """Return the same for each target that was ever blocked, sorted by name."""
        running = {target: now_us - since for target, since in self._since.items()}
        names = sorted({*self._total_us, *running})
        return {name: (self._total_us.get(name, 0) + running.get(name, 0)) / 60e6 for name in names}
