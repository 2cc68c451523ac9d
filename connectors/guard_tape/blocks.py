"""A trade file as columns, a block of text at a time, with exactly the trades that `TradeFile` reads row by row."""

from __future__ import annotations

import csv
from io import DEFAULT_BUFFER_SIZE, BufferedReader, RawIOBase, StringIO, TextIOWrapper
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from guard.model import Market
from guard_tape.cells import MARGIN, Text
from guard_tape.columns import Trades, length
from guard_tape.rows import EARLIEST_MS, LARGEST, LATEST_MS, SIDES
from guard_tape.symbols import Symbols

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from guard_tape.columns import Integers, Smalls
    from guard_tape.rows import TapeTrade, TradeFile

__all__ = ["Blocks", "cells_of", "grid", "mapped", "whole_lines"]

_BLOCK_BYTES: Final = 1 << 20
_ROWS_MAX: Final = 1 << 14
_CELL_MAX: Final = 1 << 16  # a longer one than twice this is an error to csv
_MARGIN: Final = bytes(MARGIN)
_COMMA, _LINE_FEED = ord(","), ord("\n")
# Every character that could end a cell or a row, or quote one, is below this; all that numbers and names are made of is above.
_DELIMITERS_TO: Final = _COMMA
_HARMLESS: Final = np.isin(np.arange(256), list(b" !#$%&'()*+"))


class Blocks:
    """The trades of a file before its seams are looked at, in file order.

    A block is read as columns where it is plain: ASCII, no quotes, one cell count, every cell as expected. Any other block goes
    through the row reader, and from a quote on the rest of the file does, for a quoted cell may hold the end of a line.
    Rejected rows are counted in the `TradeFile`.
    """

    def __init__(self, file: TradeFile) -> None:
        self.symbols = Symbols()
        self._file = file

    def __iter__(self) -> Iterator[Trades]:
        """Yield tables of bounded size; raises ConfigurationError where the file cannot be read or has other columns."""
        with self._file.readable(), self._file.opened() as stream:
            header = stream.readline()
            if b'"' in header or b"\r" in header[:-2]:
                yield from self._by_rows(_chained(header, stream))
                return
            names = next(csv.reader([header.decode("utf-8")]), [])
            yield from self._from(stream, _Shape(self._file.places(names), len(names)))

    def _from(self, stream: IO[bytes], shape: _Shape) -> Iterator[Trades]:
        lines, rest = 1, b""
        while True:
            text = stream.read(_BLOCK_BYTES)
            block, rest = whole_lines(rest, text)
            if len(rest) > 2 * _BLOCK_BYTES:
                raise OSError(f"a line has more than {2 * _BLOCK_BYTES} characters")
            if b'"' in block or b'"' in rest:
                yield from self._by_rows(_chained(block + rest, stream), places=shape.places, lines_before=lines)
                return
            if block:
                trades = self._plain(block, shape)
                if trades is None:
                    reader = csv.reader(StringIO(block.decode("utf-8"), newline=""))
                    yield from self._tables(self._file.rows(reader, shape.places, lines_before=lines))
                    lines += reader.line_num
                else:
                    yield trades
                    lines += length(trades)
            if not text:
                return

    def _by_rows(self, stream: IO[bytes], *, places: Sequence[int] | None = None, lines_before: int = 0) -> Iterator[Trades]:
        with TextIOWrapper(stream, encoding="utf-8", newline="") as text:
            reader = csv.reader(text)
            columns = self._file.places(next(reader, [])) if places is None else places
            yield from self._tables(self._file.rows(reader, columns, lines_before=lines_before))

    def _tables(self, trades: Iterable[TapeTrade]) -> Iterator[Trades]:
        rows = iter(trades)
        while some := list(islice(rows, _ROWS_MAX)):
            stamps, markets, sides, prices, amounts = zip(*some, strict=True)
            yield Trades(
                at_us=np.array(stamps, np.int64),
                market=np.array([self.symbols.number(market.symbol) for market in markets], np.int32),
                side=np.array(sides, np.int8),
                price=np.array(prices, np.float64),
                amount=np.array(amounts, np.float64),
            )

    def _plain(self, block: bytes, shape: _Shape) -> Trades | None:
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        if not block.isascii():
            return None
        text = Text(_MARGIN + block)
        ends = grid(text, shape.count)
        if ends is None:
            return None
        cells = [cells_of(ends, place) for place in shape.places]
        market = self.symbols.numbers(text, *cells[0])
        at_ms = text.integers(*cells[1])
        side = mapped(text, *cells[2], SIDES)
        if market is None or at_ms is None or side is None or not ((at_ms >= EARLIEST_MS) & (at_ms <= LATEST_MS)).all():
            return None
        price, amount = text.floats(*cells[3]), text.floats(*cells[4])
        if price is None or amount is None or not all(((c > 0.0) & (c <= LARGEST)).all() for c in (price, amount)):
            return None
        return Trades(at_us=at_ms * 1000, market=market, side=side, price=price, amount=amount)

    def market(self, number: int) -> Market:
        """Return the market that a number in the column `market` stands for."""
        return Market(self._file.exchange, self.symbols.names[number])


