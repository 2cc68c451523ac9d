"""The segments of one run as one recording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from guard_tape.columns import length
from guard_tape.notes import joined_course
from guard_tape.standing import gap_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from guard.model import MarketFacts
    from guard_tape.columns import Rows
    from guard_tape.notes import Notes
    from guard_tape.recording import Recording
    from guard_tape.segment import Segment

__all__ = ["Chain"]


class Chain:
    """Segments of one run, in the order of their numbers.

    Where one follows the one before it, its rows go on; where segments between them are missing, or the one before was torn, all
    markets have a gap and begin with what stood.

    Attributes
    ----------
    markets, course
        As for `guard_tape.Recording`; `course` says under ``lacks`` why it cannot be done again from its beginning.
    """

    def __init__(self, parts: Sequence[Recording | Segment]) -> None:
        self._parts = sorted(parts, key=_number)
        self._notes = [_notes(part) for part in self._parts]

    @property
    def paths(self) -> list[Path]:
        """The files, in order."""
        return [part.path for part in self._parts]

    @property
    def run(self) -> str:
        """The name of the run."""
        return self._notes[0].run

    @property
    def markets(self) -> list[MarketFacts]:
        """The facts of each market, in the order of the numbers in the column `market`."""
        return max((part.markets for part in self._parts), key=len)

    @property
    def course(self) -> dict[str, Any] | None:
        """What a live run was beside its events."""
        last = self._parts[-1].course
        if last is None:
            return None
        whole: dict[str, Any] = {"kept": {}}
        for part in self._parts:
            whole = joined_course(whole, {"kept": (part.course or {}).get("kept", {})})
        first = self._notes[0].number
        lacks = {} if first == 1 else {"lacks": f"it begins with segment {first} of its run: those before it are not here"}
        return {**last, **whole, **lacks}

    @property
    def holes(self) -> list[dict[str, Any]]:
        """What is missing: what the recorder could not keep, what is damaged, torn, or not here."""
        found: list[dict[str, Any]] = []
        for place, notes in enumerate(self._notes):
            name = self._parts[place].path.name
            if place and notes.number > self._notes[place - 1].number + 1:
                count = notes.number - self._notes[place - 1].number - 1
                found.append({"file": name, "reason": f"{count} segments before it are not here"})
            found += [{"file": name, **hole} for hole in notes.holes]
            found += [{"file": name, "reason": "damaged", **each} for each in self._parts[place].damage]
            if notes.torn_bytes:
                found.append({"file": name, "reason": "torn at its end", "bytes": notes.torn_bytes})
            elif not notes.is_closed:
                found.append({"file": name, "reason": "not closed: it is still written, or its writer was killed"})
        return found

    def tables(self, *, with_standing: bool = True) -> Iterator[Rows]:
        """Yield the rows in order, in tables of bounded size."""
        before: Notes | None = None
        is_damaged = False
        last_us = 0
        for part, notes in zip(self._parts, self._notes, strict=True):
            goes_on = before is not None and notes.number == before.number + 1 and before.is_closed and not is_damaged
            is_first = True
            for rows in part.tables(with_standing=not goes_on and (with_standing or before is not None)):
                if is_first and before is not None and not goes_on and length(rows):
                    known = range(len(part.markets))
                    yield gap_rows(known, last_us=last_us, received_us=max(last_us, int(rows.received_us[0])))
                is_first = is_first and not length(rows)
                last_us = max(last_us, int(np.max(rows.received_us, initial=0)))
                yield rows
            before, is_damaged = notes, bool(part.damage)


def _notes(part: Recording | Segment) -> Notes:
    assert part.notes is not None
    return part.notes


def _number(part: Recording | Segment) -> int:
    return _notes(part).number
