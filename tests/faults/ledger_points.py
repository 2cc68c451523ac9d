"""Kill or fail every call by which the script's ledger, journal, backup and snapshot reach the disk, one run for each.

`make ledger-points` goes through all of them; the suite takes every so many.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from faults.ledger_script import NOW, STEPS, State, expected, held_after
from store.decisions import HandClock

from guard.errors import StateError
from guard.model import IsolationState
from guard.runtime.state import StateFolder
from guard.runtime.taking import take_ledger
from guard.store import LedgerStore
from guard.store.chain import GENESIS
from guard.store.verify import verify_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).with_name("ledger_script.py")
ROOTS = (SCRIPT.parents[2], SCRIPT.parents[2] / "connectors", SCRIPT.parents[1])
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, ROOTS)), "PYTHONDONTWRITEBYTECODE": "1"}
CALLS = ("pwrite64", "write", "ftruncate", "fdatasync", "fsync", "rename", "unlink")
STARTS = ("an empty ledger", "nothing", "layout 1")
STRACE = ["strace", "-f", "--seccomp-bpf", "-qq"]


class Point(NamedTuple):
    """One fault: which call, the how many-th of its thread, what happens, and what was there before (`STARTS`)."""

    call: str
    when: int
    fault: str
    start: str


class Found(NamedTuple):
    """What one run with a fault came to: the last step that was acknowledged, the step the ledger has, and what was wrong."""

    acknowledged: int
    steps: int
    problem: str


def script(path: Path, *, tracing: list[str], synchronous: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*tracing, sys.executable, str(SCRIPT), str(path), synchronous],
        capture_output=True,
        env=ENVIRONMENT,
        check=False,
        timeout=120,
    )


def prepare(path: Path, start: str) -> None:
    """Make what is there before the script runs: nothing, an empty ledger, or one of the first layout."""
    if start == "nothing":
        return
    asyncio.run(empty(path))
    if start == "layout 1":
        ledger = path / "ledger.sqlite"
        ledger.unlink()
        lines = (SCRIPT.parents[1] / "store" / "layouts" / "1.sql").read_text(encoding="utf-8").splitlines(keepends=True)
        with closing(sqlite3.connect(ledger)) as connection:
            connection.executescript("".join(line for line in lines if not line.startswith("INSERT")))
            connection.execute("INSERT INTO meta VALUES (1, 0, 0, ?)", (GENESIS,))
            connection.commit()
        ledger.chmod(0o600)


async def empty(path: Path) -> None:
    with StateFolder(path) as state:
        taken = await take_ledger(state, HandClock(NOW))
        await taken.store.close()


def points(folder: Path, start: str) -> Iterator[Point]:
    """Yield every fault of a run, as many as the thread with the most calls makes."""
    path = folder / f"counted {start}"
    prepare(path, start)
    log = folder / "calls"
    assert script(path, tracing=[*STRACE, "-o", str(log), "-e", f"trace={','.join(CALLS)}"]).returncode == 0
    counts: Counter[tuple[str, str]] = Counter()
    for line in log.read_text(errors="replace").splitlines():
        thread, _, rest = line.partition(" ")
        counts[thread, rest.strip().partition("(")[0]] += 1
    for call in CALLS:
        most = max((count for (_, name), count in counts.items() if name == call), default=0)
        for when in range(1, most + 1):
            yield Point(call, when, "signal=SIGKILL", start)
            # A write to stdout that fails is no fault of the disk.
            if call != "write":
                yield Point(call, when, "error=EIO", start)
            if call in {"pwrite64", "ftruncate"}:
                yield Point(call, when, "error=ENOSPC", start)


async def standing(path: Path) -> State:
    """Return what the ledger at `path` holds, opened as guard opens it, without any rebuilding."""
    store = LedgerStore(path, HandClock(NOW))
    state = await store.open()
    counts = await store.outbox()
    await store.close()
    rows = frozenset((each.id, str(each.state), each.until_us) for each in state.quarantines)
    return State(rows, state.seq, sum(sum(each.values()) for each in counts.values()))


def steps_of(found: State) -> int | None:
    return next((steps for steps in range(len(STEPS), -1, -1) if expected(steps) == found), None)


def acknowledged(output: bytes) -> int:
    return max((int(line) for line in output.split(b"\n")[:-1] if line), default=0)


def strike(folder: Path, point: Point) -> Found:
    """Run the script with one fault and look at what it left."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "state"
    try:
        prepare(path, point.start)
        inject = ["-o", "/dev/null", "-e", f"inject={point.call}:{point.fault}:when={point.when}"]
        return asyncio.run(look(path, acknowledged(script(path, tracing=[*STRACE, *inject]).stdout)))
    finally:
        shutil.rmtree(path.parent)


async def look(path: Path, told: int) -> Found:
    """Hold the ledger against the script: a whole number of steps, no acknowledged one missing, and a start that keeps all."""
    ledger = path / "ledger.sqlite"
    if not ledger.exists():
        return Found(told, 0, "" if told == 0 else "the ledger is gone")
    try:
        steps = steps_of(await standing(ledger))
        if steps is None:
            return Found(told, -1, "torn: the ledger is not as it stands after any step")
        if steps < told:
            return Found(told, steps, f"lost: {told} steps were acknowledged, the ledger has {steps}")
        verify_ledger(ledger, now_us=NOW)
        with StateFolder(path) as state:
            taken = await take_ledger(state, HandClock(NOW))
            held = {each.target.name[4:] for each in taken.state.quarantines if each.state is not IsolationState.NORMAL}
            await taken.store.close()
    except StateError as error:
        return Found(told, -1, f"refused: {error}")
    if not held >= held_after(steps):
        return Found(told, steps, f"phantom release: {held_after(steps) - held}")
    return Found(told, steps, "" if taken.rebuilt is None else "rebuilt where nothing was damaged")


def campaign(folder: Path, stride: int) -> tuple[list[tuple[Point, Found]], int]:
    """Strike every `stride`-th point and return what was found wrong, and how many points were struck."""
    chosen = [each for start in STARTS for each in points(folder, start)][::stride]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda point: (point, strike(folder, point)), chosen))
    return [(point, each) for point, each in found if each.problem], len(found)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        wrong, count = campaign(Path(name), int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    for point, each in wrong:
        sys.stdout.write(f"{point} {each}\n")
    sys.stdout.write(f"{count} points struck, {len(wrong)} wrong\n")
    sys.exit(bool(wrong))
