"""The frames of a live segment: an Arrow IPC stream that is whole up to its last frame, whenever its writer is killed.

Each frame is a record batch of rows, perhaps none, with metadata of its own: ``guard.first``, the number of its first row in the
segment; ``guard.crc``, over its columns, that number and its note; ``guard.note``, JSON that stands before the rows;
``guard.standing`` where the rows are no events but what stood when the segment began. Any reader of Arrow streams reads it.
"""

from __future__ import annotations

import json
import zlib
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, unlike its name
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from guard_tape.arrow import ROWS_MAX, schema
from guard_tape.columns import Rows, cut, length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["END", "Damage", "Frame", "FrameWriter", "Torn", "frames_of", "no_rows"]

_PREFIX: Final = Struct("<II")
_CONTINUES: Final = 0xFFFFFFFF
# A note holds rules and markets, a body at most ROWS_MAX rows.
_META_MAX: Final = 1 << 27
_BODY_MAX: Final = 1 << 24
_SCAN: Final = 1 << 20
_U32, _I32, _U16, _I64 = Struct("<I"), Struct("<i"), Struct("<H"), Struct("<q")
# Where the vtable of a flatbuffers `Message` names its body's length.
_BODY_FIELD: Final = 10
_FIRST, _CRC, _NOTE, _STANDING = b"guard.first", b"guard.crc", b"guard.note", b"guard.standing"


END: Final = _PREFIX.pack(_CONTINUES, 0)
"""What ends the stream."""


class Frame(NamedTuple):
    """One frame: its rows, a note that stands before them, the number of the first row, and whether they tell what stood."""

    rows: Rows
    note: Mapping[str, Any] | None
    first: int
    is_standing: bool


class Torn(NamedTuple):
    """What lies after the last whole frame of a file that was not closed."""

    bytes: int


class Damage(NamedTuple):
    """Bytes within a file that are no frame; the rows that were there are counted by the frame after them."""

    offset: int
    bytes: int


