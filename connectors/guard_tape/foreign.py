"""Files of others as rows of a batch: Tardis' CSV, and Binance's public dumps."""

from __future__ import annotations

import csv
import gzip
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from io import StringIO
from itertools import combinations
from typing import IO, TYPE_CHECKING, Any, Final, cast

import numpy as np

from guard.errors import ConfigurationError, MalformedEvent, Problem
from guard.model import Flag, Kind, event_key
from guard_tape.blocks import cells_of, grid, mapped, whole_lines
from guard_tape.cells import MARGIN, Text
from guard_tape.columns import Rows, length
from guard_tape.layouts import counts_contracts, layout_of, span_of
from guard_tape.messages import Messages
from guard_tape.rows import EARLIEST_MS, EXAMPLES_MAX, LARGEST, LATEST_MS
from guard_tape.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from guard.model import MarketFacts
    from guard_tape.columns import Integers
    from guard_tape.layouts import Layout
    from guard_tape.markets import Markets
    from guard_tape.names import Names

__all__ = ["ForeignFile", "ForeignTables", "foreign_file", "opened", "refuse_twice"]

_BLOCK_BYTES: Final = 1 << 20
_FIRST_LINE_MAX: Final = 1 << 12
_MARGIN: Final = bytes(MARGIN)
_TRUTHS: Final = {"true": 1, "false": 0}
_EARLIEST_US, _LATEST_US = EARLIEST_MS * 1000, LATEST_MS * 1000
_KEY_MAX: Final = (1 << 63) - 1


def opened(path: Path) -> IO[bytes]:
    """Open a file, unpacked: plain, .gz, or .zip with one member; nothing of it is written anywhere."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix != ".zip":
        return path.open("rb")
    with zipfile.ZipFile(path) as archive:  # what is opened inside keeps the file open until it is closed itself
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise zipfile.BadZipFile(f"a dump has one file inside, this has {len(members)}")
        return archive.open(members[0])


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Make a ConfigurationError that names the file of what goes wrong in reading it."""
    try:
        yield
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        problem = Problem(str(path), 1, 1, "T001", "unreadable-tape", "error", f"the file cannot be read: {error}")
        raise ConfigurationError(problem) from error


def foreign_file(path: Path, names: Names) -> ForeignFile | None:
    """Return a file of others, known by its first line and its name; None where it is none of them. Raises ConfigurationError."""
    if counts_contracts(path.name):
        message = "a dump of Binance's COIN-M futures counts contracts, which are not read as amounts"
        raise ConfigurationError(Problem(str(path), 1, 1, "T001", "unreadable-tape", "error", message, hint="take spot or USD-M"))
    with readable(path), opened(path) as file:
        lines = file.read(_FIRST_LINE_MAX).decode("utf-8", "replace").splitlines()
    if not lines:
        return None
    header = next(csv.reader(lines[:1]), [])
    layout = layout_of(header, path.name)
    if layout is None:
        return None
    data = lines[1:2] if layout.has_header else lines[:1]
    return ForeignFile(path, layout, names, first=next(csv.reader(data), []))


def refuse_twice(files: Sequence[ForeignFile]) -> None:
    """Raise ConfigurationError where two dumps hold the same trades: of one symbol, one within the time of the other."""
    spans = [(file, span) for file in files if file.layout.source != "tardis" and (span := span_of(file.path.name)) is not None]
    for (one, (symbol, when)), (other, (again, then)) in combinations(spans, 2):
        if (one.layout.source, symbol) == (other.layout.source, again) and (when.startswith(then) or then.startswith(when)):
            message = f"its trades of {symbol} in {max(when, then, key=len)} are in {one.path} too: each would count twice"
            hint = "give one of trades and aggTrades, and one of a month and its days"
            raise ConfigurationError(Problem(str(other.path), 1, 1, "T001", "unreadable-tape", "error", message, hint=hint))


