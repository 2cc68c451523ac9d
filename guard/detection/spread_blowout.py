"""Spread blow-out: the market maker has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from guard.detection.detector import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SpreadBlowout"]


class SpreadBlowoutParameters(BaseModel):
    """See `SpreadBlowout`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ratio: float = Field(default=5.0, gt=1.0)


class SpreadBlowout:
    """Score how far the quoted spread has left its usual width.

    From the median of the last day (0) to `ratio` times it (1), and no more than the spread's share of what the market seldom
    exceeds: a coin whose spread jumps ten times an hour is not alarming when it jumps again.

    Parameters
    ----------
    ratio
        Spread that scores 1, as a multiple of its own median. > 1.

    Notes
    -----
    Samples are taken each second. Unknown below 80 of them, while the book is crossed, and after a gap until the next snapshot.

    Source: a multiple of the market's own median and its 99.9 % quantile, which a thin coin's usual spread does not reach.

    Examples
    --------
    >>> SpreadBlowoutParameters().ratio
    5.0
    """

    name: ClassVar[str] = "spread_blowout"
    title: ClassVar[str] = "Spread blow-out"
    family: ClassVar[Family] = Family.BOOK
    is_hard: ClassVar[bool] = False
    Parameters: type[BaseModel] = SpreadBlowoutParameters
    let: ClassVar[Mapping[str, str]] = {
        "widened": "ramp(spread_ratio(), 1x, ratio)",
        "unusual": "ramp(spread() / spread_high(), 50%, 100%)",
    }
    score: ClassVar[str] = "min(widened, unusual)"
    evidence: ClassVar[tuple[str, ...]] = ("spread()", "spread_median()", "spread_high()", "depth(50bp)", "age(of=book)")
