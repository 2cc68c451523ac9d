"""Measures that need a process of their own: ``python -m guard.runtime.bench.child WHAT ...`` prints one JSON line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

__all__ = ["footprint", "main", "ready", "swept"]

_REPLAYS = 3
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return what this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def footprint(count: int, *, is_jitted: bool) -> dict[str, float]:
    """Return the bytes a market takes, whole pipeline and kernel state alone, with `count` markets that have lived for a while."""
    import gc  # noqa: PLC0415 - a child loads what its measure needs

    from guard.features.kernel.groups import GROUP_OF  # noqa: PLC0415 - likewise
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
    return {
        "bytes": (resident_bytes() - before) / count,
        "windows": float(len({leaf.arguments[0] for leaf in subject.engine.kernel.leaves if leaf.field in GROUP_OF})),
    }


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


def swept(jobs: int, steps: int, tapes: list[str], *, is_jitted: bool) -> dict[str, float]:
    """Return what one replay of tapes takes and what a sweep over `jobs` processes does, and how many values that tried.

    Both in seconds of the clock and in seconds of processors.
    """
    from statistics import median  # noqa: PLC0415 - likewise

    from guard.dsl import compile_rules, load_rules, shipped_packs  # noqa: PLC0415 - likewise
    from guard.dsl.trials import trials  # noqa: PLC0415 - likewise
    from guard.runtime.bench.plan import Plan  # noqa: PLC0415 - likewise
    from guard.runtime.bench.rounds import timed  # noqa: PLC0415 - likewise
    from guard.runtime.bench.subject import Build  # noqa: PLC0415 - likewise
    from guard.runtime.bench.tapes import replayed_tape  # noqa: PLC0415 - likewise
    from guard.runtime.clock import SystemClock  # noqa: PLC0415 - likewise
    from guard.runtime.sweep import Measured, Sweep, sweep  # noqa: PLC0415 - likewise

    plan, build, files = Plan(SystemClock()), Build(is_jitted=is_jitted), [Path(tape) for tape in tapes]
    rules = load_rules(shipped_packs())
    program = compile_rules(rules)
    replayed_tape(plan, program, files, build)
    before_s = _processor_s()
    replay_s = median(replayed_tape(plan, program, files, build)[0] for _ in range(_REPLAYS))
    replay_cpu_s = (_processor_s() - before_s) / _REPLAYS
    tried: list[Measured] = []

    def once() -> None:
        # The value in use is among them, so that none is added to them.
        _, settings = trials(rules, "pump_dump", ["levels.danger=0.605..0.89"], steps=steps)
        tried.extend(sweep(Sweep(files, "tape", rules, "pump_dump", settings, jit=is_jitted), jobs=jobs))

    before_s = _processor_s()
    found = {"sweep_s": timed(once, plan.clock), "replay_s": replay_s, "replay_cpu_s": replay_cpu_s}
    return {**found, "sweep_cpu_s": _processor_s() - before_s, "values": len([row for row in tried if row.tried])}


def _processor_s() -> float:
    """Return what this process and its children that ended have had of processors."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def main(words: list[str]) -> None:
    """Run what the words say and print what it returns."""
    what, build, *numbers = words
    is_jitted = build == "jitted"
    match what:
        case "ready":
            found = ready(is_jitted=is_jitted)
        case "sweep":
            found = swept(int(numbers[0]), int(numbers[1]), numbers[2:], is_jitted=is_jitted)
        case _:
            found = footprint(int(numbers[0]), is_jitted=is_jitted)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
