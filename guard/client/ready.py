"""Finished answers, and what they were built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.client.answer import Answer
    from guard.client.bypass import Bypass
    from guard.client.snapshot import Sight

__all__ = ["Key", "Ready"]

Key = tuple[str, str, str | None, str | None]
"""Exchange, symbol, side and intent of a question."""


class Ready:
    """The answers of one generation, under one bypass: replaced as a whole, so that none outlives what it was built from."""

    __slots__ = ("answers", "bypass", "bytes_min", "descriptor", "generation", "is_foreign", "lease_ns", "mapping", "says")

    def __init__(self, sight: Sight, bypass: Bypass | None) -> None:
        self.mapping = sight.mapping
        self.descriptor = -1 if sight.mapping is None else sight.mapping.descriptor
        self.bytes_min = 0 if sight.mapping is None else sight.mapping.bytes_min
        self.generation = sight.generation
        self.says = () if sight.snapshot is None or sight.mapping is None else sight.snapshot.says
        # Where clocks cannot be compared, only the follower can tell whether guard lives.
        self.lease_ns = sight.lease_ns if sight.is_fresh and not sight.is_foreign else -1
        self.is_foreign = sight.is_foreign
        self.bypass = bypass
        self.answers: dict[Key, Answer] = {}

    def fits(self, other: Ready) -> bool:
        """Whether answers of the other are answers of this one."""
        return (
            self.mapping is other.mapping
            and (self.generation == other.generation or (bool(self.says) and self.says == other.says))
            and self.lease_ns == other.lease_ns
            and self.is_foreign == other.is_foreign
            and self.bypass == other.bypass
        )
