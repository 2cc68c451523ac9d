"""What the notes of a segment add up to: which run it belongs to, its markets, what is missing, and what the run was beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guard_tape.facts import market_record, markets_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model import MarketFacts

__all__ = ["Notes", "joined_course"]

_MAPPINGS: Final = ("rules", "kept")
_LISTS: Final = ("orders", "facts")
_HOLES_MAX: Final = 1_000


def joined_course(course: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands beside the events with what was learnt later: rules, orders and kept state add up, all else is replaced.

    Examples
    --------
    >>> joined_course({"orders": [1], "first": "a"}, {"orders": [2], "rules": {"b": []}})
    {'orders': [1, 2], 'first': 'a', 'rules': {'b': []}}
    """
    whole = dict(course)
    for name, value in part.items():
        if name in _MAPPINGS:
            whole[name] = {**whole.get(name, {}), **value}
        elif name in _LISTS:
            whole[name] = [*whole.get(name, ()), *value]
        else:
            whole[name] = value
    return whole


class Notes:
    """Takes the notes of one segment in order.

    Attributes
    ----------
    run, number
        The run it is a segment of, and its place there, from 1; "" and 0 where no note said so.
    markets
        The facts of each market, in the order of their numbers.
    course
        What the run was beside its events, up to now; "kept" holds what this segment told only.
    holes
        What the recorder could not keep: ``reason``, ``rows``, ``since_us``, ``until_us``.
    damage
        Bytes that could not be read, and the rows that were there.
    """

    def __init__(self, run: str = "", number: int = 0) -> None:
        self.run = run
        self.number = number
        self.markets: list[MarketFacts] = []
        self.course: dict[str, Any] = {}
        self.holes: list[dict[str, Any]] = []
        self.damage: list[dict[str, int]] = []
        self.torn_bytes = 0
        self.is_closed = False
        self.standing = 0

    def take(self, note: Mapping[str, Any]) -> None:
        """Take one note, or ``notes``, a list of them. Raises ValueError, KeyError or TypeError where it is none."""
        for each in note.get("notes", ()):
            self.take(each)
        if "segment" in note:
            told = note["segment"]
            self.run, self.number = str(told["run"]), int(told["number"])
            self.markets = markets_from(told["markets"])
            self.course = dict(told["course"])
        if "market" in note:
            if int(note["number"]) != len(self.markets):
                raise ValueError(f"market {note['number']} follows {len(self.markets)} markets: a note before it is lost")
            self.markets += markets_from([note["market"]])
        if "course" in note:
            self.course = joined_course(self.course, note["course"])
        if "hole" in note and len(self.holes) < _HOLES_MAX:
            self.holes.append(dict(note["hole"]))
        if "end" in note:
            self.is_closed = True

    def opening(self, run: str, number: int) -> dict[str, Any]:
        """Return the note that begins the next segment, with all that is known by now."""
        course = {name: value for name, value in self.course.items() if name != "kept"}
        markets = [market_record(facts) for facts in self.markets]
        return {"segment": {"run": run, "number": number, "markets": markets, "course": course}}

    def record(self) -> dict[str, Any]:
        """Return what a compacted segment keeps of them, besides its markets and course, as JSON can hold it."""
        return {
            "run": self.run,
            "number": self.number,
            "standing": self.standing,
            "holes": self.holes,
            "damage": self.damage,
            "torn_bytes": self.torn_bytes,
            "is_closed": self.is_closed,
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Notes:
        """Return what `record` kept. Raises ValueError, KeyError or TypeError where it is anything else."""
        notes = cls(str(record["run"]), int(record["number"]))
        notes.standing, notes.torn_bytes = int(record["standing"]), int(record["torn_bytes"])
        notes.is_closed = bool(record["is_closed"])
        notes.holes = [dict(hole) for hole in record["holes"]]
        notes.damage = [{str(name): int(value) for name, value in each.items()} for each in record["damage"]]
        return notes
