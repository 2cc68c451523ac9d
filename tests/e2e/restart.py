"""How long a guard that is killed with -9 takes from its start to its first correct answer; `make restart` does it 20 times."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from guard.client import Guard
from guard.runtime.clock import seeded_random

CONFIG = """\
version: 1
mode: enforce
rules: [guard:pump_dump]
exchanges: {sim: {connector: sim, markets: ["*/USDT"], options: {seed: 7, symbols: [BTC/USDT, MOON/USDT, SUDS/USDT]}}}
"""
BAR_S = 1.0
_DEADLINE_S = 60.0
_LOOK_S = 0.002


def started(folder: Path) -> subprocess.Popen[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}
    command = [sys.executable, "-m", "guard", "run", "--json"]
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, cwd=folder, env=kept, stdout=subprocess.DEVNULL, stderr=log)


def first_answer(folder: Path, guard: subprocess.Popen[bytes], epoch: int, *, blocked: bool) -> tuple[int, float]:
    """Wait until a bot is answered by a guard of a later epoch, and return that and the seconds since now."""
    began = time.monotonic()
    bot = Guard(folder / ".guard")
    while time.monotonic() - began < _DEADLINE_S:
        free, held = bot.check("sim", "SUDS/USDT", "buy"), bot.check("sim", "MOON/USDT", "buy")
        if free.epoch is not None and free.epoch > epoch and free.reason != "guard_silent":
            assert not blocked or held.status == "blocked", held
            return free.epoch, time.monotonic() - began
        assert guard.poll() is None, (folder / "log").read_text()[-2000:]
        time.sleep(_LOOK_S)
    raise AssertionError("no answer")


def campaign(kills: int) -> list[float]:
    """Return the seconds that each restart took."""
    chance, found = seeded_random(3), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "guard.yaml").write_text(CONFIG)
        guard = started(folder)
        try:
            epoch, _ = first_answer(folder, guard, 0, blocked=False)
            hold = [sys.executable, "-m", "guard", "quarantine", "add", "sim:MOON/USDT", "--for", "1h", "--reason", "restarts"]
            for _ in range(100):
                if subprocess.run(hold, cwd=folder, capture_output=True, check=False).returncode == 0:
                    break
                time.sleep(0.2)
            for _ in range(kills):
                time.sleep(0.2 + 2 * chance.random())
                guard.send_signal(signal.SIGKILL)
                guard.wait(10)
                guard = started(folder)
                epoch, seconds = first_answer(folder, guard, epoch, blocked=True)
                found.append(seconds)
        finally:
            guard.kill()
            guard.wait(10)
    return found


if __name__ == "__main__":
    times = sorted(campaign(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
    middle, worst = times[len(times) // 2], times[-1]
    sys.stdout.write(f"{len(times)} restarts after kill -9: median {middle:.2f} s, slowest {worst:.2f} s, bar {BAR_S:g} s\n")
    sys.exit(worst > BAR_S)
