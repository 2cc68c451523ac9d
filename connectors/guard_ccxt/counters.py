"""What a connector counts, for its health."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Counters"]

_NOTES_MAX = 50
_REASONS_MAX = 64


class Counters:
    """Running totals of one connector, and its notes for people.

    Parameters
    ----------
    report
        Told each new note once.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self.received = 0
        self.rejected: Counter[str] = Counter()
        self.bad_frames = 0
        self.frames = 0
        self.fallbacks = 0
        self.reconnects = 0
        self.gaps = 0
        self.gap_us = 0
        self.repaired = 0
        self.closed = ""  # said, silent: why the exchange counts as closed
        self.stalls = 0
        self.refuted = 0
        self.resubscribed = 0
        self.skipped = 0
        self.audits = 0
        self.overlooked = 0
        self.recycled = 0
        self.last_event_us: int | None = None
        self.notes: deque[str] = deque(maxlen=_NOTES_MAX)
        self._report = report

    def reject(self, reason: str) -> None:
        """Count one event that the gate refused."""
        self.rejected[reason if reason in self.rejected or len(self.rejected) < _REASONS_MAX else "other"] += 1

    def note(self, text: str) -> None:
        """Tell people something the connector lives with; the same text is told once while it is remembered."""
        if text not in self.notes:
            self.notes.append(text)
            self._report(text)
