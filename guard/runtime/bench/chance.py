"""Seeded columns of chance: the same on every machine and with every version of numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Chance"]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Chance:
    """Independent columns of random numbers; each call gives a new one.

    Parameters
    ----------
    seed
        The same seed and order of calls give the same columns. >= 0.

    Notes
    -----
    splitmix64 over a counter (Steele, Lea, Flood 2014): good enough for a workload, useless for secrets.

    Examples
    --------
    >>> bool((Chance(7).uniform(3) == Chance(7).uniform(3)).all())
    True
    """

    def __init__(self, seed: int) -> None:
        self._at = np.uint64(seed) << np.uint64(44)

    def uniform(self, count: int) -> NDArray[np.float64]:
        """Return numbers in [0, 1)."""
        with np.errstate(over="ignore"):
            counter = (self._at + np.arange(1, count + 1, dtype=np.uint64)) * _STEP
            self._at += np.uint64(count)
            mixed = (counter ^ (counter >> np.uint64(30))) * _MIX[0]
            mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
        return ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53

    def exponential(self, count: int) -> NDArray[np.float64]:
        """Return exponential numbers of mean 1."""
        return -np.log1p(-self.uniform(count))

    def normal(self, count: int) -> NDArray[np.float64]:
        """Return standard normal numbers."""
        return np.sqrt(2.0 * self.exponential(count)) * np.cos(2.0 * np.pi * self.uniform(count))

    def pick(self, weights: NDArray[np.floating[Any]], count: int) -> NDArray[np.int64]:
        """Return places of `weights`, each as often as its weight says."""
        edges = np.cumsum(weights)
        return np.minimum(np.searchsorted(edges / edges[-1], self.uniform(count), side="right"), len(weights) - 1)
