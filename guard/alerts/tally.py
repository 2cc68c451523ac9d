"""Conservation of events: each one is sent, digested, suppressed for a reason, or still waits, for every channel."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["NOBODY", "Tally"]

NOBODY = "-"


class Tally:
    """Counts per channel; with no channel at all, events are suppressed under the name ``-`` for the reason ``no_channel``.

    Examples
    --------
    >>> tally = Tally(["slack"])
    >>> tally.arrive(3)
    >>> tally.count("slack", "sent", 2)
    >>> tally.count("slack", "suppressed:repeat", 1)
    >>> tally.counts()["slack"], tally.is_conserved
    ({'events': 3, 'sent': 2, 'suppressed:repeat': 1}, True)
    """

    def __init__(self, channels: Iterable[str]) -> None:
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in channels} or {NOBODY: Counter()}

    @property
    def is_conserved(self) -> bool:
        """Whether every event of every channel has its place."""
        return all(2 * counts["events"] == counts.total() for counts in self._counts.values())

    def arrive(self, count: int = 1) -> None:
        """Count events that came in."""
        for name, counts in self._counts.items():
            counts["events"] += count
            if name == NOBODY:
                counts["suppressed:no_channel"] += count

    def count(self, channel: str, place: str, count: int = 1) -> None:
        """Count where events of one channel went."""
        self._counts[channel][place] += count

    def count_all(self, place: str, count: int = 1) -> None:
        """Count where events went for every channel."""
        for name, counts in self._counts.items():
            if name != NOBODY:
                counts[place] += count

    def counts(self) -> dict[str, dict[str, int]]:
        """Return ``events``, ``sent``, ``digested``, ``waiting`` and ``suppressed:REASON`` by channel, without zeros."""
        return {name: {place: count for place, count in counts.items() if count} for name, counts in self._counts.items()}

    def load(self, state: Mapping[str, Mapping[str, int]]) -> None:
        """Take what `counts` returned; channels that exist no more are forgotten."""
        for name, counts in self._counts.items():
            counts.clear()
            counts.update(state.get(name, {}))
