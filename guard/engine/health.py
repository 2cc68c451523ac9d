"""How good the data of one market is, from what its streams said."""

from __future__ import annotations

from typing import Final

from guard.model import Channel, DataState, MarketFacts, Status

__all__ = ["SETTLE_US", "StreamHealth", "opened", "shuts"]

# After maintenance prices start where nobody traded: two minutes until they mean anything.
SETTLE_US: Final = 120_000_000
_NEW_FOR_US = 72 * 3_600_000_000
_CHANNELS = {"trades": Channel.TRADES, "book": Channel.BOOK}
# Made of other markets' books: it has no channel of its own that could be lost.
_DERIVED = {"peers"}
_ALL: Final = 1 << Channel.ALL


def opened(maintained: int, channel: Channel) -> int:
    """Return which channels are still closed, a bit for each, after one of them, or all, was said to be live."""
    return 0 if channel is Channel.ALL else maintained & ~(_ALL | 1 << channel)


def shuts(maintained: int, channel: Channel) -> bool:
    """Whether what comes of a channel is not to be believed while `maintained` channels are closed."""
    return bool(maintained & (_ALL | 1 << channel))


class StreamHealth:
    """The state of a market's streams.

    Parameters
    ----------
    facts
        The market; each of its `streams` must be live before the data can be ok. Raises ValueError for a stream nobody knows.

    Attributes
    ----------
    announced_until_us
        Until when a person said that the exchange, or the market, is in maintenance; None outside of such a window.
    closed_since_us
        Since when it is in maintenance, where it is.
    settles_until_us
        Until when the data settles after maintenance.

    Notes
    -----
    In order of precedence: maintenance, stale (a stream was lost or judged dead), warming (a stream is not live yet, maintenance is
    over for less than 2 min, or the windows of up to 60 s are not covered), new (listed less than 72 h ago), degraded (rules lack a
    longer baseline), ok. A market without any stream stays warming: nothing ever tells how it fares.

    Maintenance of a channel, or of all, ends when that channel is live, an announced one with its time.
    """

    __slots__ = ("_listed_us", "_maintained", "_streams", "announced_until_us", "closed_since_us", "settles_until_us")

    def __init__(self, facts: MarketFacts) -> None:
        unknown = sorted(facts.streams - set(_CHANNELS) - _DERIVED)
        if unknown:
            raise ValueError(f"{facts.market} has the streams {', '.join(unknown)}; known are {', '.join(_CHANNELS)}")
        self._streams: dict[Channel, Status | None] = {_CHANNELS[name]: None for name in sorted(facts.streams - _DERIVED)}
        self._listed_us = facts.listed_us
        # A bit for each channel.
        self._maintained = 0
        self.announced_until_us: int | None = None
        self.closed_since_us = 0
        self.settles_until_us = 0

    def tell(self, channel: Channel, status: Status, at_us: int = 0) -> None:
        """Take one STATUS row that came at `at_us`. A channel that is not subscribed is ignored."""
        if status is Status.MAINTENANCE:
            self._close(at_us)
            self._maintained |= 1 << channel
            return
        if status not in {Status.LIVE, Status.LOST, Status.STALLED}:
            return
        if status is Status.LIVE and self._maintained:
            self._maintained = opened(self._maintained, channel)
            if not self._maintained:
                self.settles_until_us = at_us + SETTLE_US
        for known in self._streams:
            if channel in {known, Channel.ALL}:
                self._streams[known] = status

    def _close(self, since_us: int) -> None:
        self.closed_since_us = min(since_us, self.closed_since_us) if self.is_maintenance else since_us

    def announce(self, until_us: int | None, at_us: int, *, since_us: int) -> None:
        """Take note that an announced maintenance begins, has another end, or, with None, is over at `at_us`.

        `since_us` is when it began, which may be before this run.
        """
        if until_us is not None:
            self._close(since_us)
        elif self.announced_until_us is not None:
            self.settles_until_us = at_us + SETTLE_US
        self.announced_until_us = until_us

    def state(self, at_us: int, *, is_covered: bool, is_degraded: bool) -> DataState:
        """Return the data state at `at_us`, given whether the short windows are covered and whether rules lack data."""
        statuses = self._streams.values()
        if self.is_maintenance:
            return DataState.MAINTENANCE
        if Status.LOST in statuses or Status.STALLED in statuses:
            return DataState.STALE
        if not statuses or None in statuses or not is_covered or at_us < self.settles_until_us:
            return DataState.WARMING
        if self._listed_us is not None and at_us - self._listed_us < _NEW_FOR_US:
            return DataState.NEW
        return DataState.DEGRADED if is_degraded else DataState.OK

    @property
    def is_maintenance(self) -> bool:
        """Whether the exchange or a person said that it is closed."""
        return bool(self._maintained) or self.announced_until_us is not None

    @property
    def maintained(self) -> int:
        """The channels of which the exchange said that they are closed, a bit for each."""
        return self._maintained

    def is_frozen(self, at_us: int) -> bool:
        """Whether levels stand still: in maintenance, and while the data settles after it."""
        return at_us < self.settles_until_us or self.is_maintenance

    def is_ready(self, at_us: int) -> bool:
        """Whether what rules say of calm counts."""
        return self.is_live and not self.is_frozen(at_us)

    @property
    def is_live(self) -> bool:
        """Whether every stream delivers; False where there is none."""
        return not self.is_maintenance and set(self._streams.values()) == {Status.LIVE}

    @property
    def live_channels(self) -> tuple[Channel, ...]:
        """The channels that deliver."""
        return tuple(channel for channel, status in self._streams.items() if status is Status.LIVE)

    def save(self) -> dict[str, int | bool | None]:
        """Return the state as JSON-able values."""
        streams: dict[str, int | bool | None] = {str(int(c)): s if s is None else int(s) for c, s in self._streams.items()}
        ends = {
            "settles_until_us": self.settles_until_us,
            "announced_until_us": self.announced_until_us,
            "closed_since_us": self.closed_since_us,
        }
        return {**streams, "maintenance": self._maintained, **ends}

    def restore(self, state: dict[str, int | bool | None]) -> None:
        """Take over what `save` returned."""
        # Earlier versions wrote True, which is the bit of all channels.
        self._maintained = int(state["maintenance"] or 0)
        self.settles_until_us = state.get("settles_until_us") or 0
        self.announced_until_us = state.get("announced_until_us")
        self.closed_since_us = state.get("closed_since_us") or 0
        for channel in self._streams:
            saved = state.get(str(int(channel)))
            self._streams[channel] = None if saved is None else Status(saved)
