"""What a person may order a running guard to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.quarantine import Target

__all__ = ["AddMaintenance", "AddQuarantine", "Command", "EndMaintenance", "ReleaseQuarantine"]


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


class AddMaintenance(NamedTuple):
    """Announce that an exchange, or a market, is in maintenance from `from_us` until `until_us`."""

    target: Target
    from_us: int
    until_us: int
    reason: str
    actor: str


class EndMaintenance(NamedTuple):
    """Take back the announced window with `id`, or every one of `target`, before or while it holds."""

    target: Target | None
    id: str | None
    reason: str
    actor: str


Command = AddQuarantine | ReleaseQuarantine | AddMaintenance | EndMaintenance
