"""What one stream says of itself: STATUS and GAP rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.model import Channel, Kind, Status

if TYPE_CHECKING:
    from guard.model.ports import Clock, Sink
    from guard_ccxt.counters import Counters

__all__ = ["Voice"]


class Voice:
    """Writes how a stream stands, each change once.

    Attributes
    ----------
    told
        The last word.
    is_closed
        Nothing is said while the exchange is in maintenance: see `guard_ccxt.stream.standing`.
    gap_us
        How much time it is known to have missed.
    """

    __slots__ = ("_channel", "_clock", "_counters", "_row", "_sink", "gap_us", "is_closed", "told")

    def __init__(self, row: int, channel: Channel, *, sink: Sink, counters: Counters, clock: Clock) -> None:
        self._row = row
        self._channel = channel
        self._sink = sink
        self._counters = counters
        self._clock = clock
        self.told: Status | None = None
        self.is_closed = False
        self.gap_us = 0

    def live(self, *, at_us: int, received_us: int, last_good_us: int | None) -> None:
        """Say that it delivers, after a GAP from `last_good_us` to `at_us` where something is missing."""
        if last_good_us is not None:
            at_us = max(at_us, last_good_us)
            self._counters.gaps += 1
            self._counters.gap_us += at_us - last_good_us
            self.gap_us += at_us - last_good_us
            self._mark(Kind.GAP, at_us=min(at_us, received_us), received_us=received_us, key=last_good_us)
        self.told = Status.LIVE
        self._mark(Kind.STATUS, at_us=received_us, received_us=received_us, key=Status.LIVE)

    def tell(self, status: Status) -> None:
        """Say how it stands."""
        if self.told is not status and not self.is_closed:
            self.told = status
            now_us = self._clock.now_us()
            self._mark(Kind.STATUS, at_us=now_us, received_us=now_us, key=status)

    def _mark(self, kind: Kind, *, at_us: int, received_us: int, key: int) -> None:
        self._sink.append(kind, self._row, at_us=at_us, received_us=received_us, side=self._channel, key=key)
        self._counters.received += 1
