"""A process that publishes snapshots: ``python -m guard.runtime.bench.publishing FOLDER MARKETS EVERY_S FOR_S``.

Every market of the publication with number n says n, so that a reader can tell a mixture. Prints ``live`` once it may be read. With
EVERY_S 0 it publishes as fast as it can, 64 states in turn that were written out before; else four heartbeats a second go between.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from guard.client.payload import encode
from guard.errors import Unavailable
from guard.model import Image, MarketView, Mode
from guard.runtime import publish
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["STATES", "main", "state_of", "writer"]

_BEAT_US = 250_000
STATES = 64
"""How many states go round where it publishes as fast as it can: publication n has the number n % 64."""

_EMPTY = Image(Mode.ENFORCE, 0, {}, (), {})


def state_of(number: int, markets: int, at_us: int) -> Image:
    """Return the state of one publication."""
    view = MarketView("ok", "normal", None, number, number)
    return Image(Mode.ENFORCE, at_us, {f"sim:M{each}/USDT": view for each in range(markets)}, (), {"*": {}})


@contextmanager
def writer(folder: Path, markets: int, every_s: float, for_s: float) -> Iterator[subprocess.Popen[str]]:
    """Run the process; it is ended with the context. Raises Unavailable where it does not begin."""
    words = [sys.executable, "-m", __name__, str(folder), str(markets), str(every_s), str(for_s)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "live\n":
                raise Unavailable("the publishing process did not begin")
            yield process
        finally:
            process.kill()


def main(words: list[str]) -> int:
    """Publish for a time, then stop."""
    folder, markets, every_s, for_s = Path(words[0]), int(words[1]), float(words[2]), float(words[3])
    clock = SystemClock()
    publisher = SnapshotPublisher(folder, clock)
    if not every_s:
        _prepare(markets, clock)
    ends_us = clock.monotonic_us() + round(for_s * 1e6)
    number, due_us = 0, 0
    pause = _pause()
    while (now_us := clock.monotonic_us()) < ends_us:
        if now_us >= due_us:
            number += 1
            state = state_of(number, markets, clock.now_us()) if every_s else _EMPTY
            publisher.publish(state, epoch=1, seq=number, durable=True)
            due_us = now_us + round(every_s * 1e6)
        publisher.beat()
        if number == 1:
            sys.stdout.write("live\n")
            sys.stdout.flush()
        if every_s:
            pause(min(_BEAT_US, max(0, due_us - clock.monotonic_us())) / 1e6)
    publisher.stop()
    sys.stdout.write(f"{number}\n")
    return 0


def _prepare(markets: int, clock: SystemClock) -> None:
    """Let states be written out beforehand: that takes longer than all the rest of a publication."""
    clocks = {"wall_us": clock.now_us(), "boot_ns": clock.monotonic_us() * 1000, "boot_id": ""}
    ready = [encode(state_of(number, markets, 0), epoch=1, seq=number, durable=True, **clocks) for number in range(STATES)]  # type: ignore[arg-type] # names of one type each

    def said(_: Image, *, seq: int, **others: object) -> dict[str, int]:
        del others
        return {"seq": seq}

    # In this process, which does nothing else.
    publish.document = said  # type: ignore[attr-defined, assignment]
    publish.pack = lambda document: ready[document["seq"] % STATES]  # type: ignore[attr-defined]


def _pause() -> Callable[[float], object]:
    from threading import Event  # noqa: PLC0415 - waits without a clock of its own

    return Event().wait


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
