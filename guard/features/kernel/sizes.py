"""How many floats the parts of a market's row take."""

from __future__ import annotations

from typing import Final

__all__: list[str] = []

BOOK_CAP: Final = 128
BOOK_PARTS: Final = 6
PENDING_CAP: Final = 64
PENDING_PARTS: Final = 5
FILLS_CAP: Final = 32
FILLS_PARTS: Final = 4
PRINTS_CAP: Final = 500
PRINTS_PARTS: Final = 3
# Two size buckets share a float, and the number of buckets with a count shares it too.
SIZE_BUCKETS: Final = 512
PRINTS_TOTALS: Final = 9
# What bars remember, the best quotes before a message, digits and intervals of kept trades, their sizes.
BARS_SIZE: Final = 11
FLOW_SIZE: Final = 4
DIGITS_SIZE: Final = 13
TAIL_SIZE: Final = 128
BASELINE_ANSWERS: Final = 6
BASELINE_HEAD: Final = 16
BASELINE_BUCKETS: Final = 128
BASELINE_SIZE: Final = BASELINE_HEAD + BASELINE_BUCKETS
