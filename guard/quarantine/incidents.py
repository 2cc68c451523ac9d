"""Which quarantines belong together: what begins at about the same time, of one asset or by one rule, is one incident."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guard.model.quarantine import Hold

__all__ = ["Incidents", "marks_of"]

_TOGETHER_US: Final = 60_000_000
_LONGEST_US: Final = 600_000_000
_MARKS_MAX: Final = 8_192


class Incidents:
    """Zone ids: which incident a quarantine that begins belongs to. Pure: time comes in with each call.

    Parameters
    ----------
    together_us
        A quarantine joins an incident whose last one began at most so long before. Microseconds, > 0.
    longest_us
        And whose first one began at most so long before, so that an incident does not go on for ever. Microseconds, > 0.

    Notes
    -----
    A quarantine has marks: its asset, its rule, and its exchange while a market-wide state holds there. It joins the oldest
    incident that still takes one of its marks, and founds one otherwise: the zone is then its own. An incident takes all marks of
    its members. At most 8,192 marks are remembered, each for `together_us`.

    Examples
    --------
    >>> incidents = Incidents(together_us=60, longest_us=600)
    >>> incidents.join("a", ["asset PEPE", "rule pump"], 100), incidents.join("b", ["asset PEPE", "rule wash"], 150)
    ('a', 'a')
    >>> incidents.join("c", ["rule wash"], 200), incidents.join("d", ["rule pump"], 300)
    ('a', 'd')
    """

    def __init__(self, *, together_us: int = _TOGETHER_US, longest_us: int = _LONGEST_US) -> None:
        self._together_us = together_us
        self._longest_us = longest_us
        # By mark, the least recently used first: the incident, when it began, and when it last grew by this mark.
        self._marks: dict[str, tuple[str, int, int]] = {}

    def join(self, own: str, marks: Sequence[str], at_us: int) -> str:
        """Return the zone of what begins at `at_us`; `own` is the zone that it founds where no incident takes it."""
        self._forget(at_us)
        running = (self._marks[mark] for mark in marks if mark in self._marks)
        alive = [(began_us, zone) for zone, began_us, _ in running if at_us - began_us <= self._longest_us]
        began_us, zone = min(alive, default=(at_us, own))
        self._note(zone, marks, began_us, at_us)
        return zone

    def restore(self, openings: Iterable[tuple[str, Sequence[str], int]]) -> None:
        """Take over what is held after a restart: zones, marks, and when each began, oldest first."""
        self._marks.clear()
        began: dict[str, int] = {}
        for zone, marks, at_us in openings:
            self._note(zone, marks, began.setdefault(zone, at_us), at_us)

    def save(self) -> list[list[Any]]:
        """Return the state, ready for JSON."""
        return [[mark, *rest] for mark, rest in self._marks.items()]

    def load(self, saved: Iterable[Sequence[Any]]) -> None:
        """Take over what `save` returned."""
        self._marks = {mark: (zone, began_us, last_us) for mark, zone, began_us, last_us in saved}

    def _note(self, zone: str, marks: Sequence[str], began_us: int, at_us: int) -> None:
        for mark in marks:
            self._marks.pop(mark, None)
            self._marks[mark] = (zone, began_us, at_us)
        while len(self._marks) > _MARKS_MAX:
            del self._marks[next(iter(self._marks))]

    def _forget(self, at_us: int) -> None:
        while self._marks:
            mark, (_, _, last_us) = next(iter(self._marks.items()))
            if at_us - last_us <= self._together_us:
                return
            del self._marks[mark]


def marks_of(hold: Hold, asset: str) -> list[str]:
    """Return what makes a hold belong to an incident; `asset` is that of the market or target, empty for an exchange."""
    return [f"rule {hold.rule}", *([f"asset {asset}"] if asset else [])]