class ForeignFile:
    """One file of others; see `Layout`. Attributes are those of `guard_tape.rows.TradeFile`.

    `streams` maps symbols, as the file says them, to what the whole tape has of them.
    """

    def __init__(self, path: Path, layout: Layout, names: Names, *, first: list[str]) -> None:
        self.path = path
        self.layout = layout
        self.rejected: Counter[str] = Counter()
        self.examples: list[str] = []
        self.repeated = 0
        self.streams: dict[str, frozenset[str]] = {}
        self._names = names
        self._first = first if len(first) == layout.width else [""] * layout.width

    @property
    def exchange(self) -> str:
        """The exchange as the file names it."""
        return self._first[self.layout.exchange] if self.layout.exchange >= 0 else self.layout.source

    @property
    def first_symbol(self) -> str:
        """The symbol of the first row, as the file says it; "" for a file whose name does not hold it, which may have many."""
        if self.layout.symbol:
            return self.layout.symbol
        symbol = self._first[self.layout.symbol_at]
        return symbol if symbol.replace("/", "-").upper() in self.path.name.upper() else ""

    def facts(self, symbol: str) -> MarketFacts:
        """Return the facts of a market. Raises ConfigurationError where nobody knows its unified symbol."""
        streams = self.streams.get(symbol, frozenset()) | self.streams.get("", frozenset()) | {self.layout.holds}
        try:
            return self._names.facts(self.exchange, symbol, linear=self.layout.source == "binanceusdm", streams=streams)
        except ValueError as error:
            message = f"the unified symbol of {symbol[:40]!r} on {self.exchange[:40]!r} is not known"
            problem = Problem(
                str(self.path), 1, 1, "T007", "symbol-not-known", "error", message, hint=f"--symbol {symbol[:40]}=BASE/QUOTE"
            )
            raise ConfigurationError(problem) from error

    def reject(self, reason: str, line: int) -> None:
        """Count a row that cannot be."""
        self.rejected[reason] += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(f"{self.path}:{line}: {reason}")


