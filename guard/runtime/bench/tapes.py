"""``guard replay`` over CSV tapes, start-up excluded, with and without the compiled kernel."""

from __future__ import annotations

import csv
import gzip
import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from guard.dsl import compile_rules, load_rules, shipped_packs
from guard.pipeline import Settings
from guard.runtime.bench.made import made
from guard.runtime.bench.recordings import BATCH_ROWS
from guard.runtime.bench.rounds import interleaved, timed
from guard.runtime.bench.rows import Bar, Row, judged, skipped
from guard.runtime.bench.subject import Build, best_build
from guard.runtime.bench.workload import EXCHANGES, Markets, stream, trades_of
from guard.runtime.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.dsl import Program
    from guard.runtime.bench.plan import Plan
    from guard.runtime.bench.workload import Columns

__all__ = ["made_tape", "measure", "replayed_tape"]

_BARS = {"jitted": 600_000.0, "plain": 60_000.0}
_MARKETS = 20
_TRADES_A_SECOND = 30.0


def measure(plan: Plan) -> Iterator[Row]:
    """Yield trades a second of a whole replay with the shipped rules: files in, decision log out."""
    best = best_build(plan)
    builds = [build for build in (Build(is_jitted=True), Build(is_jitted=False)) if build.is_jitted <= best.is_jitted]
    rules = compile_rules(load_rules(shipped_packs()))
    with TemporaryDirectory(prefix="guard-bench-") as folder:
        paths = plan.tapes or (made_tape(plan, Path(folder)),)
        (_, events) = replayed_tape(plan, rules, paths, builds[-1])
        figures = interleaved([partial(_seconds, plan, rules, paths, build) for build in builds], plan.rounds)
    whose = f"{len(paths)} tapes" if plan.tapes else "a made tape"
    rows = {
        name: Row(f"c.{name}", f"guard replay, {whose}, {events:,} trades", "trades/s", name, Bar(least, is_ceiling=False))
        for name, least in _BARS.items()
    }
    for build, seconds in zip(builds, figures, strict=True):
        yield judged(rows.pop(build.name), [events / each for each in seconds])
    for row in rows.values():
        yield skipped(row, best.why_not)


def _seconds(plan: Plan, rules: Program, paths: Sequence[Path], build: Build) -> float:
    return replayed_tape(plan, rules, paths, build)[0]


def replayed_tape(plan: Plan, rules: Program, paths: Sequence[Path], build: Build) -> tuple[float, int]:
    """Return seconds and trades of one replay, as the command does it but for printing."""
    pipeline = made(rules, Settings(references={"tape": "BTC/USDT"}), is_jitted=build.is_jitted)
    written: list[str] = []
    replay = Replay(
        pipeline, batch_rows=BATCH_ROWS, write=lambda record: written.append(json.dumps(record)), takes_arrays=build.is_jitted
    )
    seconds = timed(lambda: replay.run(list(paths), exchange="tape", clock=plan.clock), plan.clock)
    return seconds, replay.events


def made_tape(plan: Plan, folder: Path) -> Path:
    """Write trades of a seeded stream as the tapes of `guard replay` are."""
    markets = Markets(_MARKETS * len(EXCHANGES))
    trades = trades_of(stream(markets, int(200_000 * plan.scale), per_second=_TRADES_A_SECOND))
    path = folder / "made.csv.gz"
    with gzip.open(path, "wt", encoding="utf-8", newline="", compresslevel=1) as file:
        writer = csv.writer(file)
        writer.writerow(("symbol", "timestamp", "datetime", "side", "price", "amount"))
        writer.writerows(_cells(trades))
    return path


def _cells(trades: Columns) -> Iterator[tuple[object, ...]]:
    columns = (trades.market.tolist(), trades.at_us.tolist(), trades.side.tolist(), trades.price.tolist(), trades.amount.tolist())
    for market, at_us, side, price, amount in zip(*columns, strict=True):
        yield f"C{market // len(EXCHANGES)}/USDT", at_us // 1000, "", "buy" if side > 0 else "sell", f"{price:.9f}", f"{amount:.6f}"
