"""What all peers share: they read our rows, say who they are, and run a round whenever they are asked.

A peer is a program ``PYTHON peer.py ROWS.npz``. It prints one JSON line, ``{"name": ...}`` or ``{"missing": why}``, then answers
every line on stdin with ``{"seconds": s, "events": n}``, and leaves when stdin ends. See guard/runtime/bench/peer.py.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["answer", "say", "timed"]


def say(**document: Any) -> None:  # noqa: ANN401 - JSON
    """Print one line."""
    sys.__stdout__.write(json.dumps(document) + "\n")
    sys.__stdout__.flush()


def timed(task: Callable[[], object]) -> float:
    """Return how many seconds a task takes, with the collector off as for guard."""
    gc.collect()
    gc.disable()
    began = time.perf_counter_ns()
    task()
    seconds = (time.perf_counter_ns() - began) / 1e9
    gc.enable()
    return seconds


def answer(name: str, once: Callable[[], tuple[float, int]]) -> None:
    """Say who this is and run `once`, which returns seconds and events, for every line that comes."""
    say(name=name)
    for _ in sys.stdin:
        seconds, events = once()
        say(seconds=seconds, events=events)