class _Shape:
    """Where a file has the columns, and how many it has."""

    def __init__(self, places: Sequence[int], count: int) -> None:
        self.places = places
        self.count = count


def whole_lines(rest: bytes, text: bytes) -> tuple[bytes, bytes]:
    """Return what can be read now, ended by a line feed, and the begun line after it."""
    if not text:
        return (rest + b"\n" if rest else b""), b""
    at = text.rfind(b"\n") + 1
    return (rest + text[:at], text[at:]) if at else (b"", rest + text)


def grid(text: Text, count: int) -> NDArray[Any] | None:
    """Return where each cell ends, a row of the table for each row; None where not all rows have `count` cells."""
    ends = np.flatnonzero(text.bytes[MARGIN:] <= _DELIMITERS_TO) + MARGIN
    found = text.bytes[ends]
    harmless = _HARMLESS[found]
    if harmless.any():
        ends, found = ends[~harmless], found[~harmless]
    if len(ends) % count:
        return None
    table = found.reshape(-1, count)
    is_regular = (table[:, :-1] == _COMMA).all() and (table[:, -1] == _LINE_FEED).all()
    if not is_regular or np.diff(ends, prepend=MARGIN).max(initial=0) > _CELL_MAX:
        return None
    return ends.reshape(-1, count)


def cells_of(ends: NDArray[Any], place: int) -> tuple[Integers, Integers]:
    """Return where the cells of one column start and end."""
    if place:
        return ends[:, place - 1] + 1, ends[:, place].copy()
    starts = np.empty(len(ends), np.int64)
    starts[:1] = MARGIN
    starts[1:] = ends[:-1, -1] + 1
    return starts, ends[:, 0].copy()


def mapped(text: Text, starts: Integers, ends: Integers, names: Mapping[str, int]) -> Smalls | None:
    """Return what a column of words of at most eight letters stands for; None where one is not among `names`."""
    if (ends - starts).max(initial=0) > max(map(len, names)):
        return None
    words = text.lowered(starts, ends)
    sides: Smalls = np.zeros(len(words), np.int8)
    is_known = np.zeros(len(words), np.bool_)
    for name, side in names.items():
        is_it = words == np.uint64(int.from_bytes(name.encode().rjust(8, b"\0"), "little"))
        sides[is_it] = side
        is_known |= is_it
    return sides if is_known.all() else None


class _Chain(RawIOBase):
    """Some bytes, then a stream."""

    def __init__(self, begin: bytes, stream: IO[bytes]) -> None:
        self._begin = memoryview(begin)
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        text = self._begin[: len(buffer)]
        if text:
            self._begin = self._begin[len(text) :]
        else:
            text = memoryview(self._stream.read(len(buffer)))
        buffer[: len(text)] = text
        return len(text)


def _chained(begin: bytes, stream: IO[bytes]) -> IO[bytes]:
    return BufferedReader(_Chain(begin, stream), DEFAULT_BUFFER_SIZE)
