"""What a person may order a running guard to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.quarantine import Block, Target

__all__ = [
    "AddAllow",
    "AddMaintenance",
    "AddQuarantine",
    "ApplyList",
    "Command",
    "EndMaintenance",
    "ExtendQuarantine",
    "ListedTarget",
    "ReleaseQuarantine",
    "RemoveAllow",
]


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


class ExtendQuarantine(NamedTuple):
    """Hold what holds `target`, or the one with `id`, for `for_us` from now at least; calm is not looked at before.

    Only a person may do so, beyond the longest time of a rule too.
    """

    target: Target | None
    id: str | None
    for_us: int
    reason: str
    actor: str


class AddAllow(NamedTuple):
    """Let `rules` (none named: every rule) not hold `target` for `for_us`; what is held already stays until it is released."""

    target: Target
    rules: tuple[str, ...]
    for_us: int
    reason: str
    actor: str


class RemoveAllow(NamedTuple):
    """Take back the allow entry with `id`, or every one of `target`."""

    target: Target | None
    id: str | None
    reason: str
    actor: str


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


class ListedTarget(NamedTuple):
    """One entry of an imported list: what is held, how, and the list's own words for it, if it has any."""

    target: Target
    block: Block
    max_fraction: float = 0.25
    reason: str = ""


class ApplyList(NamedTuple):
    """Hold `entries` of the list `name` until `until_us`, those that it holds already too, and release `gone` without probation."""

    name: str
    entries: tuple[ListedTarget, ...]
    gone: tuple[Target, ...]
    until_us: int
    reason: str
    actor: str


Command = (
    AddQuarantine | ReleaseQuarantine | ExtendQuarantine | AddAllow | RemoveAllow | AddMaintenance | EndMaintenance | ApplyList
)
