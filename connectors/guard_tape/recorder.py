"""Recording while it happens: a queue that never blocks, and a thread that writes."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from guard.errors import GuardError
from guard.model import Control, Kind
from guard_tape.arrow import parquet
from guard_tape.columns import Rows, taken
from guard_tape.facts import market_record
from guard_tape.folder import WHOLE, File, Folder, Keep
from guard_tape.spool import Limits, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guard.model import Batch, MarketFacts
    from guard_tape.spool import Place

__all__ = ["Recorder", "RecorderHealth"]

# Between two looks at the queue; what a process loses that is killed.
_FLUSH_S: Final = 0.25
_NOTES_MAX: Final = 256
_TIDY_US: Final = 60_000_000
_CLOSE_S: Final = 120.0
_QUEUE_ROWS_MAX: Final = 1_000_000
_RECORD: Final = np.dtype(
    {
        "names": Rows._fields,
        "formats": ["i1", "i4", "i8", "i8", "f8", "f8", "i1", "i8", "i1"],
        "offsets": [44, 40, 0, 8, 16, 24, 45, 32, 46],
        "itemsize": 48,
    }
)


class RecorderHealth(NamedTuple):
    """How recording fares.

    `problem` is why nothing is written now, None while all is well. `kinds` counts rows written by kind; `lost` those that were
    not, `holes` how often; `bytes` what was written while live, `compacted` what that takes now; `waiting` rows in the queue;
    `let_go` segments that are kept no longer; `notes` lines for a person.
    """

    problem: str | None
    kinds: Mapping[int, int]
    lost: int
    holes: int
    bytes: int
    compacted: int
    segments: int
    waiting: int
    let_go: int
    notes: tuple[str, ...]


class Recorder:
    """Takes rows and notes at any rate, and writes them as segments in a thread of its own.

    Parameters
    ----------
    path
        ``X.parquet`` makes one file of that name when it is closed, and ``X.arrows`` until then; anything else is a folder of
        segments, where the oldest are let go.
    clock
        The clock.
    limits, keep
        When a segment ends, and what is kept of those that ended.
    chooses
        Whether a market is recorded; None records all.
    kinds
        Rows of which kinds are recorded, besides gaps, statuses and CONTROL rows; None records all.
    rows_max
        Rows that may wait for the disk, 48 bytes each; what comes then is dropped, counted, and a hole of the recording.

    Notes
    -----
    A process that is killed loses what it took within the last half second. A disk that is full, or fails, stops the recording and
    nothing else: `health` tells the problem, every five seconds it is tried again, and the hole is marked. Raises
    ConfigurationError where pyarrow is not installed and StateError where the place cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Any,  # noqa: ANN401 - the part of guard.model.ports.Clock that does not wait
        limits: Limits | None = None,
        keep: Keep | None = None,
        chooses: Callable[[MarketFacts], bool] | None = None,
        kinds: frozenset[int] | None = None,
        rows_max: int = _QUEUE_ROWS_MAX,
    ) -> None:
        parquet(path)
        self.path = path
        self.is_whole = chooses is None and kinds is None
        self._chooses = chooses
        self._left_out = () if kinds is None else tuple({int(Kind.TRADE), int(Kind.LEVEL)} - kinds)
        self._clock = clock
        self._rows_max = rows_max
        self._place: Place = File(path) if path.suffix == WHOLE else Folder(path, keep or Keep())
        self._to_finish: deque[Path] = deque(self._place.left_over())
        self._spool = Spool(
            self._place,
            limits or Limits(),
            now_us=clock.now_us,
            monotonic_us=clock.monotonic_us,
            finished=self._to_finish.append,
        )
        self._queue: deque[Any] = deque()
        self._opened = 0
        # Rows that went in, and out: each is written by one thread.
        self._in, self._out = 0, 0
        self._dropped, self._dropped_since_us, self._dropped_until_us = 0, 0, 0
        self._numbers = np.empty(0, np.int32)
        self._kept = 0
        self._compacted = 0
        self._let_go = 0
        self._notes: deque[str] = deque(maxlen=20)
        self._crash: str | None = None
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._finisher = threading.Thread(target=self._finish, name="recorder, finished segments", daemon=True)
        self._writer.start()
        self._finisher.start()

    def market(self, facts: MarketFacts) -> int:
        """Enter a market and return its number, which the column `market` of later batches means: 0, 1, ..."""
        is_kept = self._chooses is None or self._chooses(facts)
        self._queue.append(("market", facts, is_kept))
        self._opened += 1
        return self._opened - 1

    def course(self, part: Mapping[str, Any]) -> None:
        """Say what a live run is beside its events, as JSON can hold it, as far as it was not said before."""
        self._queue.append(("course", part))

    def append(self, batch: Batch) -> None:
        """Take the rows of a batch, which may be reused afterwards."""
        count = len(batch)
        if not count:
            return
        if self._in - self._out + count > self._rows_max or self._crash is not None:
            self._dropped_since_us = self._dropped_since_us or int(batch.received_us[0])
            self._dropped_until_us = int(batch.received_us[count - 1])
            self._dropped += count
            return
        if self._dropped:
            self._tell_dropped()
        self._queue.append(bytes(batch.records[: count * _RECORD.itemsize]) if batch.address else _copied(batch, count))
        self._in += count

    def _tell_dropped(self) -> None:
        self._queue.append(("hole", self._dropped, self._dropped_since_us, self._dropped_until_us))
        self._dropped, self._dropped_since_us, self._dropped_until_us = 0, 0, 0

    def close(self) -> bool:
        """Write all that waits, compact it, and return whether all of it is there.

        It waits for four minutes at most, and is safe to call twice.
        """
        if self._dropped:
            self._tell_dropped()
        self._stop.set()
        self._writer.join(_CLOSE_S)
        self._finisher.join(_CLOSE_S)
        self._place.close()
        return not self._writer.is_alive() and not self._finisher.is_alive() and self.health().problem is None

    def health(self) -> RecorderHealth:
        """Return the counters as they stand."""
        spool = self._spool
        return RecorderHealth(
            self._crash or spool.problem,
            dict(spool.kinds),
            spool.lost + self._dropped,
            spool.holes + bool(self._dropped),
            spool.bytes,
            self._compacted,
            spool.segments,
            self._in - self._out,
            self._let_go,
            tuple(self._notes),
        )

    def _write(self) -> None:
        try:
            while not self._stop.wait(_FLUSH_S):
                self._take()
            self._take()
            self._spool.close()
        except Exception as error:  # noqa: BLE001 - a recorder that fails must end nothing else; it is told
            self._crash = f"the recorder failed: {error!r}"

    def _take(self) -> None:
        # A note may stand before rows that came before it: what it says is of use for later ones only.
        notes: list[Mapping[str, Any]] = []
        waiting: list[Any] = []
        for _ in range(len(self._queue)):
            item = self._queue.popleft()
            if isinstance(item, bytes | Rows):
                waiting.append(item)
            elif item[0] == "hole":
                self._put(notes, waiting)
                notes, waiting = [], []
                _, count, since_us, until_us = item
                self._spool.hole("more came than was written", rows=count, since_us=since_us, until_us=until_us)
            else:
                notes += self._note(item)
        self._put(notes, waiting)
        self._spool.look()

    def _put(self, notes: list[Mapping[str, Any]], waiting: list[Any]) -> None:
        for start in range(0, len(notes), _NOTES_MAX):
            self._spool.note({"notes": notes[start : start + _NOTES_MAX]})
        parts: list[Rows] = []
        for start in range(0, len(waiting), 64):
            parts += _tables(waiting[start : start + 64])
        for rows in parts:
            self._out += len(rows.kind)
            kept = rows if self.is_whole else self._chosen(rows)
            self._spool.rows(kept)

    def _chosen(self, rows: Rows) -> Rows:
        numbers = self._numbers[rows.market]
        # A CONTROL row speaks of no market; without the course of the run only a detector's demotion means something.
        is_control = rows.kind == int(Kind.CONTROL)
        numbers = np.where(is_control, 0, numbers).astype(np.int32)
        stays = (numbers >= 0) & (~is_control | (rows.side == int(Control.DEMOTE_DETECTOR)))
        for kind in self._left_out:
            stays &= rows.kind != kind
        (places,) = np.nonzero(stays) if self._kept else (np.empty(0, np.int64),)
        return taken(rows._replace(market=numbers), places)

    def _note(self, item: tuple[Any, ...]) -> list[Mapping[str, Any]]:
        if item[0] == "course":
            return [{"course": item[1]}] if self.is_whole else []
        _, facts, is_kept = item
        self._numbers = np.append(self._numbers, np.int32(self._kept if is_kept else -1))
        if not is_kept:
            return []
        self._kept += 1
        return [{"market": market_record(facts), "number": self._kept - 1}]

    def _finish(self) -> None:
        tidied_us = 0
        failed: set[Path] = set()
        while True:
            is_last = not self._writer.is_alive()
            while self._to_finish:
                self._compact(self._to_finish.popleft(), failed)
            now_us = self._clock.monotonic_us()
            if is_last:
                for live in sorted(failed):
                    self._compact(live, set())
                return
            if not tidied_us or now_us - tidied_us >= _TIDY_US:
                tidied_us = now_us
                self._tidy()
                self._to_finish.extend(failed)
                failed.clear()
            self._stop.wait(_FLUSH_S) if not self._stop.is_set() else self._writer.join(_FLUSH_S)

    def _compact(self, live: Path, failed: set[Path]) -> None:
        try:
            self._compacted += self._place.finish(live)
            self._tidy()
        except (GuardError, OSError) as error:
            failed.add(live)
            self._notes.append(f"{live.name} is not compacted: {error}")
        except Exception as error:  # noqa: BLE001 - likewise: the segment stays, which is a recording too
            self._notes.append(f"{live.name} is not compacted: {error!r}")

    def _tidy(self) -> None:
        try:
            self._let_go += self._place.tidy(now_us=self._clock.now_us(), live=self._spool.live)
        except OSError as error:
            self._notes.append(f"old segments stay: {error}")


def _copied(batch: Batch, count: int) -> Rows:
    return Rows(*(np.array(getattr(batch, name)[:count], _RECORD[name]) for name in Rows._fields))


def _tables(items: list[Any]) -> list[Rows]:
    """Return what was copied out of batches as tables, in order."""
    made: list[Rows] = []
    pieces: list[bytes] = []
    for item in [*items, None]:
        if isinstance(item, bytes):
            pieces.append(item)
            continue
        if pieces:
            records = np.frombuffer(b"".join(pieces), _RECORD)
            made.append(Rows(*(np.ascontiguousarray(records[name]) for name in Rows._fields)))
            pieces = []
        if item is not None:
            made.append(item)
    return made
