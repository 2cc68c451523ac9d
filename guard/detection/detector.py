"""What a detector is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

__all__ = ["Detector", "Family"]


class Family(StrEnum):
    """The kind of evidence a detector or factor rests on; a soft detector needs a second family to block."""

    PRICE = "price"
    VOLUME = "volume"
    BOOK = "book"
    PATTERN = "pattern"


class Detector(Protocol):
    """A class whose docstring is its specification and whose `score` is one formula in [0, 1].

    `Parameters` is a frozen pydantic model; its fields are names in the formulas (durations as ``timedelta``-like text with a
    unit, ``10s``). `let` names formulas, usable in later ones, in `score` and in rules as ``alias.name``; `evidence` are
    formulas shown with the finding. A `is_hard` detector may block alone.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family]
    is_hard: ClassVar[bool]
    Parameters: type[BaseModel]
    let: ClassVar[Mapping[str, str]]
    score: ClassVar[str]
    evidence: ClassVar[tuple[str, ...]]
