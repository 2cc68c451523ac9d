"""What a detector is."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

__all__ = ["Detector", "Family", "PlainDetector"]


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


class PlainDetector(Protocol):
    """A detector whose `score` is plain Python: slower than a formula, and free in what it does.

    The class is called with its `Parameters`. `features` names expressions of the language, usable in later ones, in `evidence`
    and in rules as ``alias.name``; `score` gets their values as a named tuple of floats, NaN where unknown, and returns a number
    in [0, 1], or None where it cannot tell. It must be a function of these values alone: the same score for the same values, on
    every machine. It is not called while a feature is unknown, unless the class says ``takes_unknown = True``; then less
    information must never make a higher score. A score outside of [0, 1] and an exception make the score unknown, and people are
    told.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[Family]
    is_hard: ClassVar[bool]
    Parameters: type[BaseModel]
    features: ClassVar[Mapping[str, str]]
    evidence: ClassVar[tuple[str, ...]]

    def __init__(self, parameters: BaseModel) -> None:
        """Take the parameters of one use."""

    def score(self, features: Any) -> float | None:  # noqa: ANN401 - a named tuple of floats
        """Return how much it looks like what the detector looks for."""
