"""How much of an exchange's REST budget guard may use, and for what first. No clock, no network: times are given."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guard_ccxt.rest.quota import Quota

__all__ = ["Budget", "Priority"]

MINUTE_US = 60_000_000
_DAY_US = 86_400_000_000


class Priority(IntEnum):
    """What a request is for, the most urgent first."""

    SNAPSHOT = 0  # what streams need: markets, tokens, whole books
    REPAIR = 1
    GLANCE = 2  # the last minutes of a market that is about to stream
    TICKERS = 3
    HISTORY = 4
    AUDIT = 5  # whether what streams brought is all there was


# How full the share may be for a request to pass, so that what is less urgent leaves room for a reconnect.
_CEILINGS = {
    Priority.SNAPSHOT: 1.0,
    Priority.REPAIR: 0.9,
    Priority.GLANCE: 0.9,
    Priority.TICKERS: 0.75,
    Priority.HISTORY: 0.5,
    Priority.AUDIT: 0.3,
}
_STARVED_US = MINUTE_US
_SLACK = 1e-6
_RESERVED_MAX = 0.8


class _Waiting(NamedTuple):
    number: int
    weight: float
    since_us: int
    rank: float = 0.0


class _Window:
    """Weight that counts now: of requests under way, and of those that ended less than `span_us` ago."""

    def __init__(self, span_us: int, most: float) -> None:
        self.most = most
        self.used = 0.0
        self._span_us = span_us
        self._ended: deque[tuple[int, float]] = deque()

    def end(self, weight: float, now_us: int) -> None:
        self._ended.append((now_us, weight))

    def forget(self, now_us: int) -> None:
        while self._ended and self._ended[0][0] <= now_us - self._span_us:
            self.used -= self._ended.popleft()[1]
        if not self._ended and abs(self.used) < 1e-6:  # noqa: PLR2004  # what adding and taking leaves of a float
            self.used = 0.0

    def frees(self, until_us: int) -> float:
        """Return how much stops to count until then."""
        return sum(weight for ended_us, weight in self._ended if ended_us <= until_us - self._span_us)

    @property
    def frees_us(self) -> int | None:
        return self._ended[0][0] + self._span_us if self._ended else None


class Budget:
    """Guard's share of one exchange's REST budget.

    Parameters
    ----------
    limit
        What the exchange allows one address.
    share
        The part of it that guard may use, in (0, 1].
    concurrent
        Requests under way at once beside snapshots, > 0.

    Notes
    -----
    A request counts from when it may go until a window after its end, so that whatever the exchange's clock says, no more than
    the share falls into any minute, nor, where the exchange counts in shorter windows, into one of those. (One request that alone
    weighs more than the share of such a shorter window passes when nothing else is in it.)

    Within a priority the higher rank goes first, then who came first. What is reserved is left to snapshots.
    Repairs and glances may fill nine tenths of the share, tickers
    three quarters, history half, audits three tenths.
    Who waited a minute while nothing of its priority passed goes next, before all others.

    Examples
    --------
    >>> from guard_ccxt.rest.quota import Quota
    >>> budget = Budget(Quota(100.0, 60.0), share=0.2)
    >>> first, second = budget.ask(Priority.SNAPSHOT, 15.0, 0), budget.ask(Priority.SNAPSHOT, 15.0, 0)
    >>> list(budget.grant(0)), list(budget.grant(1))
    ([0], [])
    >>> budget.end(first, 1000)
    >>> list(budget.grant(60_000_999)), list(budget.grant(60_001_000))
    ([], [1])
    """

    def __init__(self, limit: Quota, *, share: float, concurrent: int = 4) -> None:
        self.limit = limit
        self.share = share
        minute = _Window(MINUTE_US, share * limit.per_minute)
        window_us = int(limit.window_s * 1e6)
        self._minute = minute
        self._short = _Window(window_us, share * limit.weight) if window_us < MINUTE_US else None
        # Snapshots are counted by who asks for them; the rest leave one another a place.
        self._places = {
            Priority.SNAPSHOT: 1 << 30,
            Priority.REPAIR: concurrent,
            Priority.GLANCE: concurrent,
            Priority.TICKERS: max(1, concurrent - 1),
            Priority.HISTORY: max(1, concurrent - 2),
            Priority.AUDIT: 1,
        }
        self._waiting: dict[Priority, deque[_Waiting]] = {priority: deque() for priority in Priority}
        self._under_way: dict[int, tuple[Priority, float]] = {}
        self._passed_us = dict.fromkeys(Priority, -_DAY_US)
        self._numbers = count()
        self.requests = dict.fromkeys(Priority, 0)
        self.weight = 0.0
        self._reserved = 0.0

    def narrow(self, share: float) -> None:
        """Use no more than `share` from now on."""
        if share < self.share:
            for window in self._windows():
                window.most *= share / self.share
            self.share = share

    @property
    def most(self) -> float:
        """The weight that guard may use in a minute."""
        return self._minute.most

    def used(self, now_us: int) -> float:
        """Return the weight that counts now."""
        self._minute.forget(now_us)
        return self._minute.used

    def waiting(self, priority: Priority | None = None) -> int:
        """Return how many requests wait, of one priority or of all."""
        return sum(len(queue) for kind, queue in self._waiting.items() if priority in (None, kind))

    def under_way(self) -> int:
        """Return how many requests were let go and have not ended."""
        return len(self._under_way)

    def ask(self, priority: Priority, weight: float, now_us: int, *, rank: float = 0.0) -> int:
        """Queue a request, before those of lower `rank`, and return its number.

        Raises ValueError where it weighs more than the share of a minute.
        """
        if weight > self.most:
            raise ValueError(f"the request weighs {weight:g}, guard's share of a minute is {self.most:g}")
        number = next(self._numbers)
        queue = self._waiting[priority]
        place = next((at for at, one in enumerate(queue) if one.rank < rank), len(queue))
        queue.insert(place, _Waiting(number, weight, now_us, rank))
        return number

    def hopeless(self, priority: Priority, now_us: int, *, within_us: int) -> list[int]:
        """Return the numbers of those waiting that cannot go within so long after they were asked, as things stand."""
        found, ahead = [], 0.0
        for one in self._waiting[priority]:
            until_us = one.since_us + within_us
            for window in self._windows():
                window.forget(now_us)
            if until_us >= now_us and all(
                self._has_room(window, ahead + one.weight, priority, until_us) for window in self._windows()
            ):
                ahead += one.weight
            else:
                found.append(one.number)
        return found

    def reserve(self, weight: float) -> None:
        """Leave so much, at most four fifths of the share of any window, to snapshots that are about to be asked."""
        self._reserved = min(weight, *(_RESERVED_MAX * window.most for window in self._windows()))

    def drop(self, number: int) -> None:
        """Forget a request that no longer waits to go; one that may go is not touched."""
        for queue in self._waiting.values():
            found = next((one for one in queue if one.number == number), None)
            if found is not None:
                queue.remove(found)

    def end(self, number: int, now_us: int) -> None:
        """Note that a request ended, well or not."""
        priority_weight = self._under_way.pop(number, None)
        if priority_weight is None:
            return
        for window in self._windows():
            window.end(priority_weight[1], now_us)

    def grant(self, now_us: int, *, most: int = 1 << 30) -> Iterator[int]:
        """Yield the numbers of requests that may go now, at most so many."""
        for window in self._windows():
            window.forget(now_us)
        for _ in range(most):
            priority = self._next(now_us)
            if priority is None:
                return
            one = self._waiting[priority].popleft()
            self._under_way[one.number] = (priority, one.weight)
            for window in self._windows():
                window.used += one.weight
            self._passed_us[priority] = now_us
            self.requests[priority] += 1
            self.weight += one.weight
            yield one.number

    def frees_us(self) -> int | None:
        """Return when weight is free again at the earliest; None where that depends on requests under way."""
        return min((window.frees_us for window in self._windows() if window.frees_us is not None), default=None)

    def _windows(self) -> tuple[_Window, ...]:
        return (self._minute,) if self._short is None else (self._minute, self._short)

    def _next(self, now_us: int) -> Priority | None:
        starved = [priority for priority in Priority if self._is_starved(priority, now_us)]
        if starved:
            priority = min(starved, key=lambda kind: self._waiting[kind][0].since_us)
            return priority if self._fits(self._waiting[priority][0].weight, 1.0, 0.0) else None
        for priority in Priority:
            if not self._waiting[priority] or not self._has_place(priority):
                continue
            # What is less urgent does not slip into room that a heavier request waits for.
            reserved = 0.0 if priority is Priority.SNAPSHOT else self._reserved
            return priority if self._fits(self._waiting[priority][0].weight, _CEILINGS[priority], reserved) else None
        return None

    def _is_starved(self, priority: Priority, now_us: int) -> bool:
        queue = self._waiting[priority]
        since_us = max(queue[0].since_us, self._passed_us[priority]) if queue else now_us
        return now_us - since_us >= _STARVED_US and self._has_place(priority)

    def _has_place(self, priority: Priority) -> bool:
        return sum(kind is priority for kind, _ in self._under_way.values()) < self._places[priority]

    def _fits(self, weight: float, ceiling: float, reserved: float) -> bool:
        if self._minute.used + reserved + weight > ceiling * self._minute.most + _SLACK:
            return False
        short = self._short
        return short is None or short.used + reserved + weight <= ceiling * short.most + _SLACK or short.used + reserved <= _SLACK

    def _has_room(self, window: _Window, weight: float, priority: Priority, until_us: int) -> bool:
        used = window.used + self._reserved - window.frees(until_us)
        return used + weight <= _CEILINGS[priority] * window.most + _SLACK or (window is self._short and used <= _SLACK)
