"""Spoofing-like depth: volume near the price that vanishes untouched, then the price goes the other way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from guard.detection.detector import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Spoofing"]


class SpoofingParameters(BaseModel):
    """See `Spoofing`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    removed: float = Field(default=3.0, gt=0.0)
    reversal: float = Field(default=0.0005, gt=0.0, le=1.0)


class Spoofing:
    """Score volume that was added near the mid and removed unfilled, as layering and spoofing leave it.

    Per side, what was removed within 5 s (added at most 30 s before, within 25 bp of the mid, less than 5 % of it traded) over
    `removed` times the larger of the depth within 20 bp and what 5 s seldom see. That alone scores up to 0.7; the rest comes with
    the reversal: after bids vanished the mid falls, after asks vanished it rises, by `reversal` within 10 s.

    Parameters
    ----------
    removed
        Removed volume that counts in full, in multiples of the depth or of the own high quantile. > 0.
    reversal
        Move of the mid against the bait that counts in full. Ratio, in (0, 1].

    Notes
    -----
    It comes after the bait has worked: good for quarantine and evidence, too late to prevent. Orders are not visible in level
    data: neither their lifetime nor their owner. Connectors that only deliver whole books never show a removal. Unknown until
    80 stretches of 5 s were seen.

    Source: recall .05, .51, .71 and 1 at injections of .5, 1, 2 and 4 times the depth, 1.2 alerts an hour, one stream.

    Examples
    --------
    >>> SpoofingParameters().removed
    3.0
    """

    name: ClassVar[str] = "spoofing"
    title: ClassVar[str] = "Spoofing-like depth"
    family: ClassVar[Family] = Family.BOOK
    is_hard: ClassVar[bool] = False
    Parameters: type[BaseModel] = SpoofingParameters
    let: ClassVar[Mapping[str, str]] = {
        "bid_bait": "removed_unfilled(5s, side=bid) / (removed * max(depth(20bp, side=bid), high_removed(5s, side=bid)))",
        "ask_bait": "removed_unfilled(5s, side=ask) / (removed * max(depth(20bp, side=ask), high_removed(5s, side=ask)))",
        "bid_turn": "clamp(0 - mid_ret(10s) / reversal, 0, 1)",
        "ask_turn": "clamp(mid_ret(10s) / reversal, 0, 1)",
        "bid_side": "clamp(bid_bait, 0, 1) * (0.7 + 0.3 * bid_turn)",
        "ask_side": "clamp(ask_bait, 0, 1) * (0.7 + 0.3 * ask_turn)",
    }
    score: ClassVar[str] = "max(bid_side, ask_side)"
    evidence: ClassVar[tuple[str, ...]] = (
        "removed_unfilled(5s, side=bid)",
        "removed_unfilled(5s, side=ask)",
        "depth(20bp, side=bid)",
        "depth(20bp, side=ask)",
        "mid_ret(10s)",
        "level_churn(5s)",
    )
