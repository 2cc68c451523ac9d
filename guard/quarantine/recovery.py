"""How a quarantine ends: extension, probation, release."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guard.model.quarantine import IsolationState, Quarantine
from guard.quarantine.fallbacks import fallbacks_of

if TYPE_CHECKING:
    from guard.model.validation import Failed, Fallback
    from guard.quarantine.calm import CalmClock

__all__ = ["RecoveryHandler", "Step", "ended"]


class Step(NamedTuple):
    """What becomes of a quarantine at a deadline: how it stands after it, and the cause of a `Transition`."""

    quarantine: Quarantine
    cause: str


class RecoveryHandler:
    """Decide when a quarantine is extended, loosened to probation, or over.

    Parameters
    ----------
    ahead_us
        How long before its announced end a quarantine that cannot end then is extended, microseconds, > 0. A bot reads the end
        from the last published state, so the extension must be committed and published before the old end passes.
    step_us
        Shortest extension, microseconds, > 0: bounds how many transitions one stay can make.
    uncalm_us
        How long a hold without a probation of its own is on probation after its longest time, microseconds, >= 0.

    Notes
    -----
    A hold without `release_for_us` ends at its floor, cause ``floor``. Any other needs its floor passed and `release_for_us` of
    calm counted after it (cause ``calm``); its announced end is the earliest moment at which that can be, and moves (cause
    ``extend``) when calm does not come. At `last_end_us` it ends whatever the data says, cause ``max``. An end is followed by
    probation where the hold asks for it, and after ``max``, which nobody saw calm, in any case; that ends with cause
    ``probation_end``.
    """

    def __init__(self, *, ahead_us: int = 30_000_000, step_us: int = 60_000_000, uncalm_us: int = 1_800_000_000) -> None:
        self._ahead_us = ahead_us
        self._step_us = step_us
        self._uncalm_us = uncalm_us

    def fallbacks(self, failed: Failed) -> tuple[Fallback, ...]:
        """Return what is done where a decision did not reach its readers, in this order."""
        return fallbacks_of(failed)

    def first_end_us(self, *, floor_us: int, last_end_us: int, release_for_us: int | None) -> int:
        """Return the end to announce when a stay begins: the earliest possible one."""
        return min(last_end_us, floor_us + (release_for_us or 0))

    def due_us(self, quarantine: Quarantine, calm: CalmClock) -> int:
        """Return when `step` has to look at `quarantine` again."""
        need_us = quarantine.hold.release_for_us
        if quarantine.state is IsolationState.PROBATION or need_us is None:
            return quarantine.until_us
        due_us = quarantine.last_end_us
        calm_due_us = calm.due_us(need_us=need_us, floor_us=quarantine.floor_us)
        if calm_due_us is not None:
            due_us = min(due_us, calm_due_us)
        if quarantine.until_us < quarantine.last_end_us and (calm_due_us is None or calm_due_us > quarantine.until_us):
            due_us = min(due_us, quarantine.until_us - self._ahead_us)
        return due_us

    def step(self, quarantine: Quarantine, calm: CalmClock, *, at_us: int) -> Step:
        """Return what becomes of `quarantine` at its deadline `at_us` (what `due_us` said)."""
        if quarantine.state is IsolationState.PROBATION:
            return Step(ended(quarantine, at_us=at_us), "probation_end")
        need_us = quarantine.hold.release_for_us
        if need_us is None:
            return Step(_loosened(quarantine, at_us=at_us), "floor")
        calm_due_us = calm.due_us(need_us=need_us, floor_us=quarantine.floor_us)
        if calm_due_us is not None and calm_due_us <= at_us:
            return Step(_loosened(quarantine, at_us=at_us), "calm")
        if at_us >= quarantine.last_end_us:
            return Step(_loosened(quarantine, at_us=at_us, least_us=self._uncalm_us), "max")
        if calm_due_us is None:
            held_us = calm.held_us(at_us=at_us, floor_us=quarantine.floor_us)
            calm_due_us = max(at_us, quarantine.floor_us) + max(self._step_us, need_us - held_us)
        until_us = min(quarantine.last_end_us, max(calm_due_us, quarantine.until_us) + self._ahead_us)
        return Step(quarantine._replace(until_us=until_us), "extend")


def ended(quarantine: Quarantine, *, at_us: int, grace_us: int = 0) -> Quarantine:
    """Return `quarantine` as it stands after it became normal at `at_us`, with `grace_us` of grace."""
    return quarantine._replace(state=IsolationState.NORMAL, until_us=at_us, grace_until_us=at_us + grace_us if grace_us > 0 else 0)


def _loosened(quarantine: Quarantine, *, at_us: int, least_us: int = 0) -> Quarantine:
    probation_us = quarantine.hold.probation_us or least_us
    if probation_us <= 0:
        return ended(quarantine, at_us=at_us)
    if probation_us != quarantine.hold.probation_us:
        quarantine = quarantine._replace(hold=quarantine.hold._replace(probation_us=probation_us))
    return quarantine._replace(state=IsolationState.PROBATION, until_us=at_us + probation_us)
