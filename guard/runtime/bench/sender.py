"""The other end of the latency measure: ``python -m guard.runtime.bench.sender FD BURSTS PER_BURST GAP_US``, in real time.

A burst is one packet of sixteen bytes: when it was sent (boot clock, microseconds) and the number of its last row, exclusive. Rows
themselves are known on both sides, so that no parsing is measured.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

from guard.runtime.clock import SystemClock

__all__ = ["BURST", "main"]

BURST = struct.Struct("<qq")


async def send(channel: socket.socket, *, bursts: int, rows: int, gap_us: int) -> None:
    """Send bursts of `rows` rows, one every `gap_us`; a late one is not skipped."""
    clock = SystemClock()
    began_us = clock.monotonic_us()
    for number in range(bursts):
        wait_us = began_us + number * gap_us - clock.monotonic_us()
        if wait_us > 0:
            await clock.sleep(wait_us / 1e6)
        channel.sendall(BURST.pack(clock.monotonic_us(), (number + 1) * rows))


def main(words: list[str]) -> None:
    """Send what the words say, then end the stream."""
    number, bursts, rows, gap_us = map(int, words)
    with socket.socket(fileno=number) as channel:
        asyncio.run(send(channel, bursts=bursts, rows=rows, gap_us=gap_us))


if __name__ == "__main__":
    main(sys.argv[1:])
