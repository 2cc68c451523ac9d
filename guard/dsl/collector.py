"""Python's garbage collector, out of the way while a tree is built."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["paused_collector"]


@contextmanager
def paused_collector() -> Iterator[None]:
    """Build many objects that all stay: the collector would walk them again and again, and find nothing.

    It halves the time that a large rule file takes. What is read is bounded, so is what grows meanwhile.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
