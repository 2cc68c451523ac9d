"""One trade file: its rows, what was refused, and the seams of the pages it was downloaded in."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections import Counter, deque
from contextlib import contextmanager
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, cast

from guard.errors import ConfigurationError, MalformedEvent, Problem
from guard.model import BUY, SELL, Market

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = [
    "COLUMNS",
    "EARLIEST_MS",
    "EXAMPLES_MAX",
    "LARGEST",
    "LATEST_MS",
    "SEAM_ROWS_MAX",
    "SIDES",
    "TapeTrade",
    "TradeFile",
    "repetition",
]

COLUMNS = ("symbol", "timestamp", "side", "price", "amount")
SIDES = {"buy": BUY, "sell": SELL, "": 0, "none": 0, "unknown": 0}
# 2000-01-01 and 2100-01-01 in milliseconds: outside lies a file in seconds or microseconds.
EARLIEST_MS, LATEST_MS = 946_684_800_000, 4_102_444_800_000
LARGEST = 1e15
SEAM_ROWS_MAX = 2048
EXAMPLES_MAX = 20


class Reader(Protocol):
    """What `csv.reader` returns."""

    @property
    def line_num(self) -> int:
        """Lines read so far."""
        ...

    def __next__(self) -> list[str]: ...

    def __iter__(self) -> Iterator[list[str]]: ...


class TapeTrade(NamedTuple):
    """One recorded trade: price in quote per base, amount in base, side of the taker (0 = unknown)."""

    at_us: int
    market: Market
    side: int
    price: float
    amount: float


class TradeFile:
    """Trades of a CSV file (plain or .gz) with the columns symbol, timestamp (ms), side, price, amount, in file order.

    A row that cannot be a trade is counted in `rejected` by reason, with `file:line` of the first ones in `examples`. A block
    that a download page repeated is dropped and counted in `repeated`: rows that step back in time onto what was already
    read, or one stamp whose rows stand there twice in the same order. Equal fills inside one stamp stay.
    """

    def __init__(self, path: Path, exchange: str) -> None:
        self.path = path
        self.exchange = exchange
        self.rejected: Counter[str] = Counter()
        self.examples: list[str] = []
        self.repeated = 0

    def __iter__(self) -> Iterator[TapeTrade]:
        """Yield the trades; raises ConfigurationError where the file cannot be read or has other columns."""
        return _without_seams(self, self._parsed())

    def _parsed(self) -> Iterator[TapeTrade]:
        with self.readable(), TextIOWrapper(self.opened(), encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            yield from self.rows(reader, self.places(next(reader, [])))

    def opened(self) -> IO[bytes]:
        """Open the file, unpacked. Use it inside of `readable`."""
        return cast("IO[bytes]", gzip.open(self.path, "rb")) if self.path.suffix == ".gz" else self.path.open("rb")

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Make a ConfigurationError that names the file of what goes wrong in reading it."""
        try:
            yield
        except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
            raise ConfigurationError(
                Problem(str(self.path), 1, 1, "T001", "unreadable-tape", "error", f"the file cannot be read: {error}")
            ) from error

    def rows(self, reader: Reader, places: Sequence[int], *, lines_before: int = 0) -> Iterator[TapeTrade]:
        """Yield the trades of a csv reader, seams and all; `lines_before` stand above what it reads."""
        while True:
            try:
                row = next(reader, None)
                if row is None:
                    return
                if row:
                    yield self._trade([row[at] for at in places])
            except csv.Error:
                self._reject("csv", lines_before + reader.line_num)
            except IndexError:
                self._reject("columns missing", lines_before + reader.line_num)
            except MalformedEvent as error:
                self._reject(error.reason, lines_before + reader.line_num)

    def places(self, header: list[str]) -> list[int]:
        """Return where a file has `COLUMNS`; raises ConfigurationError where one is missing."""
        names = [name.strip().lower() for name in header]
        missing = [name for name in COLUMNS if name not in names]
        if missing:
            found = ",".join(header)[:80]
            raise ConfigurationError(
                Problem(
                    str(self.path),
                    1,
                    1,
                    "T002",
                    "tape-columns",
                    "error",
                    f"no column {', '.join(missing)}; found {found!r}" if header else "the file is empty",
                    hint=f"a tape begins with a line that names {','.join(COLUMNS)} (others may stand between)",
                )
            )
        return [names.index(name) for name in COLUMNS]

    def _trade(self, cells: list[str]) -> TapeTrade:
        symbol, stamp, side, price, amount = cells
        if "/" not in symbol:
            raise MalformedEvent("symbol")
        if side.lower() not in SIDES:
            raise MalformedEvent("side")
        return TapeTrade(
            _milliseconds(stamp) * 1000,
            Market(self.exchange, symbol),
            SIDES[side.lower()],
            _positive(price, "price"),
            _positive(amount, "amount"),
        )

    def _reject(self, reason: str, line: int) -> None:
        self.rejected[reason] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{self.path}:{line}: {reason}")


def _positive(text: str, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise MalformedEvent(name) from None
    if not math.isfinite(value) or not 0.0 < value <= LARGEST:
        raise MalformedEvent(name)
    return value


def _milliseconds(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise MalformedEvent("timestamp") from None
    if not EARLIEST_MS <= value <= LATEST_MS:
        raise MalformedEvent("timestamp")
    return value


def _without_seams(file: TradeFile, trades: Iterator[TapeTrade]) -> Iterator[TapeTrade]:
    seen: deque[TapeTrade] = deque(maxlen=SEAM_ROWS_MAX)
    for stamp in _stamps(_without_steps_back(file, trades, seen)):
        repeated = repetition(stamp)
        kept = stamp[:repeated] + stamp[2 * repeated :] if repeated else stamp
        file.repeated += len(stamp) - len(kept)
        seen.extend(kept)
        yield from kept


def _without_steps_back(file: TradeFile, trades: Iterator[TapeTrade], seen: deque[TapeTrade]) -> Iterator[TapeTrade]:
    newest_us = 0
    expected: list[TapeTrade] = []
    for trade in trades:
        if trade.at_us < newest_us and not expected:
            expected = _tail_from(seen, trade)
        if expected and expected[0] == trade:
            expected.pop(0)
            file.repeated += 1
            continue
        expected = []
        newest_us = max(newest_us, trade.at_us)
        yield trade


def _tail_from(seen: deque[TapeTrade], trade: TapeTrade) -> list[TapeTrade]:
    rows = list(seen)
    return rows[rows.index(trade) :] if trade in seen else []


def _stamps(trades: Iterator[TapeTrade]) -> Iterator[list[TapeTrade]]:
    group: list[TapeTrade] = []
    for trade in trades:
        if group and trade.at_us != group[0].at_us:
            yield group
            group = []
        group.append(trade)
    if group:
        yield group


def repetition(stamp: Sequence[object]) -> int:
    """Return how many rows of a stamp stand there twice, one block after the other, from its first row on."""
    # A page that starts at the last stamp of the one before repeats that stamp whole: [a b | a b], or [a b | a b c] where the
    # page was cut inside it. [a a b] is two equal fills: a single row counts as a page only where nothing follows.
    for length in range(len(stamp) // 2, 0, -1):
        is_whole = 2 * length == len(stamp)
        if (is_whole or length > 1) and stamp[:length] == stamp[length : 2 * length]:
            return length
    return 0
