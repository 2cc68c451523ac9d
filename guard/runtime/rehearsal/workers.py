"""Runs the same function over many things, in as many processes, in order."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["cores", "in_order"]

Made = TypeVar("Made")

_WORK: Final[list[Callable[[int], Any]]] = []
"""What the processes of this one do; they take it over when they are forked, so that it need not be sent."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(make: Callable[[int], Made], count: int, *, jobs: int) -> Iterator[Made]:
    """Yield ``make(0)`` to ``make(count - 1)``, made by `jobs` processes where the system can fork safely.

    What one raises is raised here. Nothing that `make` changes is seen outside; what it returns is sent.
    """
    if jobs <= 1 or count <= 1 or not sys.platform.startswith("linux"):
        yield from map(make, range(count))
        return
    _WORK.append(make)
    pool = ProcessPoolExecutor(min(jobs, count), mp_context=get_context("fork"), initializer=_begin)
    try:
        yield from pool.map(_made, range(count))
    finally:
        _WORK.pop()
        pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Leave Ctrl-C to the process that waits for this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _made(number: int) -> Any:  # noqa: ANN401 - whatever the work makes
    return _WORK[-1](number)
