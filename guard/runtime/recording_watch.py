"""What a running guard does about its recording: makes the recorder that guard.yaml asks for, and tells how it fares."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.dsl.patterns import matches_any
from guard.errors import StateError
from guard.model import Kind, Level
from guard.runtime.record import recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from guard.dsl import GuardConfig
    from guard.model import MarketFacts
    from guard.model.ports import Clock
    from guard.runtime.clock import SystemClock

__all__ = ["RecordingWatch", "chosen_recorder"]

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 1.0
_KINDS: Final = {"trades": int(Kind.TRADE), "book": int(Kind.LEVEL)}


def chosen_recorder(config: GuardConfig, path: Path | None, clock: SystemClock) -> Any:  # noqa: ANN401 - of a connector
    """Return the recorder of `path`, or the one of guard.yaml; None where there is none, or why that one cannot record.

    Raises ConfigurationError where pyarrow is not installed, and StateError where `path` cannot be used.
    """
    if path is not None:
        return recorder(path, clock=clock)
    if config.record is None:
        return None
    asked = config.record
    chooses: Callable[[MarketFacts], bool] | None = None
    if asked.markets != ("*",):

        def chooses(facts: MarketFacts) -> bool:
            return matches_any(asked.markets, str(facts.market))

    kinds = frozenset(_KINDS[name] for name in asked.events)
    try:
        return recorder(
            config.folder / asked.folder,
            clock=clock,
            segment_us=asked.segment_us,
            segment_bytes=asked.segment_size,
            free_bytes=asked.leave_free,
            keep_us=asked.keep_us,
            keep_bytes=asked.keep_size,
            chooses=chooses,
            kinds=None if len(kinds) == len(_KINDS) else kinds,
        )
    except StateError as error:
        # A guard that does not record protects all the same.
        return str(error)


class RecordingWatch:
    """Tells people once that a recording stopped, and once that it goes on.

    Parameters
    ----------
    writer
        The recorder; None where nothing is to be recorded, a text where it cannot be.
    """

    def __init__(self, writer: Any) -> None:  # noqa: ANN401 - of a connector, which guard does not import
        self._writer: Any = None if isinstance(writer, str) else writer
        self._problem: str | None = writer if isinstance(writer, str) else None
        self._told: str | None = None
        self._notes: tuple[str, ...] = ()

    async def run(self, clock: Clock, announce: Callable[[str, str, str, Level], None]) -> None:
        """Look until cancelled; `announce` tells people."""
        if self._writer is None and self._problem is None:
            await asyncio.Event().wait()
        while True:
            self._look(announce)
            await clock.sleep(_LOOK_S)

    def _look(self, announce: Callable[[str, str, str, Level], None]) -> None:
        health = None if self._writer is None else self._writer.health()
        problem = self._problem if health is None else health.problem
        if problem is not None and self._told is None:
            body = f"{problem}. guard goes on; what happens now is not on the recording, which has a marked gap there."
            announce("recording", "nothing is recorded", body, Level.WARNING)
            _log.error("nothing is recorded", problem=problem)
        elif problem is None and self._told is not None and health is not None:
            announce("recording", "events are recorded again", f"{health.lost:,} rows are missing.", Level.NORMAL)
            _log.warning("events are recorded again", lost=health.lost)
        self._told = problem
        notes = () if health is None else health.notes
        for note in notes:
            if note not in self._notes:
                _log.warning("recording", note=note)
        self._notes = notes

    def ended(self, *, is_whole: bool) -> None:
        """Tell of the end of the run."""
        health = self._writer.health()
        if is_whole and not health.lost:
            _log.info("recorded", to=str(self._writer.path), rows=sum(health.kinds.values()))
        else:
            _log.error("not all was recorded", to=str(self._writer.path), problem=health.problem, lost=health.lost)

    def record(self) -> dict[str, Any] | None:
        """Return how recording fares, JSON-able; None where nothing is to be recorded."""
        if self._writer is None:
            return None if self._problem is None else {"problem": self._problem}
        health = self._writer.health()
        kinds = {kind.name.lower(): health.kinds.get(int(kind), 0) for kind in Kind}
        return {**health._asdict(), "to": str(self._writer.path), "kinds": kinds}
