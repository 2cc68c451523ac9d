"""What a running guard gives its vigil: a canary, a heartbeat file, a watchdog, and what they say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.model.alert import CANARY
from guard.runtime.canary import Canary
from guard.runtime.proof import HeartbeatFile
from guard.runtime.watchdog import Watchdog, write_dump

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.runtime.canary import NullSink
    from guard.runtime.live import Live
    from guard.runtime.state import StateFolder

__all__ = ["watch_itself"]


def watch_itself(live: Live, sink: NullSink, state: StateFolder, *, anchor: Callable[[], str]) -> Callable[[], None]:
    """Let a canary fly through `sink`, and end a guard whose loop hangs; returns what ends the watch.

    `anchor` returns number and hash of the last audit row: the heartbeat carries it to where the ledger is not.
    """
    vigil, clock = live.vigil, live.clock
    live.outbox.add([CANARY])
    vigil.canary = Canary(vigil.proof, settled=live.committer.settled, sink=sink, clock=clock)
    vigil.file = HeartbeatFile(state.heartbeat)
    vigil.about = lambda: {**_beat_record(live), "anchor": anchor()}
    vigil.watchdog = Watchdog(state.path, clock, describe=lambda: _lines(live))
    live.dump = lambda why: write_dump(state.path, clock.now_us(), why, lambda: _lines(live))
    return vigil.watchdog.stop


def _lines(live: Live) -> list[str]:
    """Return lines about a guard for a state dump: numbers and names, no text of an exchange and no address of a channel."""
    health = live.committer.health
    return [
        f"epoch {live.epoch}, entry {live.seq}, durable {live.is_durable}, lag at most {live.lag_max_us / 1e6:.3f} s",
        f"ledger: {health.waiting} wait, {health.committed} written, {health.failures} failures, {health.refused} refused",
        f"inlet: {live.inlet.waiting} wait, {live.inlet.received} received",
        f"watched: {len(live.pipeline.engine.markets)} markets; held: {len(live.pipeline.isolation.active())} targets",
        *(f"feed {feed.plan.name}: streaming {feed.is_streaming}, failures {feed.failures}" for feed in live.feeds),
        f"heartbeat: silent {live.vigil.silence}, not proved {', '.join(live.vigil.proof.missing) or 'nothing'}",
    ]


def _beat_record(live: Live) -> dict[str, Any]:
    """Return what the heartbeat file says of a guard, besides when it was last proved to work."""
    return {
        "epoch": live.epoch,
        "seq": live.seq,
        "durable": live.is_durable,
        "held": len(live.committer.blocks()),
        "watched": len(live.pipeline.engine.markets),
    }
