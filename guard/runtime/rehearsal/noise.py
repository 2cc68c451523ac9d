"""A small seeded generator: the same script gives the same market on every machine and Python."""

from __future__ import annotations

from hashlib import blake2b
from math import cos, exp, log, pi, sqrt

__all__ = ["Noise"]

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


class Noise:
    """Chance that a seed and a name fix (splitmix64).

    Parameters
    ----------
    seed
        Any whole number.
    name
        What the chance is for; two names under one seed are independent.

    Examples
    --------
    >>> Noise(1, "trades").random() == Noise(1, "trades").random()
    True
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int, name: str) -> None:
        self._state = int.from_bytes(blake2b(f"{seed}|{name}".encode(), digest_size=8).digest(), "big")

    def random(self) -> float:
        """Return a number in [0, 1), evenly spread."""
        self._state = (self._state + _STEP) & _MASK
        word = self._state
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((word ^ (word >> 31)) >> 11) / (1 << 53)

    def wait_us(self, mean_us: float) -> int:
        """Return a time, >= 1 microsecond, until the next of events that come independently at that mean distance."""
        return max(1, round(-log(1.0 - self.random()) * mean_us))

    def bell(self) -> float:
        """Return a number of the normal distribution with mean 0 and deviation 1."""
        return sqrt(-2.0 * log(1.0 - self.random())) * cos(2.0 * pi * self.random())

    def spread_out(self, deviation: float) -> float:
        """Return a factor with mean 1, log-normal."""
        return exp(deviation * self.bell() - 0.5 * deviation * deviation)
