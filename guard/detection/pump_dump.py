"""Pump & dump: many hands sweep the asks of a market that is usually quiet."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from guard.detection.detector import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PumpDump"]


class PumpDumpParameters(BaseModel):
    """See `PumpDump`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rise: float = Field(default=0.03, gt=0.0, le=1.0)
    surge: float = Field(default=2.5, gt=0.0)
    sweep: float = Field(default=5.0, gt=0.0)
    levels: float = Field(default=5.0, gt=0.0)
    hands: float = Field(default=12.0, gt=0.0)


class PumpDump:
    """Score how much a market looks like it is being pumped; public data cannot tell who does it.

    Two paths, and the higher one counts. The *rush path* holds on one of three scales (10 s, 60 s, 5 min) and is the least of
    four ratios, each of which must be there: the price above its average of 600 s (net of beta to the reference market) over
    `rise`; what takers bought over `surge` times what such a stretch seldom sees; price levels swept by buyers over `sweep` times
    what such a stretch seldom sees, at least `levels`; seconds with such sweeps over `hands`. The last one tells many hands from
    one whale, who sweeps as many levels in two or three seconds. The *slow path* asks for a return of 5 % in 60 s, 6 % in 5 min
    or 8 % in 30 min with unusual buying; it is right far less often and is cut off at 0.75, below danger.

    Parameters
    ----------
    rise
        Log distance from the average price that scores 1. Ratio, > 0.
    surge
        Bought value that scores 1, in multiples of the market's own high quantile (`high_buys`). > 0.
    sweep
        Swept levels that score 1 in 60 s, in multiples of the own high quantile (`high_rush`); on 10 s and 5 min twice that.
    levels
        The own high quantile counts as at least this many levels. > 0.
    hands
        Seconds with sweeps that score 1 in 60 s; .75 of them in 10 s, twice as many in 5 min. > 0.

    Notes
    -----
    A move below three price steps scores in proportion. Unknown until 10 s are covered, 30 non-empty and 80 bins in all have
    been seen (live or in history) and the average price is 10 min old; scales that are not yet covered stand aside. Needs the
    taker's side. Without a book nothing is missing. Clock features (two thirds of announced pumps start at :00 or :30) are not
    used: they are learnt from labels and would miss the others.

    Source: La Morgia et al. 2020 (rush orders), Kamps and Kleinberg 2018; measured in docs/detectors/pump_dump.md.

    Examples
    --------
    >>> PumpDumpParameters().rise
    0.03
    """

    name: ClassVar[str] = "pump_dump"
    title: ClassVar[str] = "Pump & dump"
    family: ClassVar[Family] = Family.PATTERN
    is_hard: ClassVar[bool] = False
    Parameters: type[BaseModel] = PumpDumpParameters
    let: ClassVar[Mapping[str, str]] = {
        "gain": "min(residual_gap() / rise, (price() - ewma_price()) / (3 * tick()))",
        "sweep_10s": "rush(10s) / (2 * sweep * max(levels, high_rush(10s)))",
        "sweep_60s": "rush(60s) / (sweep * max(levels, high_rush(60s)))",
        "sweep_5m": "rush(5m) / (2 * sweep * max(levels, high_rush(5m)))",
        "fast": "min(min(buy_surge(10s) / surge, sweep_10s), rush_seconds(10s) / (0.75 * hands))",
        "medium": "min(min(buy_surge(60s) / surge, sweep_60s), rush_seconds(60s) / hands)",
        "long": "min(min(buy_surge(5m) / surge, sweep_5m), rush_seconds(5m) / (2 * hands))",
        "rush_path": "clamp(min(gain, max(fast, max(default(medium, 0), default(long, 0)))), 0, 1)",
        "slow_60s": "min(residual_ret(60s) / 5%, buy_surge(60s))",
        "slow_5m": "min(residual_ret(5m) / 6%, buy_surge(5m))",
        "slow_30m": "min(residual_ret(30m) / 8%, buy_surge(30m))",
        "slow_path": "clamp(max(default(slow_60s, 0), max(default(slow_5m, 0), default(slow_30m, 0))), 0, 0.75)",
        "volume": "max(buy_surge(10s), max(default(buy_surge(60s), 0), default(buy_surge(5m), 0)))",
        "fallen": "(high(30m) - price()) / (high(30m) - low(30m))",
    }
    score: ClassVar[str] = "max(rush_path, slow_path)"
    evidence: ClassVar[tuple[str, ...]] = (
        "residual_gap()",
        "ret(60s)",
        "rush(60s)",
        "rush_seconds(60s)",
        "buy_surge(60s)",
        "trades(60s)",
        "fallen",
    )
