"""How long `Guard.check` takes, against a plain `dict.get` in the same run: ``python tests/bench/bench_check.py``.

Prints one JSON document and exits 1 where a bar is missed. Machines are noisy, so the bars that count are ratios of medians over
interleaved rounds; the absolute figures (aims: p50 0.5 us, p99 5 us) are printed beside them. `paced` asks as a bot does,
each time more than a millisecond after the last: caches are cold, and the live file is looked at anew.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from client.images import image, quarantine

from guard.client import Guard
from guard.client.clock import MACHINE
from guard.model import MarketView
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 40
CALLS = 5_000
MARKETS = 300
RATIO_MAX = 12.0
P99_RATIO_MAX = 40.0
now_ns = MACHINE.boot_ns


def per_call(ask: Callable[[], object]) -> float:
    """Return nanoseconds a call, the loop included."""
    began = now_ns()
    for _ in range(CALLS):
        ask()
    return (now_ns() - began) / CALLS


def one_by_one(ask: Callable[[], object], *, pause_s: float = 0.0, calls: int = CALLS) -> list[int]:
    """Return the sorted nanoseconds of single calls, the clock included."""
    times = []
    for _ in range(calls):
        if pause_s:
            time.sleep(pause_s)
        began = now_ns()
        ask()
        times.append(now_ns() - began)
    return sorted(times)


def main() -> int:
    """Measure, print, and tell whether the bars hold."""
    with tempfile.TemporaryDirectory() as folder:
        publisher = SnapshotPublisher(folder, SystemClock())
        markets = {f"sim:M{number}/USDT": MarketView("ok", "normal", 0.1, 3, 3) for number in range(MARKETS)}
        publisher.publish(image(quarantine(), markets=markets), epoch=1, seq=1, durable=True)
        publisher.beat()
        guard = Guard(Path(folder) / "guard.snapshot")
        table = {f"M{number}/USDT": number for number in range(MARKETS)}
        check = partial(guard.check, "sim", "M7/USDT")
        get = partial(table.get, "M7/USDT")
        rounds = []
        for _ in range(ROUNDS):
            publisher.beat()
            rounds.append((per_call(check), per_call(get)))
        publisher.beat()
        singles = one_by_one(check)
        floor = one_by_one(get)
        publisher.beat()
        paced = one_by_one(check, pause_s=0.0015, calls=800)
        is_live = check().permitted
        publisher.stop()
    check_ns, get_ns = (statistics.median(column) for column in zip(*rounds, strict=True))
    p99, floor_p99 = singles[len(singles) * 99 // 100], floor[len(floor) * 99 // 100]
    document = {
        "check_ns": round(check_ns),
        "dict_get_ns": round(get_ns),
        "ratio": round(check_ns / get_ns, 1),
        "ratio_max": RATIO_MAX,
        "check_p50_p99_ns": [singles[len(singles) // 2], p99],
        "dict_get_p50_p99_ns": [floor[len(floor) // 2], floor_p99],
        "p99_ratio": round(p99 / floor_p99, 1),
        "p99_ratio_max": P99_RATIO_MAX,
        "paced_p50_p99_ns": [paced[len(paced) // 2], paced[len(paced) * 99 // 100]],
        "live": is_live,
    }
    print(json.dumps(document))
    return 0 if is_live and check_ns / get_ns <= RATIO_MAX and p99 / floor_p99 <= P99_RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