class _Pieces:
    """What pyarrow writes to, taken away after each frame."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self.pieces.append(bytes(data))
        return len(self.pieces[-1])

    def flush(self) -> None:
        """Do nothing: it is in memory."""

    def close(self) -> None:
        """Do nothing either."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class FrameWriter:
    """Makes the frames of one segment; what it returns is to be written in order, each whole or not at all.

    The first frame has the stream's schema before it.
    """

    def __init__(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        self._arrow = pa
        self._schema = schema()
        self._pieces = _Pieces()
        self._stream = pa.ipc.new_stream(self._pieces, self._schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        self.rows = 0

    def frames(self, rows: Rows, *, is_standing: bool = False) -> bytes:
        """Return rows as frames."""
        parts = [cut(rows, start, start + ROWS_MAX) for start in range(0, length(rows), ROWS_MAX)]
        return b"".join(self._frame(part, None, is_standing=is_standing) for part in parts)

    def note(self, note: Mapping[str, Any]) -> bytes:
        """Return a note as a frame without rows."""
        return self._frame(no_rows(), note, is_standing=False)

    def _frame(self, rows: Rows, note: Mapping[str, Any] | None, *, is_standing: bool) -> bytes:
        text = b"" if note is None else json.dumps(note, separators=(",", ":"), allow_nan=False).encode()
        about = {_FIRST: str(self.rows).encode(), _CRC: str(_crc(rows, self.rows, text)).encode()}
        if text:
            about[_NOTE] = text
        if is_standing:
            about[_STANDING] = b"1"
        arrays = [self._arrow.array(column) for column in rows]
        self._stream.write_batch(self._arrow.record_batch(arrays, schema=self._schema), custom_metadata=about)
        self.rows += length(rows)
        made = b"".join(self._pieces.pieces)
        self._pieces.pieces.clear()
        return made


def no_rows() -> Rows:
    """Return a table without rows."""
    return Rows(*(np.empty(0, field.type.to_pandas_dtype()) for field in schema()))


def _crc(rows: Rows, first: int, note: bytes) -> int:
    crc = zlib.crc32(note, first & 0xFFFFFFFF)
    for column in rows if length(rows) else ():
        crc = zlib.crc32(np.ascontiguousarray(column).data, crc)
    return crc


def frames_of(file: IO[bytes], size: int) -> Iterator[Frame | Damage | Torn]:
    """Yield the frames of an open file up to `size` bytes, what is damaged between them, and what is torn at its end.

    Memory is bounded by one frame. After damage it goes on with the next frame whose checksum is right.
    """
    reader = _Reader(file, size)
    at, lost_from = 0, None
    while at < size:
        found, end = reader.frame(at)
        if end is None:
            lost_from = at if lost_from is None else lost_from
            at = reader.next_mark(at + 1)
            continue
        if lost_from is not None:
            yield Damage(lost_from, at - lost_from)
            lost_from = None
        if found is not None:
            yield found
        at = end
    if lost_from is not None:
        yield Torn(size - lost_from)


class _Reader:
    def __init__(self, file: IO[bytes], size: int) -> None:
        import pyarrow as pa  # noqa: PLC0415 - an extra

        self._arrow = pa
        self._file = file
        self._size = size
        self._schema = _stream_start()

    def frame(self, at: int) -> tuple[Frame | None, int | None]:
        """Return the frame that begins at `at`, None for one without a batch, and where it ends; None where there is none."""
        try:
            self._file.seek(at)
            prefix = self._file.read(_PREFIX.size)
            mark, meta_size = _PREFIX.unpack(prefix)
            if mark != _CONTINUES or not 0 <= meta_size <= _META_MAX or at + _PREFIX.size + meta_size > self._size:
                return None, None
            if meta_size == 0:
                return None, at + _PREFIX.size
            meta = self._file.read(meta_size)
            if prefix + meta == self._schema[: _PREFIX.size + meta_size]:
                return None, at + len(prefix) + meta_size
            body_size = _body_size(meta)
            end = at + _PREFIX.size + meta_size + body_size
            if not 0 <= body_size <= _BODY_MAX or end > self._size:
                return None, None
            made = self._parsed(prefix + meta + self._file.read(body_size))
        except (StructError, ValueError, KeyError, OSError, IndexError, self._arrow.ArrowException):
            return None, None
        return (None, None) if made is None else (made, end)

    def _parsed(self, text: bytes) -> Frame | None:
        stream = self._arrow.ipc.open_stream(self._arrow.py_buffer(self._schema + text))
        batch, about = stream.read_next_batch_with_custom_metadata()
        rows = Rows(*(column.to_numpy(zero_copy_only=True) for column in batch.columns))
        first, note = int(about[_FIRST]), about.get(_NOTE, b"")
        if length(rows) > ROWS_MAX or _crc(rows, first, note) != int(about[_CRC]):
            return None
        return Frame(rows, json.loads(note) if note else None, first, _STANDING in about)

    def next_mark(self, at: int) -> int:
        """Return where the next frame may begin, from `at` on; frames begin at multiples of eight."""
        at += -at % _PREFIX.size
        while self._size - at >= _PREFIX.size:
            self._file.seek(at)
            text = self._file.read(min(_SCAN, (self._size - at) // _PREFIX.size * _PREFIX.size))
            words = np.frombuffer(text, "<u4").reshape(-1, 2)
            (places,) = np.nonzero((words[:, 0] == _CONTINUES) & (words[:, 1] <= _META_MAX))
            if len(places):
                return at + _PREFIX.size * int(places[0])
            at += len(text)
        return self._size


def _body_size(meta: bytes) -> int:
    (root,) = _U32.unpack_from(meta)
    vtable = root - int(_I32.unpack_from(meta, root)[0])
    if vtable < 0 or _U16.unpack_from(meta, vtable)[0] <= _BODY_FIELD:
        return 0
    (offset,) = _U16.unpack_from(meta, vtable + _BODY_FIELD)
    return int(_I64.unpack_from(meta, root + offset)[0]) if offset else 0


def _stream_start() -> bytes:
    """Return the bytes that begin every segment of this version: its schema."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    pieces = _Pieces()
    with pa.ipc.new_stream(pieces, schema()):
        pass
    # The last eight bytes end the stream.
    return b"".join(pieces.pieces)[: -_PREFIX.size]
