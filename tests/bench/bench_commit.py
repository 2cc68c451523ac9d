"""COMMIT to a reader in another process: ``python tests/bench/bench_commit.py [rounds]``; exit 1 where the bar of 50 ms is missed.

A real ledger file, the committer and the snapshot's writer in this process, with 300 watched markets in the published state; a
second process asks `Guard.check` as a bot that asks all the time. Both read the boot clock: the figure is from the moment at which
COMMIT returned until a `check` says blocked.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from guard.client import Guard
from guard.client.clock import MACHINE
from guard.model import AddQuarantine, Decision, Image, MarketView, Mode, Target, TargetKind
from guard.quarantine import IsolationManager
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.commit import Committer
from guard.runtime.publish import SnapshotPublisher
from guard.store import LedgerStore

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["measured_ms"]

BAR_MS = 50.0
_MARKETS = 300


def read(folder: str, rounds: int) -> None:
    """Be the bot: say on stdout when each market was seen to be blocked."""
    bot = Guard(folder)
    bot.check("x", "M0/USDT", "buy")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for number in range(rounds):
        while bot.check("x", f"M{number}/USDT", "buy").status != "blocked":
            pass
        sys.stdout.write(f"{MACHINE.boot_ns()}\n")
        sys.stdout.flush()


async def measured_ms(rounds: int) -> Sequence[float]:
    """Return the time of each round, milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        return await _measured(Path(name), rounds)


async def _measured(folder: Path, rounds: int) -> Sequence[float]:
    clock = SystemClock()
    store = LedgerStore(folder / "ledger.sqlite", clock)
    ledger = await store.open()
    (folder / "snapshot").mkdir()
    publisher = SnapshotPublisher(folder / "snapshot", clock)
    view = MarketView("ok", "normal", 0.1, 5, 5)
    markets = {f"x:M{number}/USDT": view for number in range(_MARKETS)}
    isolation = IsolationManager()
    committed: list[int] = []

    def publish(seq: int, *, durable: bool, decisions: int) -> None:
        if decisions:
            committed.append(MACHINE.boot_ns())
        image = Image(Mode.ENFORCE, clock.now_us(), markets, committer.blocks(), {})
        publisher.publish(image, epoch=ledger.epoch, seq=seq, durable=durable)
        publisher.beat()

    committer = Committer(
        store,
        publish,
        clock,
        seeded_random(1),
        epoch=ledger.epoch,
        on_committed=lambda _: None,
        on_outage=lambda _: None,
    )
    publisher.publish(Image(Mode.ENFORCE, clock.now_us(), markets, (), {}), epoch=ledger.epoch, seq=0, durable=True)
    publisher.beat()
    running = asyncio.ensure_future(committer.run())
    reader = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--read", str(folder), str(rounds), stdout=asyncio.subprocess.PIPE
    )
    assert reader.stdout is not None
    found = []
    try:
        await asyncio.wait_for(reader.stdout.readline(), 20)
        for number in range(rounds):
            target = Target(TargetKind.MARKET, f"x:M{number}/USDT")
            transitions = isolation.operate(AddQuarantine(target, 600_000_000, "bench", "bench"), clock.now_us())
            await committer.settled(Decision(clock.now_us(), transitions=transitions))
            seen_ns = int(await asyncio.wait_for(reader.stdout.readline(), 20))
            found.append((seen_ns - committed[-1]) / 1e6)
            publisher.beat()
    finally:
        running.cancel()
        if reader.returncode is None:
            reader.kill()
        await reader.wait()
        publisher.stop()
        await store.close()
    return found


def main() -> int:
    """Measure and print."""
    if sys.argv[1:2] == ["--read"]:
        read(sys.argv[2], int(sys.argv[3]))
        return 0
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    found = sorted(asyncio.run(measured_ms(rounds)))
    p50, p99 = found[len(found) // 2], found[min(len(found) - 1, int(len(found) * 0.99))]
    print(f"COMMIT -> reader in another process, {len(found)} rounds: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {found[-1]:.2f} ms")
    return 0 if p99 < BAR_MS else 1


if __name__ == "__main__":
    sys.exit(main())
