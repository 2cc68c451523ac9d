"""What a person may order a running guard to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.quarantine import Target

__all__ = ["AddQuarantine", "Command", "ReleaseQuarantine"]


class AddQuarantine(NamedTuple):
    """Hold `target` for `for_us`; it ends with its time, without probation."""

    target: Target
    for_us: int
    reason: str
    actor: str


class ReleaseQuarantine(NamedTuple):
    """Release all that holds `target`, or the one with `id`; for `grace_us` the same rules only alert."""

    target: Target | None
    id: str | None
    reason: str
    actor: str
    grace_us: int = 1_800_000_000


Command = AddQuarantine | ReleaseQuarantine
