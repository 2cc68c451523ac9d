"""What a slot of the snapshot holds, so that one market costs the same among ten as among ten thousand.

::

    top       frame     numbers of fixed size: lengths, epoch, seq, clocks, flags
              rest      JSON: mode, blocks, policies; equal bytes are not read twice
              index     for each bucket: offset, length, CRC32
    buckets   JSON      the markets whose name hashes there

The slot's checksum, bound to its generation, covers the top; the index covers the buckets. A bucket that a later generation has
overwritten does not fit its checksum: `Overwritten`, and the reader looks again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from struct import Struct, error
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from guard.client.layout import PACKED, top_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Frame", "Overwritten", "PackedMarkets", "bucket_rows", "pack", "split"]

_FRAME = Struct("<4sIIIIqqqqq")
_ENTRY = Struct("<III")
_PER_BUCKET = 16
_NAMES_MAX = 65_536
_BUCKETS_MAX = 2048
_DURABLE, _RUNNING = 1, 2
_write = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


class Overwritten(ValueError):
    """The place of a market's bytes holds something else: a later generation, or damage."""


class Frame(NamedTuple):
    """The top of a payload, in its parts: numbers, the bytes of `rest`, and the index of the `buckets` behind `top`."""

    epoch: int
    seq: int
    durable: bool
    is_running: bool
    at_us: int
    wall_us: int
    boot_ns: int
    rest: bytes
    buckets: bytes
    top: int


def pack(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of what `guard.client.payload.document` made. Raises ValueError for a number that is not finite."""
    markets: Mapping[str, Any] = document["markets"]
    rest = _bytes({name: value for name, value in document.items() if name not in _IN_FRAME})
    count = -(-len(markets) // _PER_BUCKET)
    sorted_out: list[list[tuple[str, tuple[Any, ...]]]] = [[] for _ in range(count)]
    for name, view in markets.items():
        # Its score moves all the time and no answer carries it.
        sorted_out[_hash(name) % count].append((name, (view[0], view[1], None, *view[3:])))
    buckets = [_bucket(tuple(rows)) for rows in sorted_out]
    top = _FRAME.size + len(rest) + count * _ENTRY.size
    index, at = bytearray(), top
    for content, crc in buckets:
        index += _ENTRY.pack(at, len(content), crc)
        at += len(content)
    flags = (document["durable"] and _DURABLE) | (document["running"] and _RUNNING)
    numbers = [document[name] for name in ("epoch", "seq", "at_us", "wall_us", "boot_ns")]
    frame = _FRAME.pack(PACKED, top, len(rest), count, flags, *numbers)
    return b"".join([frame, rest, index, *(content for content, _ in buckets)])


_IN_FRAME = frozenset({"epoch", "seq", "durable", "running", "at_us", "wall_us", "boot_ns", "markets"})


def split(top: bytes) -> Frame:
    """Return the parts of a payload's top. Raises ValueError where the lengths do not fit each other."""
    try:
        _, length, rest, count, flags, epoch, seq, at_us, wall_us, boot_ns = _FRAME.unpack_from(top)
    except error as problem:
        raise ValueError(f"not a snapshot of guard: {problem}") from problem
    if length != len(top) or length != _FRAME.size + rest + count * _ENTRY.size or top_bytes(top) != length:
        raise ValueError("not a snapshot of guard: its parts do not fit")
    end = _FRAME.size + rest
    return Frame(
        epoch,
        seq,
        bool(flags & _DURABLE),
        bool(flags & _RUNNING),
        at_us,
        wall_us,
        boot_ns,
        top[_FRAME.size : end],
        top[end:],
        length,
    )


class PackedMarkets(Mapping[str, "list[Any]"]):
    """The markets of one generation, read when they are asked for.

    Parameters
    ----------
    frame
        The top they belong to.
    read
        Returns so many bytes from an offset within the payload, fewer where there are no more.
    known
        Buckets that were read before, of any generation of the same file: (length, CRC) and rows by number. Grows to the number of
        buckets.

    Notes
    -----
    Raises `Overwritten` where the bytes do not fit their checksum. Two that say the same are equal.
    """

    __slots__ = ("_count", "_index", "_known", "_read")

    def __init__(
        self, frame: Frame, read: Callable[[int, int], bytes], known: dict[int, tuple[int, int, dict[str, list[Any]]]]
    ) -> None:
        self._index = frame.buckets
        self._count = len(frame.buckets) // _ENTRY.size
        self._read = read
        self._known = known

    def __getitem__(self, name: str) -> list[Any]:
        """Return the view of a market, `guard.model.MarketView` in order; raises KeyError where it is not watched."""
        if not self._count:
            raise KeyError(name)
        return self._rows(_hash(name) % self._count)[name]

    def __iter__(self) -> Iterator[str]:
        for number in range(self._count):
            yield from self._rows(number)

    def __len__(self) -> int:
        return sum(len(self._rows(number)) for number in range(self._count))

    def __eq__(self, other: object) -> bool:
        return dict(self) == dict(other) if isinstance(other, Mapping) else NotImplemented

    __hash__ = None  # type: ignore[assignment] # as a dict

    def _rows(self, number: int) -> dict[str, list[Any]]:
        at, length, crc = _ENTRY.unpack_from(self._index, number * _ENTRY.size)
        known = self._known.get(number)
        if known is not None and known[0] == length and known[1] == crc:
            return known[2]
        content = self._read(at, length)
        if len(content) != length or crc32(content) != crc:
            raise Overwritten("the checksum of its markets does not fit")
        rows = bucket_rows(content)
        self._known[number] = (length, crc, rows)
        return rows


def bucket_rows(content: bytes) -> dict[str, list[Any]]:
    """Return the markets in the bytes of one bucket. Raises ValueError for anything that guard would not write."""
    try:
        rows = json.loads(content.decode("utf-8", "surrogatepass"))
    except RecursionError as problem:
        raise ValueError("not a snapshot of guard: too deep") from problem
    if not isinstance(rows, dict) or not all(map(_is_view, rows.values())):
        raise ValueError("not a snapshot of guard: its markets are no mapping of views")
    return rows


def _is_view(view: object) -> bool:
    if not isinstance(view, list) or len(view) < _VIEW_MIN:
        return False
    listed = view[_VIEW_MIN] if len(view) > _VIEW_MIN else None
    return isinstance(view[0], str) and isinstance(view[1], str) and (listed is None or type(listed) is int)


_VIEW_MIN = 5


def _bytes(value: object) -> bytes:
    return _write(value).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=_NAMES_MAX)
def _hash(name: str) -> int:
    return crc32(name.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=_BUCKETS_MAX)
def _bucket(rows: tuple[tuple[str, tuple[Any, ...]], ...]) -> tuple[bytes, int]:
    content = _bytes(dict(rows))
    return content, crc32(content)
