"""The exchange's own clock: another machine's, as far as guard can tell."""

from __future__ import annotations

import time

__all__ = ["now_us"]


def now_us() -> int:
    """Return wall time in microseconds since 1970."""
    return time.time_ns() // 1000
