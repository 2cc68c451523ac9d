"""What recordings need of pyarrow, which comes with the extra `record`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from guard.errors import ConfigurationError, Problem
from guard_tape.columns import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "COURSE_BYTES_MAX",
    "COURSE_KEY",
    "ENCODING",
    "MARKETS_KEY",
    "ROWS_MAX",
    "SEGMENT_KEY",
    "VERSION",
    "VERSION_KEY",
    "course_of",
    "packed_course",
    "parquet",
    "schema",
]

VERSION: Final = 1
VERSION_KEY: Final = b"guard.recording.version"
MARKETS_KEY: Final = b"guard.recording.markets"
# What a live run was beside its events: see `guard.runtime.record`. Compressed JSON, after its length as 8 bytes.
COURSE_KEY: Final = b"guard.recording.course"
# Of which run a file is a segment, what is missing there, and how many of its first rows tell what stood: JSON.
SEGMENT_KEY: Final = b"guard.recording.segment"
COURSE_BYTES_MAX: Final = 1 << 28
# Rows of a row group, and rows that are in memory at once.
ROWS_MAX: Final = 1 << 16
_TYPES: Final = {"kind": np.int8, "market": np.int32, "price": np.float64, "amount": np.float64, "side": np.int8, "flags": np.int8}
_TIMES: Final = ("at_us", "received_us", "key")
# Measured: 9 to 11 bytes a row, 65 million rows a second decoded by one core; zstd-1 takes as much space and decodes half as fast,
# for it makes a context anew for each page. Every page has a checksum.
ENCODING: Final = {
    "compression": "lz4",
    "compression_level": 3,
    "use_dictionary": [name for name in Rows._fields if name not in _TIMES],
    "column_encoding": dict.fromkeys(_TIMES, "DELTA_BINARY_PACKED"),
    "write_statistics": False,
    "write_page_checksum": True,
}


def parquet(path: Path) -> Any:  # noqa: ANN401 - an untyped library
    """Return the module `pyarrow.parquet`; raises ConfigurationError where it is not installed, for the sake of `path`."""
    try:
        import pyarrow.parquet as module  # noqa: PLC0415 - an extra, and 0.2 s
    except ImportError as error:
        raise ConfigurationError(
            Problem(
                str(path),
                1,
                1,
                "T003",
                "no-pyarrow",
                "error",
                f"recordings in Parquet need pyarrow: {error}",
                hint="pip install 'trading-guard[record]'",
            )
        ) from error
    return module


def schema() -> Any:  # noqa: ANN401 - an untyped library
    """Return the columns of a recording, those of a batch, with the version of the format."""
    import pyarrow as pa  # noqa: PLC0415 - an extra, and 0.2 s

    fields = [pa.field(name, pa.from_numpy_dtype(_TYPES.get(name, np.int64)), nullable=False) for name in Rows._fields]
    return pa.schema(fields, metadata={VERSION_KEY: str(VERSION).encode()})


def packed_course(course: Mapping[str, Any]) -> bytes:
    """Return what stands beside the events as a recording keeps it. Raises ValueError where it is too large."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    text = json.dumps(course, separators=(",", ":"), allow_nan=False).encode()
    if len(text) > COURSE_BYTES_MAX:
        raise ValueError(f"rules and orders of a recording take at most {COURSE_BYTES_MAX} bytes, these take {len(text)}")
    packed: bytes = pa.compress(text, codec="zstd", asbytes=True)
    return len(text).to_bytes(8, "little") + packed


def course_of(packed: bytes) -> dict[str, Any]:
    """Return what `packed_course` packed; raises ValueError where it is anything else."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    size = int.from_bytes(packed[:8], "little")
    if size > COURSE_BYTES_MAX:
        raise ValueError(f"rules and orders that claim {size} bytes; at most {COURSE_BYTES_MAX} are read")
    course = json.loads(pa.decompress(packed[8:], decompressed_size=size, codec="zstd", asbytes=True))
    if not isinstance(course, dict):
        raise ValueError("rules and orders are no mapping")  # noqa: TRY004 - one error for all that is wrong with a file
    return course
