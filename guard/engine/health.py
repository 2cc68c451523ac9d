"""How good the data of one market is, from what its streams said."""

from __future__ import annotations

from guard.model import Channel, DataState, MarketFacts, Status

__all__ = ["StreamHealth"]

_NEW_FOR_US = 72 * 3_600_000_000
_CHANNELS = {"trades": Channel.TRADES, "book": Channel.BOOK}
# Made of other markets' books: it has no channel of its own that could be lost.
_DERIVED = {"peers"}


class StreamHealth:
    """The state of a market's streams.

    Parameters
    ----------
    facts
        The market; each of its `streams` must be live before the data can be ok. Raises ValueError for a stream nobody knows.

    Notes
    -----
    In order of precedence: maintenance, stale (a stream was lost or judged dead), warming (a stream is not live yet, or the
    windows of up to 60 s are not covered), new (listed less than 72 h ago), degraded (rules lack a longer baseline), ok. A market
    without any stream stays warming: nothing ever tells how it fares.
    """

    __slots__ = ("_listed_us", "_streams", "is_maintenance")

    def __init__(self, facts: MarketFacts) -> None:
        unknown = sorted(facts.streams - set(_CHANNELS) - _DERIVED)
        if unknown:
            raise ValueError(f"{facts.market} has the streams {', '.join(unknown)}; known are {', '.join(_CHANNELS)}")
        self._streams: dict[Channel, Status | None] = {_CHANNELS[name]: None for name in sorted(facts.streams - _DERIVED)}
        self._listed_us = facts.listed_us
        self.is_maintenance = False

    def tell(self, channel: Channel, status: Status) -> None:
        """Take one STATUS row. A channel that is not subscribed is ignored."""
        if status is Status.MAINTENANCE:
            self.is_maintenance = True
            return
        if status not in {Status.LIVE, Status.LOST, Status.STALLED}:
            return
        if status is Status.LIVE:
            self.is_maintenance = False
        for known in self._streams:
            if channel in {known, Channel.ALL}:
                self._streams[known] = status

    def state(self, at_us: int, *, is_covered: bool, is_degraded: bool) -> DataState:
        """Return the data state at `at_us`, given whether the short windows are covered and whether rules lack data."""
        statuses = self._streams.values()
        if self.is_maintenance:
            return DataState.MAINTENANCE
        if Status.LOST in statuses or Status.STALLED in statuses:
            return DataState.STALE
        if not statuses or None in statuses or not is_covered:
            return DataState.WARMING
        if self._listed_us is not None and at_us - self._listed_us < _NEW_FOR_US:
            return DataState.NEW
        return DataState.DEGRADED if is_degraded else DataState.OK

    @property
    def is_live(self) -> bool:
        """Whether every stream delivers; False where there is none."""
        return not self.is_maintenance and set(self._streams.values()) == {Status.LIVE}

    def save(self) -> dict[str, int | bool | None]:
        """Return the state as JSON-able values."""
        streams: dict[str, int | bool | None] = {str(int(c)): s if s is None else int(s) for c, s in self._streams.items()}
        return {**streams, "maintenance": self.is_maintenance}

    def restore(self, state: dict[str, int | bool | None]) -> None:
        """Take over what `save` returned."""
        self.is_maintenance = bool(state["maintenance"])
        for channel in self._streams:
            saved = state.get(str(int(channel)))
            self._streams[channel] = None if saved is None else Status(saved)
