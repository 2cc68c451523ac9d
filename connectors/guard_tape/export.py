"""A tape as files that others read: Tardis' CSV, or guard's own CSV of trades."""

from __future__ import annotations

import gzip
from collections import Counter
from contextlib import ExitStack
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, Any, Final

from guard.errors import ConfigurationError, Problem
from guard.model import Flag, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from guard.model import Batch, MarketFacts
    from guard_tape.tape import Tape

__all__ = ["FORMATS", "export"]

FORMATS: Final = ("tardis", "csv")
_ROWS: Final = 1 << 14
_TRADES: Final = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
_BOOK: Final = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
_OURS: Final = "symbol,timestamp,side,price,amount\n"
_TRADE, _LEVEL = int(Kind.TRADE), int(Kind.LEVEL)
_SIDES: Final = {1: "buy", -1: "sell", 0: "unknown"}
_OUR_SIDES: Final = {1: "buy", -1: "sell", 0: ""}
_BOOK_SIDES: Final = {1: "bid", -1: "ask"}


def export(tape: Tape, folder: Path, form: str) -> dict[str, Any]:
    """Write a tape into `folder`, a file for each exchange and kind of event, and return what was written, JSON-able.

    `form` is ``tardis`` (NAME_trades.csv.gz and NAME_incremental_book_L2.csv.gz) or ``csv`` (NAME.csv.gz, trades in milliseconds).
    Symbols are the unified ones. What the form cannot carry is counted under ``left_out``. Raises ConfigurationError where the tape
    is none, or the folder cannot be written.
    """
    left_out: Counter[str] = Counter()
    markets: list[MarketFacts] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            files = _Files(folder, stack)
            for opened, batch in tape.batches(_ROWS):
                markets += opened
                _tardis(batch.plain(), markets, files, left_out) if form == "tardis" else _ours(
                    batch.plain(), markets, files, left_out
                )
            written = dict(files.rows)
    except OSError as error:
        problem = Problem(str(folder), 1, 1, "T005", "unwritable-recording", "error", f"the files cannot be written: {error}")
        raise ConfigurationError(problem) from error
    return {
        "files": {str(folder / name): rows for name, rows in written.items()},
        "markets": len(markets),
        "left_out": dict(left_out),
        "repeated": tape.repeated,
        "rejected": dict(tape.rejected),
        "rejected_examples": tape.examples,
    }


class _Files:
    """The files, opened when their first row comes."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.rows: Counter[str] = Counter()
        self._folder = folder
        self._stack = stack
        self._open: dict[str, IO[str]] = {}

    def write(self, name: str, header: str, lines: list[str]) -> None:
        """Write lines behind the header."""
        if name not in self._open:
            packed = self._stack.enter_context(gzip.GzipFile(self._folder / name, "wb", compresslevel=6))
            self._open[name] = self._stack.enter_context(TextIOWrapper(packed, encoding="utf-8", newline=""))
            self._open[name].write(header)
        self._open[name].write("".join(lines))
        self.rows[name] += len(lines)


def _tardis(batch: Batch, markets: list[MarketFacts], files: _Files, left_out: Counter[str]) -> None:
    lines: dict[tuple[str, str], list[str]] = {}
    names = [(each.market.exchange, f"{each.market.exchange},{each.market.symbol}") for each in markets]
    for place, kind, flags in _events(batch, left_out):
        exchange, name = names[batch.market[place]]
        times = f"{name},{batch.at_us[place]},{batch.received_us[place]}"
        value = f"{batch.price[place]!r},{batch.amount[place]!r}\n"
        if kind == _TRADE:
            key = batch.key[place] or ""
            line = f"{times},{key},{_SIDES[batch.side[place]]},{value}"
            lines.setdefault((f"{exchange}_trades.csv.gz", _TRADES), []).append(line)
            if batch.side[place] and flags & Flag.INFERRED_SIDE:
                left_out["that a side is inferred"] += 1
        else:
            snapshot = "true" if flags & Flag.SNAPSHOT else "false"
            line = f"{times},{snapshot},{_BOOK_SIDES[batch.side[place]]},{value}"
            lines.setdefault((f"{exchange}_incremental_book_L2.csv.gz", _BOOK), []).append(line)
            left_out["sequence number"] += batch.key[place] != 0
    for (file, header), some in lines.items():
        files.write(file, header, some)
    _drop_zeros(left_out)


def _ours(batch: Batch, markets: list[MarketFacts], files: _Files, left_out: Counter[str]) -> None:
    lines: dict[str, list[str]] = {}
    for place, kind, _ in _events(batch, left_out):
        if kind != _TRADE:
            left_out["level"] += 1
            continue
        market = markets[batch.market[place]].market
        at_us = batch.at_us[place]
        left_out["part of a millisecond"] += at_us % 1000 != 0
        side = _OUR_SIDES[batch.side[place]]
        line = f"{market.symbol},{at_us // 1000},{side},{batch.price[place]!r},{batch.amount[place]!r}\n"
        lines.setdefault(f"{market.exchange}.csv.gz", []).append(line)
    for file, some in lines.items():
        files.write(file, _OURS, some)
    _drop_zeros(left_out)


def _events(batch: Batch, left_out: Counter[str]) -> Iterator[tuple[int, int, int]]:
    """Yield place, kind and flags of the rows that are events of today, and count the others."""
    for place, (kind, flags) in enumerate(zip(batch.kind, batch.flags, strict=True)):
        if kind not in (_TRADE, _LEVEL):
            left_out[Kind(kind).name.lower()] += 1
        elif flags & Flag.BACKFILL:
            left_out["backfill"] += 1
        else:
            yield place, kind, flags


def _drop_zeros(left_out: Counter[str]) -> None:
    for name in [name for name, count in left_out.items() if not count]:
        del left_out[name]
