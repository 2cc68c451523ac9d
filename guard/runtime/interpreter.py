"""How CPython is set up for a process whose event loop must not be held."""

from __future__ import annotations

import gc
import sys
from typing import Final

__all__ = ["prefer_the_loop", "settle"]

_SWITCH_S: Final = 0.0005
_COLLECT: Final = (5_000, 10, 10)


def prefer_the_loop() -> None:
    """Let the loop take the interpreter back from a busy thread after half a millisecond, instead of 5.

    It gives the interpreter away with each system call: while a thread packs what guard has learnt, a request over HTTP would
    wait 5 ms for each of its own.
    """
    sys.setswitchinterval(_SWITCH_S)


def settle() -> None:
    """Keep collections of garbage short, once all that lives long is there.

    What is there by now stays: a full collection that looks through it holds the loop for a tenth of a second. And a full one
    comes after half a million objects more than went, instead of 70,000: reading the past of markets makes many, and what waits to
    be collected stays below some 100 MB.
    """
    gc.freeze()
    gc.set_threshold(*_COLLECT)
