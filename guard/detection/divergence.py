"""Divergence: one exchange is away from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from guard.detection.detector import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Divergence"]


class DivergenceParameters(BaseModel):
    """See `Divergence`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distance: float = Field(default=0.008, gt=0.0, le=1.0)


class Divergence:
    """Score how far the mid is from the median mid of the same symbol over at least 3 exchanges.

    From half of `distance` (0) to `distance` (1), on either side. Books older than 2 s take no part.

    Parameters
    ----------
    distance
        Distance that scores 1. Ratio, in (0, 1].

    Notes
    -----
    Unknown below three exchanges with a fresh book. A *hard* detector: two other exchanges bear it out, so it may block alone.

    Source: the law of one price; the median of at least three, so that one exchange alone cannot name another one wrong.

    Examples
    --------
    >>> DivergenceParameters().distance
    0.008
    """

    name: ClassVar[str] = "divergence"
    title: ClassVar[str] = "Away from the other exchanges"
    family: ClassVar[Family] = Family.PRICE
    is_hard: ClassVar[bool] = True
    Parameters: type[BaseModel] = DivergenceParameters
    let: ClassVar[Mapping[str, str]] = {
        "away": "abs(divergence(2s))",
    }
    score: ClassVar[str] = "ramp(away, 0.5 * distance, distance)"
    evidence: ClassVar[tuple[str, ...]] = ("divergence(2s)", "mid()", "spread()", "age(of=book)")
