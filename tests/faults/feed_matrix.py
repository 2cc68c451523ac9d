"""``python -m faults.feed_matrix SEEDS [DIALECTS [FAULTS [TIER]]]``: every fault on every dialect, so many seeds each."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from typing import TYPE_CHECKING

from faults.feed_run import PLANS, Outcome, through

from guard_sim.dialects import DIALECTS

if TYPE_CHECKING:
    from collections.abc import Iterable

AT_ONCE = 6


async def matrix(seeds: Iterable[int], dialects: list[str], faults: list[str], tier: str = "auto") -> int:
    """Print one line a fault and dialect, and each thing that went wrong; return how many did."""
    told: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    wrong = 0
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(dialect: str, seed: int) -> None:
        nonlocal wrong

        def take(outcome: Outcome) -> None:
            nonlocal wrong
            told[dialect, outcome.fault].append(outcome)
            wrong += len(outcome.wrong)
            for text in outcome.wrong:
                print(f"WRONG {dialect} seed {seed} {outcome.fault}: {text}", flush=True)  # noqa: T201 - a command

        async with gate:
            names = [name for name in faults if name != "expire_token" or dialect == "kucoin"]
            try:
                uncaught = await through(dialect, names, seed=seed, on_outcome=take, options={"tier": tier})
            except Exception as error:  # noqa: BLE001 - one run of many
                uncaught = [f"the run ended with {error!r}"]
            wrong += len(uncaught)
            for text in uncaught:
                print(f"UNCAUGHT {dialect} seed {seed}: {text}", flush=True)  # noqa: T201 - a command

    await asyncio.gather(*(one(dialect, seed) for seed in seeds for dialect in dialects))
    for (dialect, fault), outcomes in sorted(told.items()):
        bad = sum(bool(outcome.wrong) for outcome in outcomes)
        slowest = max(outcome.live_s for outcome in outcomes)
        print(f"{dialect:<8} {fault:<15} {len(outcomes):>3} seeds  {bad:>3} wrong  live again in {slowest:.1f} s at most")  # noqa: T201
    return wrong


def main(words: list[str]) -> int:
    """Run what the command line asks for."""
    first, _, last = (words[0] if words else "3").partition("-")
    seeds = range(int(first), int(last) + 1) if last else range(1, int(first) + 1)
    dialects = words[1].split(",") if len(words) > 1 and words[1] else list(DIALECTS)
    faults = words[2].split(",") if len(words) > 2 and words[2] else list(PLANS)
    tier = words[3] if len(words) > 3 else "auto"
    wrong = asyncio.run(matrix(seeds, dialects, faults, tier))
    print(f"{wrong} things went wrong")  # noqa: T201 - a command
    return min(1, wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
