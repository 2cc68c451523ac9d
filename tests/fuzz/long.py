"""The long run of all fuzzers: ``make fuzz SECONDS=60``. Exits 1 where one of them found something."""

from __future__ import annotations

import sys

from fuzz.campaign import campaign
from fuzz.targets import TARGETS

__all__ = ["main"]

_SHOWN = 400


def main(words: list[str]) -> int:
    """Run every target (or those that are named) for so many seconds each, and print what they found."""
    seconds = float(words[0]) if words else 60.0
    seed = int(words[1]) if len(words) > 1 else 1
    names = words[2:] or list(TARGETS)
    found = 0
    for name in names:
        run = campaign(TARGETS[name], seed=seed, seconds=seconds, judges_time=True)
        found += len(run.failures)
        slowest = f"{1e3 * run.slowest_s:.1f} ms for {len(run.slowest)} characters: {run.slowest[:60]!r}"
        print(f"{name:<14} {run.cases:>8} cases  {len(run.failures):>2} failures  slowest {slowest}", flush=True)
        for failure in run.failures:
            print(f"    {failure.where}: {failure.what}\n        {failure.text[:_SHOWN]!r}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
