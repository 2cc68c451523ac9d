"""When a silence of guard is told to people: pure, time comes in with each look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Glance", "Notice", "Silence"]


class Glance(NamedTuple):
    """What one look at a guard saw.

    `mark` changes with each proof of work, None where nothing could be read; `age_us` is how old the proof is, None where that
    cannot be told. `words` say what was seen, for people.
    """

    mark: str | None
    age_us: int | None
    words: str


class Notice(NamedTuple):
    """What people are told; `is_back` tells of the end of a silence."""

    title: str
    body: str
    level: Level
    is_back: bool = False


class Silence:
    """One guard's proofs of work, and what people were told of their absence.

    Parameters
    ----------
    name
        The guard's name in the watcher's file.
    after_us, repeat_us
        How long without a proof before people are told, and until they are told again.
    now_us
        When watching began: a guard that nobody has seen yet gets the same time.
    memory
        What `memory` returned, of an earlier run.

    Examples
    --------
    >>> silence = Silence("home", after_us=60, repeat_us=1000, now_us=0)
    >>> [bool(silence.look(at_us, Glance("1", None, "seen"))) for at_us in (0, 60, 61)]
    [False, False, True]
    >>> silence.told(61), silence.look(62, Glance("2", None, "seen")).is_back
    (None, True)
    """

    def __init__(self, name: str, *, after_us: int, repeat_us: int, now_us: int, memory: Mapping[str, Any] | None = None) -> None:
        kept = memory or {}
        self._name = name
        self._after_us = after_us
        self._repeat_us = repeat_us
        self._mark: str | None = kept.get("mark")
        # A clock that was set back must not make a silence look short.
        self._moved_us = min(int(kept.get("moved_us", now_us)), now_us)
        self._told_us: int | None = None if kept.get("told_us") is None else min(int(kept["told_us"]), now_us)
        self._words = str(kept.get("words", "nothing was ever seen of it"))
        self.is_silent = self._told_us is not None

    def look(self, now_us: int, glance: Glance) -> Notice | None:
        """Take a look's outcome and return what is to be told, until `told` says that it was."""
        if glance.mark is not None and glance.mark != self._mark:
            self._mark, self._moved_us = glance.mark, now_us
        if glance.mark is not None and glance.age_us is not None:
            self._moved_us = now_us - max(0, glance.age_us)
        quiet_us = now_us - self._moved_us
        self.is_silent = quiet_us > self._after_us
        if not self.is_silent:
            self._words = glance.words
            if self._told_us is None:
                return None
            return Notice(f"{self._name} is back", glance.words, Level.NORMAL, is_back=True)
        if self._told_us is not None and now_us - self._told_us < self._repeat_us:
            return None
        still = "" if self._told_us is None else "still "
        is_marked_running = glance.words.startswith("running")
        lines = [
            f"No proof of work for {quiet_us / 1e6:.0f} s (told after {self._after_us / 1e6:g} s).",
            f"Now: {glance.words}.",
            *(["It was not stopped on purpose: it hangs, was killed, or its machine stands."] if is_marked_running else []),
            *([] if self._words == glance.words else [f"Last seen well: {self._words}."]),
            "Bots get 'unknown' where guard is dead and, by default, open nothing; blocks stay, exits always pass.",
            "There: guard status, then guard doctor; guard run starts it.",
        ]
        body = "\n".join(lines)
        return Notice(f"{self._name} {still}gives no heartbeat", body, Level.CRITICAL)

    def told(self, now_us: int) -> None:
        """Note that people were told what `look` returned."""
        self._told_us = now_us if self.is_silent else None

    def memory(self) -> dict[str, Any]:
        """Return what a later run must know, JSON-able."""
        return {"mark": self._mark, "moved_us": self._moved_us, "told_us": self._told_us, "words": self._words}
