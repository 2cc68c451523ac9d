"""The writing half of guard as a process of its own: commits in a loop, tells what was acknowledged, and is killed."""

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from store.decisions import HandClock, decision

from guard.errors import Unavailable
from guard.store import LedgerStore


async def write(path: Path, first: int, *, is_asked: bool = False) -> None:
    store = LedgerStore(path, HandClock(), busy_timeout_s=1.0)
    epoch = (await store.open()).epoch
    number = first
    try:
        while not is_asked or sys.stdin.buffer.readline():
            seq = await store.commit([decision(number), decision(number + 1)], epoch=epoch)
            os.write(1, f"{number} {number + 1} {seq}\n".encode())
            number += 2
    finally:
        await store.close()


async def write_into_a_limit(path: Path) -> None:
    """Commit until no file may grow any further, report, lift the limit, and commit what failed."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = LedgerStore(path, HandClock(), busy_timeout_s=1.0)
    epoch = (await store.open()).epoch
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    number = 1
    while True:
        try:
            await store.commit([decision(number)], epoch=epoch)
        except Unavailable as error:
            found = str(error)
            break
        number += 1
    state = await store.load()
    assert len(state.quarantines) == number - 1 == state.seq // 2, (state.seq, number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert await store.commit([decision(number)], epoch=epoch) == 2 * number
    assert (await store.verify()).rows == 2 * number
    await store.close()
    os.write(1, f"{number}: {found}".encode())


if __name__ == "__main__":
    if sys.argv[2] == "limit":
        asyncio.run(write_into_a_limit(Path(sys.argv[1])))
    elif sys.argv[2] == "asked":
        asyncio.run(write(Path(sys.argv[1]), 1, is_asked=True))
    else:
        asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2])))
