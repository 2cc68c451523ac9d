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
    """Score how far the mid is from those of most other exchanges that have the symbol, all on one side.

    From half of `distance` (0) to `distance` (1), on either side. A book older than 2 s bears nobody out.

    Parameters
    ----------
    distance
        Distance that scores 1. Ratio, in (0, 1].

    Notes
    -----
    Unknown unless more than half of the other exchanges, at least two, have a fresh book. A *hard* detector: two other exchanges
    bear it out, so it may block alone. An exchange that falls silent raises no score elsewhere: it still counts among the others.

    Source: the law of one price; at least two others, so that one exchange alone cannot name another one wrong.

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
