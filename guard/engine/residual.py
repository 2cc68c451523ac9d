"""How far a market has moved by itself, and how far with the one that leads its exchange."""

from __future__ import annotations

from math import isfinite, log, sqrt
from struct import unpack_from
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.detection.detector import Family
from guard.features.kernel import slots as s
from guard.features.kernel.trades import EWMA_US, average_price

if TYPE_CHECKING:
    from guard.dsl import Rule
    from guard.engine.engine import Engine

__all__ = ["Stray", "leans_on_price", "stray_of"]

_SIGMAS: Final = 2.0
# Minutes, counted by weight, before a market is said to have a usual residual.
_MINUTES_MIN: Final = 30.0
# As the kernel's beta: a minute return of .1 %, 60 times.
_BETA_PRIOR: Final = 60 * 1e-6
# A random walk strays so many of its minutes' deviations from its average of 10 minutes: sqrt(tau / 2).
_STRAY: Final = sqrt(EWMA_US / 60_000_000 / 2)
_FORMAT: Final = f"<{s.FLOATS}d{s.INTEGERS}q"


class Stray(NamedTuple):
    """Log distances from the average price of 10 minutes, as of the market's last trade, and what is usual.

    `gap` is the market's own, `led` what beta times the leader's explains of it; `sigma` is the usual size of the rest, what beta
    itself may be wrong by included. `leader_gap` and `leader_sigma` are the leader's own.
    """

    gap: float
    led: float
    sigma: float
    leader: str
    leader_gap: float
    leader_sigma: float

    @property
    def residual(self) -> float:
        """What the leader does not explain."""
        return self.gap - self.led

    @property
    def is_explained(self) -> bool:
        """Whether the leader's move is large, and leaves less than 2 sigma, and less than it explains, unexplained."""
        is_large = abs(self.leader_gap) >= _SIGMAS * self.leader_sigma > 0.0
        return is_large and abs(self.residual) < min(_SIGMAS * self.sigma, abs(self.led))


def leans_on_price(rule: Rule) -> bool:
    """Whether a move of the whole market may be all that a rule sees.

    Never where it judges markets together, or uses a hard detector or one of a trade pattern: that evidence is the market's own.
    """
    return rule.quorum is None and not any(used.is_hard or used.family is Family.PATTERN for used in rule.detectors)


def stray_of(engine: Engine, row: int) -> Stray | None:
    """Return how far a market strayed; None where that is unknown, or where nothing leads it."""
    leader = engine.leader_of(row)
    if leader is None or leader == row:
        return None
    (x, i), (y, j) = _slots(engine, row), _slots(engine, leader)
    now_us = max(i[s.AT], j[s.AT])
    # Both prices of one moment: who trades seldom would otherwise lag behind a leader that moves.
    gap, leader_gap = _gap(x[s.PAIR_PRICE], x, i, now_us), _gap(x[s.PAIR_REFERENCE], y, j, now_us)
    weight = x[s.BETA_WEIGHT]
    if gap is None or leader_gap is None or not weight >= _MINUTES_MIN:
        return None
    xy, xx, yy = x[s.BETA_XY], x[s.BETA_XX], x[s.BETA_YY]
    beta = (xy + _BETA_PRIOR) / (xx + _BETA_PRIOR)
    variance = max(0.0, yy - 2.0 * beta * xy + beta * beta * xx) / weight
    of_beta = leader_gap * leader_gap * variance / (xx + _BETA_PRIOR)
    sigma = max(sqrt(_STRAY * _STRAY * variance + of_beta), x[s.TICK] / x[s.PRICE] if x[s.TICK] > 0.0 else 0.0)
    found = Stray(gap, beta * leader_gap, sigma, engine.watched[leader].facts.market.symbol, leader_gap, _STRAY * sqrt(xx / weight))
    return found if all(map(isfinite, (found.gap, found.led, found.sigma, found.leader_sigma))) else None


def _slots(engine: Engine, row: int) -> tuple[list[float], list[int]]:
    numbers = unpack_from(_FORMAT, dict(engine.kernel.sections(row))["slots"])
    return list(numbers[: s.FLOATS]), list(numbers[s.FLOATS :])


def _gap(price: float, x: list[float], i: list[int], now_us: int) -> float | None:
    if i[s.TRADES_SINCE] == s.NEVER or i[s.EWMA_BEGAN] == s.NEVER or now_us - i[s.EWMA_BEGAN] < EWMA_US:
        return None
    usual = average_price(x, i, now_us)
    return log(price / usual) if price > 0.0 and usual > 0.0 else None
