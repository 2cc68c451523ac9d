"""Detectors that are written in plain Python: how they are called, and what is told of one that fails.

They are somebody else's code. Whatever they do, a market's score becomes unknown at worst, and the fault is kept to be shown.
"""

from __future__ import annotations

from collections import namedtuple
from math import isnan, nan
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.detection.detector import PlainDetector

__all__ = ["DetectorFault", "PlainCall"]

_TEXT_MAX = 200


class DetectorFault(NamedTuple):
    """What is wrong with a detector: its name, the newest fault in words, how often it failed and how often it was called."""

    detector: str
    text: str
    times: int
    calls: int


class PlainCall:
    """One plain detector with its parameters, as a function of its features' values.

    Parameters
    ----------
    detector
        What has ``score``.
    features
        The names of its features, in the order of the values.

    Raises
    ------
    ValueError
        Where a name of a feature is no name in Python.

    Notes
    -----
    An unknown feature is NaN. Unless the detector declares `takes_unknown`, one makes the score unknown without a call. A score
    outside of [0, 1], or an exception, is a fault and the score unknown; None and NaN are unknown and no fault. `calls` counts
    calls, `faults` those that failed, `faults_in_row` the most of them that followed each other. `nanoseconds` sums what calls
    took and `slowest` is the longest of them, where `clock`, which returns nanoseconds, is set. With `is_off` nothing is called
    any more and the score is unknown. `kind` is the detector's class.
    """

    __slots__ = (
        "_failing",
        "_features",
        "_score",
        "_takes_unknown",
        "calls",
        "clock",
        "fault",
        "faults",
        "faults_in_row",
        "is_off",
        "kind",
        "name",
        "nanoseconds",
        "slowest",
    )

    def __init__(self, detector: PlainDetector, features: Sequence[str]) -> None:
        self.name = detector.name
        self.kind = type(detector)
        self.calls = 0
        self.nanoseconds = 0
        self.slowest = 0
        self.clock: Callable[[], int] | None = None
        self.faults = 0
        self.faults_in_row = 0
        self.fault = ""
        self._failing = 0
        self.is_off = False
        self._features: Callable[..., Any] = namedtuple("Features", features)  # type: ignore[misc]  # noqa: PYI024 - made of names that a class declares
        self._score = detector.score
        self._takes_unknown = bool(getattr(detector, "takes_unknown", False))

    def __call__(self, *values: float) -> float:
        """Return the score of some values; NaN is unknown."""
        if self.is_off or (not self._takes_unknown and any(map(isnan, values))):
            return nan
        self.calls += 1
        begun = self.clock() if self.clock is not None else 0
        try:
            found = self._score(self._features(*values))
            score = nan if found is None else float(found)
        except Exception as error:  # noqa: BLE001 - somebody's detector may fail in any way; it is told and shown
            return self._failed(f"{type(error).__name__}: {error}")
        finally:
            if self.clock is not None:
                took = self.clock() - begun
                self.nanoseconds += took
                self.slowest = max(self.slowest, took)
        if score < 0.0 or score > 1.0:
            return self._failed(f"its score must lie in [0, 1], found {score!r}")
        self._failing = 0
        return score

    def of(self, values: Sequence[float]) -> float:
        """Return the score of some values, given as one sequence."""
        return self(*values)

    def _failed(self, text: str) -> float:
        self.faults += 1
        self._failing += 1
        self.faults_in_row = max(self.faults_in_row, self._failing)
        self.fault = text[:_TEXT_MAX]
        return nan

    def told(self) -> DetectorFault | None:
        """Return what is wrong, None where nothing is."""
        return DetectorFault(self.name, self.fault, self.faults, self.calls) if self.faults else None
