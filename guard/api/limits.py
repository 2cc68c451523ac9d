"""How often one client may ask, and how often it may be wrong."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Failures", "Rates"]

_IDENTITIES_MAX: Final = 1024
_MINUTE_US: Final = 60_000_000


class Rates:
    """A token bucket for each identity: so many requests a second, as many at once; at most 1,024 identities are remembered.

    Parameters
    ----------
    per_s
        Requests a second, > 0.
    monotonic_us
        The clock.

    Examples
    --------
    >>> rates = Rates(2, monotonic_us=lambda: 0)
    >>> [rates.permits("bot") for _ in range(3)]
    [True, True, False]
    """

    def __init__(self, per_s: int, *, monotonic_us: Callable[[], int]) -> None:
        self._per_s = per_s
        self._monotonic_us = monotonic_us
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def permits(self, identity: str) -> bool:
        """Whether `identity` may ask once more now."""
        now_us = self._monotonic_us()
        left, at_us = self._buckets.pop(identity, (float(self._per_s), now_us))
        left = min(float(self._per_s), left + (now_us - at_us) * self._per_s / 1e6)
        is_permitted = left >= 1.0
        self._buckets[identity] = (left - 1.0 if is_permitted else left, now_us)
        if len(self._buckets) > _IDENTITIES_MAX:
            self._buckets.popitem(last=False)
        return is_permitted


class Failures:
    """Counts wrong tokens of each address: beyond `most` a minute they are not even looked up any more.

    A right token from the same address goes on to work: whoever shares an address with a bot must not be able to lock it out.

    Examples
    --------
    >>> failures = Failures(1, monotonic_us=lambda: 0)
    >>> failures.count("::1"), failures.count("::1")
    (True, False)
    """

    def __init__(self, most: int, *, monotonic_us: Callable[[], int]) -> None:
        self._most = most
        self._monotonic_us = monotonic_us
        self._times: OrderedDict[str, deque[int]] = OrderedDict()
        self.total = 0

    def count(self, address: str) -> bool:
        """Count a failure of `address` and return whether it is still within its limit."""
        now_us = self._monotonic_us()
        times = self._times.pop(address, None) or deque(maxlen=self._most + 1)
        while times and now_us - times[0] >= _MINUTE_US:
            times.popleft()
        times.append(now_us)
        self._times[address] = times
        if len(self._times) > _IDENTITIES_MAX:
            self._times.popitem(last=False)
        self.total += 1
        return len(times) <= self._most
