"""Runs an engine over events and over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guard.engine import Engine
    from guard.model import Batch, Verdict

__all__ = ["take", "wait"]


def take(engine: Engine, batch: Batch) -> list[Verdict]:
    """Take a batch of events, and what is due before each."""
    found = _all(engine, engine.start(batch, 0, None))
    assert engine.is_done
    return found


def wait(engine: Engine, until_us: int) -> list[Verdict]:
    """Let time pass up to `until_us`."""
    return _all(engine, engine.start(None, 0, None, limit_us=until_us))


def _all(engine: Engine, answer: tuple[int, tuple[Verdict, ...]] | None) -> list[Verdict]:
    found: list[Verdict] = []
    while answer is not None:
        found += answer[1]
        answer = engine.run(None)
    return found
