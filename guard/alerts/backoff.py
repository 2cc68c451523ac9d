"""How long a failed delivery and its channel wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guard.model.ports import Random

__all__ = ["Breaker", "backoff_us"]

_FIRST_US = 2_000_000
_LONGEST_US = 300_000_000
_DOUBLINGS_MAX = 8
_OPENS_AFTER = 3


def backoff_us(attempts: int, random: Random) -> int:
    """Return the wait after the `attempts`-th failure: 2 s, doubling to 5 minutes, of which the upper half is chance.

    Examples
    --------
    >>> class Highest:
    ...     def random(self):
    ...         return 1.0
    >>> [backoff_us(attempts, Highest()) // 1_000_000 for attempts in (1, 2, 3, 8, 99)]
    [2, 4, 8, 256, 300]
    """
    whole = min(_LONGEST_US, _FIRST_US << min(attempts - 1, _DOUBLINGS_MAX))
    return int(whole * (0.5 + 0.5 * random.random()))


class Breaker(NamedTuple):
    """One channel's circuit: after 3 failures in a row it opens, and lets one try through each time `open_until_us` has passed."""

    failures: int = 0
    open_until_us: int = 0

    @property
    def is_failing(self) -> bool:
        """Whether the channel is taken for dead until a try succeeds."""
        return self.failures >= _OPENS_AFTER

    def failed(self, *, now_us: int, retry_after_us: int, random: Random) -> Breaker:
        """Return the circuit after a failure. What the other side asked for holds from the first failure on."""
        failures = self.failures + 1
        pause_us = backoff_us(failures, random) if failures >= _OPENS_AFTER else 0
        return Breaker(failures, now_us + max(pause_us, retry_after_us))
