"""Wash-trading-like prints: the same sizes go back and forth and the price stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from guard.detection.detector import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WashTrading"]


class WashTradingParameters(BaseModel):
    """See `WashTrading`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: float = Field(default=0.1, gt=0.0, le=1.0)
    sizes: float = Field(default=0.3, gt=0.0, le=1.0)
    inside: float = Field(default=0.5, gt=0.0, le=1.0)
    trades: float = Field(default=100.0, ge=30.0, le=500.0)


class WashTrading:
    """Score how much the last trades look like somebody trading with himself; public data carries no accounts, so it is a likeness.

    Over the last 500 trades (at most 24 h) and over 60 s it takes the highest of three traces. *Pairs*: trades with the size of
    the one before, on the opposite side, within 2 s, from a fifth of `pairs` (0) to `pairs` (1). *Sizes*: the share of the most
    frequent size, from half of `sizes` to `sizes`, as far as sides alternate more than chance. *Inside*: the share of 60 s of
    volume printed strictly between bid and ask of a book at most 100 ms old, from half of `inside` to `inside`: one hand on both
    sides needs no resting order. Inside counts only where the book is known.

    Parameters
    ----------
    pairs
        Share of equal, opposite, neighbouring trades that scores 1. Ratio, in (0, 1].
    sizes
        Share of one size that scores 1. Ratio, in (0, 1].
    inside
        Share of volume inside the spread that scores 1. Ratio, in (0, 1].
    trades
        Below this many kept trades the score is cut in proportion. 30 to 500.

    Notes
    -----
    Silent until trades come with sides. Benford's law is left out: real market makers break it too. A wash of single prints at
    resampled times and sizes leaves only the inside trace, and none at all where the exchange prints such trades at the touch.

    Source: Cong et al. 2023 on wash volume; thresholds measured in docs/detectors/wash_trading.md.

    Examples
    --------
    >>> WashTradingParameters().pairs
    0.1
    """

    name: ClassVar[str] = "wash_trading"
    title: ClassVar[str] = "Wash-trading-like prints"
    family: ClassVar[Family] = Family.PATTERN
    is_hard: ClassVar[bool] = False
    Parameters: type[BaseModel] = WashTradingParameters
    let: ClassVar[Mapping[str, str]] = {
        "pair_trace": "ramp(prints_pairs(), 0.2 * pairs, pairs)",
        "size_trace": "ramp(prints_top_size(), 0.5 * sizes, sizes) * ramp(prints_alternation(), 50%, 70%)",
        "inside_share": "inside_volume(60s) / volume(60s)",
        "inside_trace": "ramp(inside_share, 0.5 * inside, inside) * ramp(trades(60s), 10, 30)",
        "enough": "clamp(prints_count() / trades, 0, 1)",
        "flow_per_path": "prints_turnover() / prints_path()",
    }
    score: ClassVar[str] = "enough * max(max(pair_trace, size_trace), default(inside_trace, 0))"
    evidence: ClassVar[tuple[str, ...]] = (
        "prints_pairs()",
        "prints_top_size()",
        "prints_alternation()",
        "prints_entropy()",
        "inside_share",
        "flow_per_path",
        "prints_count()",
    )
