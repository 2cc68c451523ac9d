"""What it costs to read a tape, by stage, with no engine: python tests/bench/bench_tape.py FILES.

CPU time of this process, best of five, in ms and in ns per row.
"""

from __future__ import annotations

import gzip
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "connectors")]

from guard_tape import Tape
from guard_tape.blocks import Blocks
from guard_tape.columns import length, rows_of
from guard_tape.merge import merged
from guard_tape.rows import TradeFile
from guard_tape.seams import Seams

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 5
_BATCH = 65_536


def best(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the least CPU time of some rounds, and what the last one gave."""
    rounds = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        answer = work()
        rounds.append(time.process_time() - began)
    return min(rounds), answer


def unpack(path: Path) -> None:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        while file.read(1 << 20):
            pass


def drain(paths: list[Path], *, as_lists: bool = False) -> int:
    rows = 0
    for _, batch in Tape(paths, exchange="x").batches(_BATCH):
        rows += len(batch.plain() if as_lists else batch)
    return rows


def main(paths: list[Path]) -> None:
    whole, rows = best(lambda: drain(paths))
    stages = {"whole tape": whole, "whole tape, as lists": best(lambda: drain(paths, as_lists=True))[0]}
    files = [path for path in paths if path.suffix != ".parquet"]
    if files == paths:
        unpacked, _ = best(lambda: [unpack(path) for path in files])
        decoded, tables = best(lambda: [list(Blocks(TradeFile(path, "x"))) for path in files])
        seamed, kept = best(lambda: [[*map((seams := Seams()).take, some), seams.finish()] for some in tables])
        as_rows = [[rows_of(table) for table in some if table is not None and length(table)] for some in kept]
        merging, _ = best(lambda: list(merged(as_rows)))
        stages |= {"unpack": unpacked, "decode": decoded - unpacked, "seams": seamed, "merge": merging}
        stages["markets, batches"] = max(1e-9, whole - decoded - seamed - merging)
    for name, seconds in stages.items():
        print(f"{name:<22} {1000 * seconds:9.1f} ms {1e9 * seconds / rows:8.0f} ns a row {rows / seconds / 1e6:8.2f} M rows/s")


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[1:]])
