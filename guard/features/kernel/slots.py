"""Where everything lies in a market's two rows: one of floats, one of integers.

The float row begins with `COLUMNS` totals that only ever grow (or hold the last value); windows are differences of them. Then
come single values, then what `layout.Layout` appends: rings of bin edges, baselines, the book, removals and the print ring.
"""

from __future__ import annotations

from typing import Final

__all__: list[str] = []

# Totals since the stream began. A window is total - total at its left edge: never negative, exactly 0 where nothing happened.
VOLUME: Final = 0
BUY_VOLUME: Final = 1
TURNOVER: Final = 2
BUY_TURNOVER: Final = 3
TRADES: Final = 4
UNSURE_VOLUME: Final = 5
SQUARES: Final = 6
RUSH_BUY_ORDERS: Final = 7
RUSH_SELL_ORDERS: Final = 8
RUSH_BUY_LEVELS: Final = 9
RUSH_SELL_LEVELS: Final = 10
INSIDE_VOLUME: Final = 11
CHURN: Final = 12
REMOVED_BID: Final = 13
REMOVED_ASK: Final = 14
CROSSINGS: Final = 15
GAPS: Final = 16
DOWN_TRADES: Final = 17
DOWN_BOOK: Final = 18
SUMS: Final = 19
# Last values, kept at every edge.
PRICE: Final = 19
MID: Final = 20
HIGH: Final = 21
LOW: Final = 22
COLUMNS: Final = 23

# Single floats.
OPEN_HIGH: Final = 23
OPEN_LOW: Final = 24
EWMA: Final = 25
SECOND_CLOSE: Final = 26
ORDER_PRICE: Final = 27
TICK: Final = 28
TICK_SEEN: Final = 29
USD_RATE: Final = 30
VOLUME_24H: Final = 31
BETA_XY: Final = 32
BETA_XX: Final = 33
MINUTE_PRICE: Final = 34
MINUTE_REFERENCE: Final = 35
EVALUATED_PRICE: Final = 36
BID: Final = 37
ASK: Final = 38
EWMA_PRICE: Final = 39
FLOATS: Final = 40

# Integers. Times are microseconds; NEVER stands for "not covered since any time".
AT: Final = 0
RECEIVED: Final = 1
TRADE_AT: Final = 2
TRADE_RECEIVED: Final = 3
BOOK_AT: Final = 4
BOOK_RECEIVED: Final = 5
TRADES_SINCE: Final = 6
BOOK_SINCE: Final = 7
TRADES_BEGAN: Final = 8
BOOK_BEGAN: Final = 9
TRADES_LOST: Final = 10
BOOK_LOST: Final = 11
EWMA_BEGAN: Final = 12
ORDER_AT: Final = 13
ORDER_SIDE: Final = 14
ORDER_LEVELS: Final = 15
SECOND: Final = 16
MINUTE: Final = 17
HOUR: Final = 18
EVALUATED_BIN: Final = 19
NEXT_EDGE: Final = 20
NEXT_CLOSE: Final = 21
EWMA_AT: Final = 22
HISTORY_LATE: Final = 23
LATE: Final = 24
BIDS: Final = 25
ASKS: Final = 26
BOOK_OK: Final = 27
IN_MESSAGE: Final = 28
BEST_MOVED: Final = 29
CROSSED: Final = 30
NEWEST_SIDE: Final = 31
PENDING_HEAD: Final = 32
PENDING_COUNT: Final = 33
FILLS_HEAD: Final = 34
OVERFLOW: Final = 35
PRINTS_TAIL: Final = 36
PRINTS_COUNT: Final = 37
SAMPLED: Final = 38
URGENT: Final = 39
DECREMENTS: Final = 40
INTEGERS: Final = 41

NEVER: Final = 1 << 62
BIN_US: Final = 50_000
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60_000_000
HOUR_US: Final = 3_600_000_000
NAN: Final = float("nan")
