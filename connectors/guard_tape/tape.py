"""Several recordings as one tape."""

from __future__ import annotations

import heapq
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guard.errors import ConfigurationError, Problem
from guard.model import Batch
from guard_tape.chain import Chain
from guard_tape.columns import cut, length
from guard_tape.cutting import cut_tape
from guard_tape.export import export
from guard_tape.folder import LIVE, WHOLE, Keep, parts_of
from guard_tape.foreign import ForeignFile, ForeignTables, foreign_file, refuse_twice
from guard_tape.markets import Markets
from guard_tape.merge import merged
from guard_tape.names import Names
from guard_tape.recorder import Recorder
from guard_tape.recording import Recording, RecordingTables
from guard_tape.rows import TapeTrade, TradeFile
from guard_tape.segment import Segment
from guard_tape.spool import Limits
from guard_tape.summary import convert, summarize
from guard_tape.trades import TradeTables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from guard.model import MarketFacts
    from guard_tape.columns import Rows

__all__ = ["Tape", "TapeTrade"]


class Tape:
    """Events of several files, merged by time of arrival, then by the order in which the files are given.

    Parameters
    ----------
    paths
        CSV files, plain or .gz, see `TradeFile`; recordings in Parquet, see `Recording`, whose errors are raised at once.
    exchange
        Name under which the markets of CSV files appear, ``binance``; a recording names its own.
    symbols
        Unified symbols of markets that files of others name as their exchange does, where they cannot be known otherwise.

    Examples
    --------
    >>> Tape([], exchange="binance").repeated
    0
    """

    def __init__(self, paths: Sequence[str | Path], *, exchange: str, symbols: Mapping[str, str] | None = None) -> None:
        self._exchange = exchange
        self._unreadable: list[dict[str, Any]] = []
        self._tapes = _tapes([Path(path) for path in paths], exchange, Names(exchange, symbols or {}), self._unreadable)
        self.files = [tape for tape in self._tapes if isinstance(tape, TradeFile)]
        self._foreign = [tape for tape in self._tapes if isinstance(tape, ForeignFile)]
        self._readers: list[TradeFile | ForeignFile] = [*self.files, *self._foreign]
        refuse_twice(self._foreign)
        _tell_streams(self._foreign)

    def __iter__(self) -> Iterator[TapeTrade]:
        """Yield the trades of CSV files in order of time, row by row. Raises ConfigurationError for a file that is no tape."""
        return heapq.merge(*self.files, key=lambda trade: trade.at_us)

    @property
    def exchanges(self) -> set[str]:
        """Names of the exchanges whose markets may appear."""
        recorded = {facts.market.exchange for tape in self._tapes if isinstance(tape, Recording | Chain) for facts in tape.markets}
        foreign = {file.facts(symbol).market.exchange for file in self._foreign if (symbol := file.first_symbol)}
        return recorded | foreign | ({self._exchange} if self.files else set())

    def batches(self, rows_max: int) -> Iterator[tuple[tuple[MarketFacts, ...], Batch]]:
        """Yield all events in order, in batches of at most `rows_max` rows, over columns of numpy.

        Before each batch stand the markets that its first row opens; markets are numbered in that order, from 0. The first row of
        a market of trade files says that its trades are live. Raises ConfigurationError for a file that is no tape.
        """
        markets = Markets()
        for table in merged([_tables(tape, markets) for tape in self._tapes]):
            for opened, rows in markets.opening(table):
                facts = opened
                for start in range(0, length(rows), rows_max):
                    yield facts, Batch.over(**cut(rows, start, start + rows_max)._asdict())
                    facts = ()

    @staticmethod
    def recorder(path: Path, **options: Any) -> Recorder:  # noqa: ANN401 - those of Recorder
        """Return what records while it happens; takes what `Recorder` and its `Limits` and `Keep` do, and raises as it does."""
        limits = Limits(**{name: options.pop(name) for name in Limits._fields if name in options})
        keep = Keep(**{name: options.pop(f"keep_{name}") for name in Keep._fields if f"keep_{name}" in options})
        return Recorder(path, limits=limits, keep=keep, **options)

    @property
    def course(self) -> dict[str, Any] | None:
        """What the live run was beside its events; None where there are several files, or the file came of none."""
        tape = self._tapes[0] if len(self._tapes) == 1 else None
        return tape.course if isinstance(tape, Recording | Chain) else None

    @property
    def runs(self) -> list[str]:
        """Names of the runs whose segments are here: what the names of their files begin with."""
        return [tape.run for tape in self._tapes if isinstance(tape, Chain)]

    @property
    def holes(self) -> list[dict[str, Any]]:
        """What is known to be missing on recordings, each with the file and the reason."""
        return [*self._unreadable, *(hole for tape in self._tapes if isinstance(tape, Chain) for hole in tape.holes)]

    def summary(self) -> dict[str, Any]:
        """Read all and return what is there, JSON-able: rows by kind, times, markets, what was refused."""
        return summarize(self)

    def convert(self, path: Path) -> dict[str, Any]:
        """Write all as one recording in Parquet and return what was written, JSON-able. Raises ConfigurationError."""
        return convert(self, path)

    def cut(self, path: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - those of cut_tape
        """Write a piece as one recording and return what was written, JSON-able; see `cut_tape`."""
        return cut_tape(self, path, **options)

    def export(self, folder: Path, form: str) -> dict[str, Any]:
        """Write files that others read and return what was written, JSON-able; see `guard_tape.export.export`."""
        return export(self, folder, form)

    @property
    def repeated(self) -> int:
        """Rows dropped because a download page repeated them."""
        return sum(file.repeated for file in self._readers)

    @property
    def rejected(self) -> Counter[str]:
        """Rows refused, by reason."""
        total: Counter[str] = Counter()
        for file in self._readers:
            total += file.rejected
        return total

    @property
    def examples(self) -> list[str]:
        """``file:line: reason`` of the first rows refused in each file."""
        return [example for file in self._readers for example in file.examples]


def _tell_streams(files: Sequence[ForeignFile]) -> None:
    """Tell each file what all of them have of its markets; a file of many symbols stands for all."""
    for file in files:
        for other in files:
            if other.exchange == file.exchange:
                file.streams[other.first_symbol] = file.streams.get(other.first_symbol, frozenset()) | {other.layout.holds}


def _tapes(
    paths: Sequence[Path], exchange: str, names: Names, unreadable: list[dict[str, Any]]
) -> list[TradeFile | ForeignFile | Recording | Chain]:
    """Return what the files are, in order; segments of one run are one, where the first of them stands.

    Of a folder what cannot be read is put down in `unreadable` and left out, as long as anything can be read.
    """
    found: list[TradeFile | ForeignFile | Recording | str] = []
    runs: dict[str, list[Recording | Segment]] = {}
    problem: ConfigurationError | None = None
    for path, is_of_folder in _files(paths):
        try:
            tape = _tape(path, exchange, names)
        except ConfigurationError as error:
            problem = error
            if not is_of_folder:
                raise
            unreadable.append({"file": path.name, "reason": error.problems[0].message})
            continue
        if isinstance(tape, TradeFile | ForeignFile) or (isinstance(tape, Recording) and tape.notes is None):
            found.append(tape)
            continue
        assert tape.notes is not None
        if tape.notes.run not in runs:
            found.append(tape.notes.run)
        runs.setdefault(tape.notes.run, []).append(tape)
    if problem is not None and not found:
        raise problem
    return [Chain(runs[tape]) if isinstance(tape, str) else tape for tape in found]


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    for path in paths:
        if path.is_dir():
            parts = [part for _, _, part in parts_of(path)]
            if not parts:
                text = "the folder holds no segment of a recording, named RUN-NUMBER.parquet or RUN-NUMBER.arrows"
                raise ConfigurationError(Problem(str(path), 1, 1, "T004", "unreadable-recording", "error", text))
            yield from ((part, True) for part in parts)
        else:
            yield path, False


def _tape(path: Path, exchange: str, names: Names) -> TradeFile | ForeignFile | Recording | Segment:
    if path.suffix == LIVE:
        whole = path.with_suffix(WHOLE)
        # It may have been compacted since the folder was read.
        return Segment(path) if path.exists() or not whole.exists() else Recording(whole)
    if path.suffix == WHOLE or _begins_as_parquet(path):
        return Recording(path)
    return foreign_file(path, names) or TradeFile(path, exchange)


def _begins_as_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1"
    except OSError:
        return False  # the reader says what is wrong with it


def _tables(tape: TradeFile | ForeignFile | Recording | Chain, markets: Markets) -> Iterable[Rows]:
    if isinstance(tape, ForeignFile):
        return ForeignTables(tape, markets)
    return TradeTables(tape, markets) if isinstance(tape, TradeFile) else RecordingTables(tape, markets)
