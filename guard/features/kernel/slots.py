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
RUSH_BUY_LEVELS: Final = 7
RUSH_SELL_LEVELS: Final = 8
RUSH_BUY_ORDERS: Final = 9
RUSH_SELL_ORDERS: Final = 10
RUSH_BUY_SECONDS: Final = 11
RUSH_SELL_SECONDS: Final = 12
INSIDE_VOLUME: Final = 13
CHURN: Final = 14
REMOVED_BID: Final = 15
REMOVED_ASK: Final = 16
CROSSINGS: Final = 17
GAPS: Final = 18
DOWN_TRADES: Final = 19
DOWN_BOOK: Final = 20
SUMS: Final = 21
# Last values, kept at every edge.
PRICE: Final = 21
MID: Final = 22
HIGH: Final = 23
LOW: Final = 24
COLUMNS: Final = 25

# Single floats.
OPEN_HIGH: Final = 25
OPEN_LOW: Final = 26
EWMA: Final = 27
EWMA_PRICE: Final = 28
SECOND_CLOSE: Final = 29
BUYER_PRICE: Final = 30
SELLER_PRICE: Final = 31
TICK: Final = 32
TICK_SEEN: Final = 33
USD_RATE: Final = 34
VOLUME_24H: Final = 35
BETA_XY: Final = 36
BETA_XX: Final = 37
MINUTE_PRICE: Final = 38
MINUTE_REFERENCE: Final = 39
EVALUATED_PRICE: Final = 40
BID: Final = 41
ASK: Final = 42
PAST_BUYER_PRICE: Final = 43
PAST_SELLER_PRICE: Final = 44
PAIR_PRICE: Final = 45
PAIR_REFERENCE: Final = 46
FLOATS: Final = 47

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
EWMA_AT: Final = 12
EWMA_BEGAN: Final = 13
ORDER_AT: Final = 14
ORDER_SIDE: Final = 15
ORDER_LEVELS: Final = 16
BUYER_AT: Final = 17
SELLER_AT: Final = 18
BUYER_RUSH_SECOND: Final = 19
SELLER_RUSH_SECOND: Final = 20
SECOND: Final = 21
MINUTE: Final = 22
HOUR: Final = 23
EVALUATED_BIN: Final = 24
NEXT_EDGE: Final = 25
NEXT_CLOSE: Final = 26
LATE: Final = 27
HISTORY_LATE: Final = 28
BIDS: Final = 29
ASKS: Final = 30
BOOK_OK: Final = 31
IN_MESSAGE: Final = 32
BEST_MOVED: Final = 33
CROSSED: Final = 34
NEWEST_SIDE: Final = 35
PENDING_HEAD: Final = 36
PENDING_COUNT: Final = 37
FILLS_HEAD: Final = 38
OVERFLOW: Final = 39
PRINTS_TAIL: Final = 40
PRINTS_COUNT: Final = 41
SAMPLED: Final = 42
URGENT: Final = 43
PAST_BUYER_AT: Final = 44
PAST_SELLER_AT: Final = 45
EVENT_AT: Final = 46
INTEGERS: Final = 47

NEVER: Final = 1 << 62
BIN_US: Final = 50_000
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60_000_000
HOUR_US: Final = 3_600_000_000
NAN: Final = float("nan")
