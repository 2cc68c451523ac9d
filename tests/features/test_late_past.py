"""A past that comes behind live rows: baselines may learn of it, and nothing that is live changes."""

from __future__ import annotations

import pytest
from engine.streams import batches, shipped

from guard.features.kernel import Kernel
from guard.features.kernel.baseline_kinds import baseline_key
from guard.model import Batch, Flag, Kind
from guard.runtime.clock import seeded_random
from guard_sim import tape

S = 1_000_000
SYMBOLS = ["BTC/USDT", "MOON/USDT"]


def late(row: int, first_us: int, now_us: int, seed: int) -> Batch:
    """Return trades from before and after the first live one, all of them told as the past."""
    random, batch = seeded_random(seed), Batch(40)
    stamps = sorted(first_us + int((random.random() - 0.7) * 600 * S) for _ in range(40))
    for number, at_us in enumerate(stamps):
        price, side = 50.0 + 100 * random.random(), (1, -1, 0)[number % 3]
        batch.append(
            Kind.TRADE,
            row,
            at_us=min(at_us, now_us),
            received_us=now_us,
            price=price,
            amount=5.0,
            side=side,
            key=number,
            flags=Flag.BACKFILL,
        )
    return batch


@pytest.mark.parametrize("seed", range(3))
def test_past_behind_live_rows_changes_baselines_alone(seed: int) -> None:
    leaves = tuple(leaf for leaf in shipped().leaves if baseline_key(leaf) is None)
    plain, fed = Kernel(shipped().leaves), Kernel(shipped().leaves)
    for facts in tape.facts(symbols=SYMBOLS):
        for kernel in (plain, fed):
            kernel.open(facts)
    events = tape.events(
        duration_s=70.0,
        history_s=600.0,
        symbols=SYMBOLS,
        schedule=[{"pattern": "pump_dump", "symbol": "MOON/USDT", "at": 40}],
        seed=seed,
    )
    first_us = next(row.received_us for row in events if not row.flags & Flag.BACKFILL and row.kind == Kind.TRADE)
    places = [number for number, leaf in enumerate(shipped().leaves) if leaf in leaves]
    assert places
    for number, batch in enumerate(batches(list(events), 250)):
        for kernel in (plain, fed):
            for place in range(len(batch)):
                kernel.apply(batch, place)
        now_us = batch.received_us[len(batch) - 1]
        if now_us > first_us + S and number % 2:
            told = late(number % 2, first_us, now_us, seed * 1_000 + number)
            for place in range(len(told)):
                fed.apply(told, place)
        for row in range(len(SYMBOLS)):
            ours, theirs = (kernel.values(row, now_us) for kernel in (plain, fed))
            differ = [shipped().leaves[place] for place in places if ours[place] != theirs[place] and ours[place] == ours[place]]
            known = [shipped().leaves[place] for place in places if ours[place] != ours[place] and theirs[place] == theirs[place]]
            assert not differ, (number, differ)
            assert not known, (number, known)
