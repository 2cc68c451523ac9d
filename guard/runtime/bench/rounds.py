"""Interleaved rounds: what shares a moment shares its noise."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guard.model.ports import Clock

__all__ = ["interleaved", "timed"]


def interleaved(tasks: Sequence[Callable[[], float]], rounds: int, *, warm: bool = True) -> list[list[float]]:
    """Return the figures of each task, one a round; in every other round the order is turned.

    With `warm` each task is run once before, and that figure is thrown away: caches are then warm for all of them.

    Examples
    --------
    >>> interleaved([lambda: 1.0, lambda: 2.0], 3)
    [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]
    """
    if warm:
        for task in tasks:
            task()
    figures: list[list[float]] = [[] for _ in tasks]
    for number in range(rounds):
        places = range(len(tasks))
        for place in reversed(places) if number % 2 else places:
            figures[place].append(tasks[place]())
    return figures


def timed(task: Callable[[], object], clock: Clock, *, collects: bool = False) -> float:
    """Return how many seconds a task takes, garbage of others collected before, and none during it unless `collects`."""
    gc.collect()
    if not collects:
        gc.disable()
    try:
        began_us = clock.monotonic_us()
        task()
        return max(1, clock.monotonic_us() - began_us) / 1e6
    finally:
        gc.enable()
