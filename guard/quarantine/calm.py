"""How long a release condition has held, counted on ready data only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EVERYWHERE", "CalmClock"]

EVERYWHERE = ""


class CalmClock:
    """Count the time for which all sources of a quarantine are calm.

    Parameters
    ----------
    sources
        Last word of each source: True calm, False not, None unknown. A source is a market's written form, or `EVERYWHERE` for a
        word that speaks for the whole target. Without any source the state is unknown.
    held_us
        Calm time counted so far, microseconds, >= 0.
    since_us
        Since when all sources are calm, None where they are not.

    Notes
    -----
    Unknown pauses: what was counted stays, the unknown stretch is not counted. One source that is not calm resets the count.
    Time before a quarantine's floor never counts, therefore readers pass it in.

    Examples
    --------
    >>> clock = CalmClock({"sim:X/USDT": None})
    >>> clock.feed("sim:X/USDT", at_us=10, floor_us=20, is_calm=True)
    >>> clock.held_us(at_us=50, floor_us=20), clock.due_us(need_us=100, floor_us=20)
    (30, 120)
    """

    __slots__ = ("_held_us", "_since_us", "_sources")

    def __init__(self, sources: Mapping[str, bool | None], *, held_us: int = 0, since_us: int | None = None) -> None:
        self._sources = dict(sources)
        self._held_us = held_us
        self._since_us = since_us

    def hears(self, source: str) -> bool:
        """Whether `source` has a say: the markets that offended, or any where none is known."""
        return source == EVERYWHERE or source in self._sources or EVERYWHERE in self._sources or not self._sources

    @property
    def sources(self) -> tuple[str, ...]:
        """All that have a say."""
        return tuple(self._sources)

    def forget(self, source: str, *, at_us: int, floor_us: int) -> None:
        """Wait for the word of a source no longer; the others decide."""
        self._sources.pop(source, None)
        self._settle(at_us=at_us, floor_us=floor_us)

    def feed(self, source: str, *, at_us: int, floor_us: int, is_calm: bool | None) -> None:
        """Take the word of one source at `at_us`; a word for the whole target replaces all others."""
        if source == EVERYWHERE:
            self._sources.clear()
        else:
            self._sources.pop(EVERYWHERE, None)
        self._sources[source] = is_calm
        self._settle(at_us=at_us, floor_us=floor_us)

    def offend(self, source: str, *, at_us: int) -> None:
        """Start counting anew; `source` (if any) has a say from now on."""
        if source and source not in self._sources and EVERYWHERE not in self._sources:
            self._sources[source] = None
        self._held_us = 0
        self._since_us = at_us if self._combined() else None

    def held_us(self, *, at_us: int, floor_us: int) -> int:
        """Return the calm time counted until `at_us`."""
        if self._since_us is None:
            return self._held_us
        return self._held_us + max(0, at_us - max(self._since_us, floor_us))

    def due_us(self, *, need_us: int, floor_us: int) -> int | None:
        """Return when `need_us` of calm will have been counted if it stays calm, None while it is not calm."""
        if self._since_us is None:
            return None
        return max(self._since_us, floor_us) + max(0, need_us - self._held_us)

    def save(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        return {"sources": dict(self._sources), "held_us": self._held_us, "since_us": self._since_us}

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> CalmClock:
        """Return the clock that `save` described."""
        return cls(saved["sources"], held_us=saved["held_us"], since_us=saved["since_us"])

    def _combined(self) -> bool | None:
        words = self._sources.values()
        if False in words:
            return False
        return True if self._sources and None not in words else None

    def _settle(self, *, at_us: int, floor_us: int) -> None:
        combined = self._combined()
        if combined:
            if self._since_us is None:
                self._since_us = at_us
            return
        self._held_us = self.held_us(at_us=at_us, floor_us=floor_us) if combined is None else 0
        self._since_us = None
