"""How a run of the bench is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from guard.runtime.clock import SystemClock

__all__ = ["Behind", "Plan"]


_HISTORY_MINUTES = 720


class Behind(NamedTuple):
    """What markets have behind them when a stream begins: seconds of live rows, minutes of history before."""

    live_s: int
    minutes: int = _HISTORY_MINUTES


class Plan(NamedTuple):
    """What is asked for.

    `rounds` are interleaved, at least 5 count; `peers` is the folder of programs that measure others (tests/bench of the
    checkout); `tapes` are CSV files for the measure of ``guard replay``; `scale` shrinks workloads,
    1 is what the bars mean; `minutes` is how long the growth of memory is watched.
    """

    clock: SystemClock
    rounds: int = 5
    scale: float = 1.0
    peers: Path | None = None
    tapes: tuple[Path, ...] = ()
    is_plain: bool = False
    minutes: float = 2.0

    @property
    def is_quick(self) -> bool:
        """Whether workloads are too small for the bars to mean much."""
        return self.scale < 1.0

    def events(self, plain: int, jitted: int, *, is_jitted: bool) -> int:
        """Return the length of a stream: what a round of a second or two takes."""
        return max(2_000, int((jitted if is_jitted else plain) * self.scale))

    def behind(self, live_s: int) -> Behind:
        """Return how much of a past to make; a run on a small scale makes less."""
        share = min(1.0, 20 * self.scale)
        return Behind(max(10, int(live_s * share)), int(_HISTORY_MINUTES * share))

    def seconds(self, full: float) -> float:
        """Return how long something runs in real time."""
        return max(0.3, full * self.scale)