class ForeignTables:
    """The tables of a file of others; `market` numbers `markets`, where its symbols are entered."""

    def __init__(self, file: ForeignFile, markets: Markets) -> None:
        self._file = file
        self._layout = file.layout
        self._markets = markets
        self._symbols = Symbols(plain=True)
        self._numbers: NDArray[np.int32] = np.empty(0, np.int32)

    def __iter__(self) -> Iterator[Rows]:
        """Yield tables of bounded size. Raises ConfigurationError where the file cannot be read."""
        if self._layout.holds == "trades":
            yield from self._tables()
            return
        messages = Messages()
        for rows in self._tables():
            yield from messages.take(rows)
        yield from messages.finish()

    def _tables(self) -> Iterator[Rows]:
        with readable(self._file.path), opened(self._file.path) as stream:
            lines = int(self._layout.has_header)
            if lines:
                stream.readline(_FIRST_LINE_MAX)
            rest = b""
            while True:
                text = stream.read(_BLOCK_BYTES)
                block, rest = whole_lines(rest, text)
                if len(rest) > _BLOCK_BYTES:
                    line = lines + block.count(b"\n") + 1
                    raise OSError(f"line {line} has more than {_BLOCK_BYTES} characters")
                if block:
                    rows = self._plain(block)
                    yield self._by_rows(block, lines) if rows is None else rows
                    lines += block.count(b"\n")
                if not text:
                    return

    def _number(self, symbols: NDArray[np.int32]) -> NDArray[np.int32]:
        names = self._symbols.names
        if len(self._numbers) < len(names):
            new = [self._markets.enter(self._file.facts(name), is_silent=True) for name in names[len(self._numbers) :]]
            self._numbers = np.append(self._numbers, np.array(new, np.int32))
        return self._numbers[symbols]

    def _plain(self, block: bytes) -> Rows | None:
        """Return a block as columns; None where a row of it is not as expected."""
        layout = self._layout
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        if b'"' in block or not block.isascii():
            return None
        text = Text(_MARGIN + block)
        ends = grid(text, layout.width)
        if ends is None:
            return None
        symbol = self._symbol(text, ends)
        stamp = _stamps(text, ends, layout.stamp, is_us=layout.is_us)
        arrived = stamp if layout.arrived < 0 else _stamps(text, ends, layout.arrived, is_us=True)
        side = mapped(text, *cells_of(ends, layout.side), layout.sides)
        price, amount = text.floats(*cells_of(ends, layout.price)), text.floats(*cells_of(ends, layout.amount))
        if symbol is None or stamp is None or arrived is None or side is None or price is None or amount is None:
            return None
        is_book = layout.holds == "book"
        if not ((price > 0.0) & (price <= LARGEST) & (amount <= LARGEST) & ((amount >= 0.0) if is_book else (amount > 0.0))).all():
            return None
        flags = np.where(side == 0, np.int8(Flag.INFERRED_SIDE), np.int8(0))
        if is_book:
            snapshot = mapped(text, *cells_of(ends, layout.snapshot), _TRUTHS)
            if snapshot is None:
                return None
            flags = snapshot * np.int8(Flag.SNAPSHOT)
        count = len(ends)
        return Rows(
            kind=np.full(count, int(Kind.LEVEL if is_book else Kind.TRADE), np.int8),
            market=self._number(symbol),
            at_us=np.minimum(stamp, arrived),
            received_us=arrived,
            price=price,
            amount=amount,
            side=side,
            key=self._keys(text, ends),
            flags=flags,
        )

    def _symbol(self, text: Text, ends: NDArray[Any]) -> NDArray[np.int32] | None:
        if self._layout.symbol_at < 0:
            return np.full(len(ends), self._symbols.number(self._layout.symbol), np.int32)
        return self._symbols.numbers(text, *cells_of(ends, self._layout.symbol_at))

    def _keys(self, text: Text, ends: NDArray[Any]) -> Integers:
        if self._layout.key < 0:
            return np.zeros(len(ends), np.int64)
        starts, stops = cells_of(ends, self._layout.key)
        keys = text.integers(starts, stops)
        if keys is None:
            spelled = (text.spelled(a, b) for a, b in zip(starts.tolist(), stops.tolist(), strict=True))
            keys = np.array([_key(each) for each in spelled], np.int64)
        return keys

    def _by_rows(self, block: bytes, lines_before: int) -> Rows:
        reader = csv.reader(StringIO(block.decode("utf-8", "replace"), newline=""))
        made: list[tuple[Any, ...]] = []
        while True:
            try:
                cells = next(reader, None)
                if cells is None:
                    break
                if cells:
                    made.append(self._row(cells))
            except csv.Error:
                self._file.reject("csv", lines_before + reader.line_num)
            except MalformedEvent as error:
                self._file.reject(error.reason, lines_before + reader.line_num)
        columns: list[Any] = list(zip(*made, strict=True)) or [()] * 9
        types = (np.int8, np.int32, np.int64, np.int64, np.float64, np.float64, np.int8, np.int64, np.int8)
        rows = Rows(*(np.array(column, kind) for column, kind in zip(columns, types, strict=True)))
        return rows._replace(market=self._number(rows.market)) if length(rows) else rows

    def _row(self, cells: list[str]) -> tuple[Any, ...]:
        layout = self._layout
        if len(cells) != layout.width:
            raise MalformedEvent("columns missing" if len(cells) < layout.width else "columns beyond the last")
        symbol = layout.symbol if layout.symbol_at < 0 else cells[layout.symbol_at]
        if not symbol:
            raise MalformedEvent("symbol")
        stamp = _stamp(cells[layout.stamp], is_us=layout.is_us)
        arrived = stamp if layout.arrived < 0 else _stamp(cells[layout.arrived], is_us=True)
        side = layout.sides.get(cells[layout.side].lower())
        if side is None:
            raise MalformedEvent("side")
        is_book = layout.holds == "book"
        price, amount = _number(cells[layout.price], "price"), _number(cells[layout.amount], "amount")
        if price <= 0.0 or amount < 0.0 or (amount == 0.0 and not is_book):
            raise MalformedEvent("price" if price <= 0.0 else "amount")
        flags = int(Flag.INFERRED_SIDE) if side == 0 else 0
        if is_book:
            snapshot = _TRUTHS.get(cells[layout.snapshot].lower())
            if snapshot is None:
                raise MalformedEvent("is_snapshot")
            flags = snapshot * int(Flag.SNAPSHOT)
        key = 0 if layout.key < 0 else _key(cells[layout.key])
        kind = int(Kind.LEVEL if is_book else Kind.TRADE)
        return kind, self._symbols.number(symbol), min(stamp, arrived), arrived, price, amount, side, key, flags


def _stamps(text: Text, ends: NDArray[Any], place: int, *, is_us: bool) -> Integers | None:
    found = text.integers(*cells_of(ends, place))
    if found is None:
        return None
    found = found if is_us else np.where(found <= LATEST_MS, found * 1000, found)
    return found if ((found >= _EARLIEST_US) & (found <= _LATEST_US)).all() else None


def _stamp(cell: str, *, is_us: bool) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 16):  # noqa: PLR2004 - as the columns have it
        raise MalformedEvent("timestamp")
    found = int(cell)
    found = found * 1000 if not is_us and found <= LATEST_MS else found
    if not _EARLIEST_US <= found <= _LATEST_US:
        raise MalformedEvent("timestamp")
    return found


def _number(cell: str, name: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise MalformedEvent(name) from None
    if not abs(value) <= LARGEST:
        raise MalformedEvent(name)
    return value


def _key(cell: str) -> int:
    if cell.isascii() and cell.isdecimal() and int(cell[:20]) <= _KEY_MAX:
        return int(cell)
    return event_key(cell)
