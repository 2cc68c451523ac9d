"""Measures that need a process of their own: ``python -m guard.runtime.bench.child WHAT ...`` prints one JSON line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

__all__ = ["footprint", "main", "ready"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return what this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def footprint(count: int, *, is_jitted: bool) -> dict[str, float]:
    """Return the bytes a market takes, whole pipeline and kernel state alone, with `count` markets that have lived for a while."""
    import gc  # noqa: PLC0415 - a child loads what its measure needs

    from guard.features.kernel.layout import windows_of  # noqa: PLC0415 - a child loads what its measure needs
    from guard.runtime.bench.past import past  # noqa: PLC0415 - likewise
    from guard.runtime.bench.subject import pipeline, program  # noqa: PLC0415 - likewise
    from guard.runtime.bench.workload import Markets, batches  # noqa: PLC0415 - likewise

    rules = program()
    markets = Markets(count)
    # One market first: what guard holds once, and what its first evaluation loads, is no market's.
    for some in (Markets(1), markets):
        rows = batches(past(some, seconds=60, per_market_s=0.2, minutes=10))
        gc.collect()
        before = resident_bytes()
        subject = pipeline(rules, some, is_jitted=is_jitted)
        for batch in rows:
            subject.process(batch if is_jitted else batch.plain())
        gc.collect()
    return {"bytes": (resident_bytes() - before) / count, "windows": float(len(windows_of(rules.leaves)))}


def ready(*, is_jitted: bool) -> dict[str, float]:
    """Return once a pipeline with the shipped rules has taken its first trade."""
    from guard.dsl import compile_rules, load_rules, shipped_packs  # noqa: PLC0415 - the import is what is measured
    from guard.model import BUY, Batch, Kind, Market, MarketFacts  # noqa: PLC0415 - likewise
    from guard.pipeline import Settings  # noqa: PLC0415 - likewise
    from guard.runtime.bench.made import made  # noqa: PLC0415 - likewise

    subject = made(compile_rules(load_rules(shipped_packs())), Settings(), is_jitted=is_jitted)
    row = subject.open(MarketFacts(Market("sim", "X/USDT")))
    batch = Batch(1)
    batch.append(Kind.TRADE, row, at_us=1, received_us=1, price=1.0, amount=1.0, side=BUY)
    subject.process(batch)
    return {"evaluations": float(subject.engine.evaluations)}


def main(words: list[str]) -> None:
    """Run what the words say and print what it returns."""
    what, build, *numbers = words
    is_jitted = build == "jitted"
    found = ready(is_jitted=is_jitted) if what == "ready" else footprint(int(numbers[0]), is_jitted=is_jitted)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
