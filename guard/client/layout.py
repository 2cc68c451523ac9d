"""The bytes of the snapshot file, shared by its writer (`guard.runtime.publish`) and its readers.

One page of header words, then two slots of equal size::

    word   0  magic                      8  boot id, upper half
           1  layout version             9  boot id, lower half
           2  generation                10  bytes in one slot
           3  heartbeat, boot clock ns  11  slot 0: generation, length, CRC32
           4  state                     14  slot 1: generation, length, CRC32
           5  lease, ns

The active slot is the lowest bit of the generation: one aligned store of eight bytes flips both, so that no reader sees one
without the other. The writer fills the idle slot first, then bumps the generation; whoever dies in between leaves the old state
intact. A reader takes a slot only if its generation and its checksum fit. What a slot holds is described in `guard.client.packing`:
its checksum covers the first part of it, and that part has the checksums of the others, which are read when they are asked for.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

__all__ = [
    "FILE_NAME",
    "HEADER_BYTES",
    "HOW_TO_REWRITE",
    "HOW_TO_UPDATE",
    "LEASE_NS",
    "MAGIC",
    "PACKED",
    "READABLE_VERSIONS",
    "SLOT_BYTES_MAX",
    "VERSION",
    "State",
    "Word",
    "boot_id_words",
    "checksum",
    "slot_at",
    "slot_word",
    "top_bytes",
]

FILE_NAME = "guard.snapshot"
MAGIC = b"GRDSNAP\x00"
PACKED = b"GRD2"
"""How a packed payload begins; the length of its first part follows."""
VERSION = 2
# A client may be updated after or before its guard: it reads what the guard before this one wrote, too.
READABLE_VERSIONS = frozenset({VERSION, VERSION - 1} - {0})
HEADER_BYTES = 4096
SLOT_BYTES_MAX = 64 * 1024 * 1024
HOW_TO_UPDATE = "run `pip install --upgrade trading-guard` in the environment of the bot"
"""What mends a client that is older than its guard."""
HOW_TO_REWRITE = "restart `guard run`, which writes it anew"
"""What mends a file that is damaged."""

LEASE_NS = 2_000_000_000
_SLOT_WORDS = 3


class Word(IntEnum):
    """Place of a number in the header, in words of eight bytes."""

    MAGIC = 0
    VERSION = 1
    GENERATION = 2
    HEARTBEAT = 3
    STATE = 4
    LEASE = 5
    BOOT_ID = 8
    SLOT_BYTES = 10
    SLOTS = 11


class State(IntEnum):
    """What the writer says of the file. RETIRED: a larger one took its place under the same name."""

    FRESH = 0
    RUNNING = 1
    STOPPED = 2
    RETIRED = 3


class SlotWords(NamedTuple):
    """Where the header keeps one slot's words."""

    generation: int
    length: int
    crc: int


def slot_word(generation: int) -> SlotWords:
    """Return where the header describes the slot of `generation`."""
    first = Word.SLOTS + _SLOT_WORDS * (generation & 1)
    return SlotWords(first, first + 1, first + 2)


def slot_at(generation: int, slot_bytes: int) -> int:
    """Return the offset of the slot of `generation` in the file."""
    return HEADER_BYTES + slot_bytes * (generation & 1)


def checksum(payload: bytes, generation: int) -> int:
    """Return the CRC32 of a payload, bound to its generation: an older payload left in the slot never fits.

    Of a packed payload it covers the first part only, which tells its own length; of the JSON of layout 1 all.
    """
    return crc32(payload[: top_bytes(payload)], generation & 0xFFFFFFFF)


def top_bytes(start: bytes) -> int:
    """Return how long the first part of a payload is; a very large number for one that is not packed.

    Examples
    --------
    >>> top_bytes(PACKED + (40).to_bytes(4, "little")), top_bytes(b'{"epoch": 1}') > 1 << 60
    (40, True)
    """
    return int.from_bytes(start[4:8], "little") if start.startswith(PACKED) else 1 << 62


def boot_id_words(boot_id: str) -> tuple[int, int]:
    """Return 32 hex digits as two words; zeros where there is no id.

    Examples
    --------
    >>> boot_id_words("0000000000000001000000000000000a"), boot_id_words("")
    ((1, 10), (0, 0))
    """
    number = int(boot_id or "0", 16) & (1 << 128) - 1
    return number >> 64, number & (1 << 64) - 1
