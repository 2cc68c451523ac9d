"""The file in which a running guard keeps what it learnt, for the next start: its form, writing and reading.

All numbers are little-endian::

    "guardckp"  u16 form  u32 length  header (JSON)  u32 CRC of the header
    for each market:  u16 length  name  i64 copied_us  u32 length  u32 CRC of name, time and body  body
    "guardend"

A body is one zlib stream: u32 length, JSON (`episodes`, and the name and length of each section), then the sections' bytes one
after the other. Sections are the kernel's: it names what lies in them, takes those it knows and starts the others cold.
"""

from __future__ import annotations

import json
import os
import zlib
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, unlike its name
from typing import TYPE_CHECKING, Any, NamedTuple

from guard.errors import StateError
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["Entry", "Header", "Kept", "pack", "read", "unpack", "write"]

FORM = 1
_MAGIC, _END = b"guardckp", b"guardend"
_START, _COUNT, _ENTRY, _CRC = Struct("<8sHI"), Struct("<H"), Struct("<qII"), Struct("<I")
FILE_MAX = 1 << 28
BODY_MAX = 1 << 24
_MARKETS_MAX = 20_000
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError, RecursionError, StructError, zlib.error, OverflowError)


class Header(NamedTuple):
    """What holds for the whole file.

    `layout` is the version of the kernel's layout: rows of another one cannot be read. `code` tells guard's version, `saved_us` the
    local time of writing.
    """

    layout: int
    code: str
    saved_us: int


class Entry(NamedTuple):
    """A market as it lies in the file: its body packed, and the local time at which it was copied."""

    copied_us: int
    body: bytes


class Kept(NamedTuple):
    """What is kept of one market: episodes by the hash of their rule, and the kernel's sections by name."""

    episodes: Mapping[str, Any]
    sections: Mapping[str, bytes]


def pack(kept: Kept) -> bytes:
    """Return a market's body. Raises StateError where it is larger than 16 MiB."""
    names = [[name, len(content)] for name, content in kept.sections.items()]
    head = json.dumps({"episodes": kept.episodes, "sections": names}, separators=(",", ":")).encode()
    plain = b"".join((_CRC.pack(len(head)), head, *kept.sections.values()))
    if len(plain) > BODY_MAX:
        raise StateError(f"{len(plain)} bytes are kept of one market; at most {BODY_MAX} are allowed")
    return zlib.compress(plain, 1)


def unpack(body: bytes) -> Kept:
    """Return what `pack` was given. Raises StateError where it is damaged."""
    try:
        inflate = zlib.decompressobj()
        plain = inflate.decompress(body, BODY_MAX + 1)
        if len(plain) > BODY_MAX or not inflate.eof:
            raise StateError(f"a kept market is damaged: it ends too early, or holds more than {BODY_MAX} bytes")
        (length,) = _CRC.unpack_from(plain)
        at = _CRC.size + length
        head = json.loads(plain[_CRC.size : at])
        sections = {}
        for name, size in head["sections"]:
            if not isinstance(name, str) or size < 0 or at + size > len(plain):
                raise StateError("a kept market is damaged: a section does not fit")
            sections[name] = plain[at : at + size]
            at += size
        return Kept(dict(head["episodes"]), sections)
    except _DAMAGED as error:
        raise StateError(f"a kept market is damaged: {error!r}") from error


def write(path: Path, header: Header, entries: Mapping[str, Entry]) -> int:
    """Put a new file in place of the old one, all or nothing, and return its size in bytes.

    It is on the disk when this returns. Raises OSError, and StateError where it would be larger than 256 MiB.
    """
    size = sum(len(entry.body) for entry in entries.values())
    if size > FILE_MAX // 2:
        raise StateError(f"the kept state has {size} bytes; at most {FILE_MAX // 2} are allowed")
    return replace_file(path, _parts(header, entries))


def _parts(header: Header, entries: Mapping[str, Entry]) -> Iterable[bytes]:
    head = json.dumps({**header._asdict(), "markets": len(entries)}).encode()
    yield _START.pack(_MAGIC, FORM, len(head))
    yield head
    yield _CRC.pack(zlib.crc32(head))
    for market, entry in entries.items():
        name = market.encode()
        yield _COUNT.pack(len(name))
        yield name
        yield _ENTRY.pack(entry.copied_us, len(entry.body), _crc(name, entry.copied_us, entry.body))
        yield entry.body
    yield _END


def _crc(name: bytes, copied_us: int, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(b"%s@%d" % (name, copied_us)))


def read(path: Path, *, layout: int) -> tuple[Header, dict[str, Entry]]:
    """Return what `write` was given.

    Raises FileNotFoundError and other OSErrors, and StateError for a file that is damaged, too large, of another form, or whose
    rows have another `layout`.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > FILE_MAX:
            raise StateError(f"the kept state {path} has {size} bytes; at most {FILE_MAX} are allowed")
        content = file.read(FILE_MAX)
    try:
        return _parsed(content, layout)
    except StateError as error:
        raise StateError(f"{path}: {error}") from error
    except _DAMAGED as error:
        raise StateError(f"{path} is damaged: {error!r}") from error


def _parsed(content: bytes, layout: int) -> tuple[Header, dict[str, Entry]]:
    magic, form, length = _START.unpack_from(content)
    if magic != _MAGIC:
        raise StateError("this is no kept state")
    if form != FORM:
        raise StateError(f"the file has form {form}; this guard reads form {FORM}")
    at = _START.size + length
    head = content[_START.size : at]
    (crc,) = _CRC.unpack_from(content, at)
    if crc != zlib.crc32(head):
        raise StateError("damaged: the header's checksum is wrong")
    told = json.loads(head)
    header = Header(int(told["layout"]), str(told["code"]), int(told["saved_us"]))
    if header.layout != layout:
        raise StateError(f"rows have layout {header.layout}, written by guard {header.code}; this guard reads layout {layout}")
    count = int(told["markets"])
    if count > _MARKETS_MAX:
        raise StateError(f"damaged: {count} markets, at most {_MARKETS_MAX} are allowed")
    entries, at = _entries(content, at + _CRC.size, count)
    if content[at:] != _END:
        raise StateError("damaged: the end is missing")
    return header, entries


def _entries(content: bytes, at: int, count: int) -> tuple[dict[str, Entry], int]:
    entries = {}
    for _ in range(count):
        (length,) = _COUNT.unpack_from(content, at)
        at += _COUNT.size
        name = content[at : at + length]
        at += length
        copied_us, length, crc = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size
        body = content[at : at + length]
        at += length
        if len(body) != length or crc != _crc(name, copied_us, body):
            raise StateError("damaged: a market's checksum is wrong")
        entries[name.decode()] = Entry(copied_us, body)
    return entries, at
