"""Risk: how factors become one score, and a score a level."""

from __future__ import annotations

from functools import reduce
from math import isnan, nan
from operator import add, itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.model import Contribution, Level, RiskScore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["DEFAULT_FACTORS", "SECOND_FAMILY_MIN", "RiskClassifier", "RiskFactor", "with_best"]

SECOND_FAMILY_MIN: Final = 0.5
"""How high a factor of another family must be to lift the cap of soft detectors."""


class RiskFactor(NamedTuple):
    """One factor: its name, its weight > 0, and whether the score can do without it."""

    name: str
    weight: float
    is_optional: bool = False


DEFAULT_FACTORS = (
    RiskFactor("price_volatility", 0.3),
    RiskFactor("volume_anomaly", 0.3),
    RiskFactor("order_book", 0.2),
    RiskFactor("trade_pattern", 0.2),
)


class RiskClassifier:
    """Weigh factors into a score in [0, 1] and put the score on a level.

    Parameters
    ----------
    factors
        In the order in which they are shown. At least one is required (not optional), else ValueError.
    warning, danger, critical
        From which score on a level holds; 0 < warning <= danger <= critical <= 1.

    Notes
    -----
    The score is the weighted mean over the required factors, or, where it is higher, the highest weighted mean over the
    required and some of the optional factors. With one optional factor that is max(mean(required), mean(required + optional)).
    With several, the mean over all known ones could rise when a low one disappears; the best choice among them cannot, so
    removing information never raises a level and adding some never lowers it.

    A required factor that is unknown makes the score unknown. An absent factor (its stream is not subscribed) leaves the mean
    as if it had never been declared; where no required factor is left the score is unknown.

    Examples
    --------
    >>> risk = RiskClassifier().score([1.0, 1.0, 0.5, None])
    >>> risk.score is None
    True
    >>> risk = RiskClassifier().score([1.0, 1.0, 0.5, 0.5])
    >>> round(risk.score, 3), [round(part.share, 3) for part in risk.contributions]
    (0.8, [0.3, 0.3, 0.1, 0.1])
    """

    def __init__(
        self,
        factors: Sequence[RiskFactor] = DEFAULT_FACTORS,
        *,
        warning: float = 0.6,
        danger: float = 0.8,
        critical: float = 0.9,
    ) -> None:
        if all(factor.is_optional for factor in factors):
            raise ValueError("at least one factor must be required")
        if not all(0.0 < factor.weight < float("inf") for factor in factors):
            raise ValueError(f"weights must be finite and > 0, found {[factor.weight for factor in factors]}")
        if not 0.0 < warning <= danger <= critical <= 1.0:
            raise ValueError(f"levels must rise within (0, 1], found {warning}, {danger}, {critical}")
        self.factors = tuple(factors)
        self._thresholds = ((critical, Level.CRITICAL), (danger, Level.DANGER), (warning, Level.WARNING))

    @property
    def threshold(self) -> float:
        """The score from which the first level holds."""
        return self._thresholds[-1][0]

    @property
    def thresholds(self) -> tuple[float, float, float]:
        """The scores from which warning, danger and critical hold."""
        critical, danger, warning = (threshold for threshold, _ in self._thresholds)
        return warning, danger, critical

    def level(self, score: float | None) -> Level:
        """Return the level of a score; an unknown score has none of its own and gives normal."""
        if score is None or isnan(score):
            return Level.NORMAL
        for threshold, level in self._thresholds:
            if score >= threshold:
                return level
        return Level.NORMAL

    def score(self, values: Sequence[float | None], absent: Sequence[bool] = ()) -> RiskScore:
        """Return the score and what each factor adds to it.

        Parameters
        ----------
        values
            One for each factor; None and NaN are unknown, what lies outside [0, 1] is cut off.
        absent
            Which factors are absent; empty means none.
        """
        cut = [nan if value is None or isnan(value) else min(max(value, 0.0), 1.0) for value in values]
        is_absent = tuple(absent) or (False,) * len(self.factors)
        required = [at for at, factor in enumerate(self.factors) if not factor.is_optional and not is_absent[at]]
        optional = [at for at, factor in enumerate(self.factors) if factor.is_optional and not is_absent[at] and not isnan(cut[at])]
        chosen = self._chosen(cut, required, optional)
        if chosen is None:
            return RiskScore(None, tuple(self._contribution(at, cut, 0.0, is_absent) for at in range(len(self.factors))))
        total = added(self.factors[at].weight for at in chosen)
        score = min(added(self.factors[at].weight * cut[at] for at in chosen) / total, 1.0)
        return RiskScore(
            score, tuple(self._contribution(at, cut, total if at in chosen else 0.0, is_absent) for at in range(len(cut)))
        )

    def _chosen(self, cut: Sequence[float], required: Sequence[int], optional: Sequence[int]) -> list[int] | None:
        if not required or any(isnan(cut[at]) for at in required):
            return None
        total = added(self.factors[at].weight * cut[at] for at in required)
        weight = added(self.factors[at].weight for at in required)
        chosen = list(required)
        for at in sorted(optional, key=lambda at: -cut[at]):
            more, heavier = total + self.factors[at].weight * cut[at], weight + self.factors[at].weight
            if more / heavier <= total / weight:
                break
            total, weight = more, heavier
            chosen.append(at)
        return chosen

    def _contribution(self, at: int, cut: Sequence[float], total: float, absent: Sequence[bool]) -> Contribution:
        factor, value = self.factors[at], cut[at]
        if absent[at]:
            return Contribution(factor.name, factor.weight, None, 0.0, "absent")
        if isnan(value):
            return Contribution(factor.name, factor.weight, None, 0.0, "unknown")
        return Contribution(factor.name, factor.weight, value, factor.weight * value / total if total else 0.0, "known")


def added(parts: Iterable[float]) -> float:
    """Return the sum from left to right; `sum` rounds in another way from Python 3.12 on, and verdicts would follow.

    Examples
    --------
    >>> added([0.1] * 3)
    0.30000000000000004
    """
    return reduce(add, parts, 0.0)


def with_best(total: float, weight: float, optional: Iterable[tuple[float, float]]) -> float:
    """Return the highest mean that optional factors (weight, value) can make of a weighted sum; the compiled rules call it.

    Examples
    --------
    >>> with_best(0.25, 0.5, [(0.5, 0.0), (0.5, 1.0), (1.0, float("nan"))])
    0.75
    """
    if isnan(total):
        return nan
    mean = total / weight
    known = (part for part in optional if not isnan(part[1]))
    for more, value in sorted(known, key=itemgetter(1), reverse=True):
        total, weight = total + more * value, weight + more
        if total / weight <= mean:
            break
        mean = total / weight
    return min(mean, 1.0)
