"""Where everything lies in a market's two rows: one of floats, one of integers.

The float row begins with `COLUMNS` totals that only ever grow (or hold the last value); windows are differences of them. Then
come single values, then what `layout.Layout` appends: rings of bin edges, baselines, the book, removals and the print ring.
"""

from __future__ import annotations

from typing import Final

__all__: list[str] = []

# Totals since the stream began. A window is total - total at its left edge: never negative, exactly 0 where nothing happened.
# They lie in groups, each kept at a window's edges only where a leaf reads one of its columns there (see `groups`). A group ends
# with its own copies of the time in which trades and the book were lost, so that a leaf reads one ring only.
# What the price did: last values kept at every edge first, then totals.
HIGH: Final = 0
LOW: Final = 1
SQUARES: Final = 2
RANGE_DOWN: Final = 3
# The book's middle.
MID: Final = 5
QUOTES_DOWN: Final = 6
# What traded.
PRICE: Final = 8
VOLUME: Final = 9
BUY_VOLUME: Final = 10
TURNOVER: Final = 11
BUY_TURNOVER: Final = 12
TRADES: Final = 13
UNSURE_VOLUME: Final = 14
TRADES_DOWN: Final = 15
# Levels that takers swept.
RUSH_BUY_LEVELS: Final = 17
RUSH_SELL_LEVELS: Final = 18
RUSH_BUY_ORDERS: Final = 19
RUSH_SELL_ORDERS: Final = 20
RUSH_BUY_SECONDS: Final = 21
RUSH_SELL_SECONDS: Final = 22
SWEPT_BUY: Final = 23
SWEPT_SELL: Final = 24
SWEEPS_DOWN: Final = 25
# What happened in the book.
INSIDE_VOLUME: Final = 27
CHURN: Final = 28
REMOVED_BID: Final = 29
REMOVED_ASK: Final = 30
CROSSINGS: Final = 31
BOOK_DOWN: Final = 32
# What was put into the book; counted only where a leaf reads it.
MESSAGES: Final = 34
FLOW_IMBALANCE: Final = 35
ADDED_BID: Final = 36
ADDED_ASK: Final = 37
FLOW_DOWN: Final = 38
# How flow and price went together; counted only where a leaf reads it.
PATH: Final = 40
MIRRORED: Final = 41
FLOW_RETURN: Final = 42
FLOW_SQUARES: Final = 43
BAR_IMPACT: Final = 44
BARS: Final = 45
BAR_RANGES: Final = 46
BARS_DOWN: Final = 47
# What became of the data.
GAPS: Final = 49
DATA_DOWN: Final = 50
# How much came; counted only where a leaf reads it.
EVENTS: Final = 52
LATE_EVENTS: Final = 53
EVENTS_DOWN: Final = 54
COLUMNS: Final = 56

# Single floats.
OPEN_HIGH: Final = 56
OPEN_LOW: Final = 57
EWMA: Final = 58
EWMA_PRICE: Final = 59
SECOND_CLOSE: Final = 60
BUYER_PRICE: Final = 61
SELLER_PRICE: Final = 62
TICK: Final = 63
TICK_SEEN: Final = 64
USD_RATE: Final = 65
VOLUME_24H: Final = 66
BETA_XY: Final = 67
BETA_XX: Final = 68
MINUTE_PRICE: Final = 69
MINUTE_REFERENCE: Final = 70
EVALUATED_PRICE: Final = 71
BID: Final = 72
ASK: Final = 73
PAST_BUYER_PRICE: Final = 74
PAST_SELLER_PRICE: Final = 75
PAIR_PRICE: Final = 76
PAIR_REFERENCE: Final = 77
BETA_YY: Final = 78
BETA_WEIGHT: Final = 79
FLOATS: Final = 80

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
# 1 where the side's last stamp swept more than one level: an order is counted once.
BUYER_ORDER: Final = 14
SELLER_ORDER: Final = 15
# The due time by which the heap has the market: never later than DUE, earlier where a later one came since.
HEAP_DUE: Final = 16
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
# Rows of other markets: the reference market (-1 = none), and the next one of the same symbol on another exchange (a ring).
REFERENCE: Final = 47
SIBLING: Final = 48
# When and how the market is looked at. DUE = when next, NEVER = not; HEAP_AT = its place in the heap of dues, -1 = not there;
# DEADLINE = when a rule's timer runs out; LOOKS = 1 where time alone may change what rules say; DIRTY = whether the market stands
# in the list of those to look at when the bin is over, and whether an evaluation has seen all since (CLEAN, UNSEEN, SEEN);
# OPEN = 1 while an episode or a quarantine runs; PROGRAM = where its rules begin in the machine's code.
DUE: Final = 49
HEAP_AT: Final = 50
DEADLINE: Final = 51
LOOKS: Final = 52
DIRTY: Final = 53
OPEN: Final = 54
PROGRAM: Final = 55
# Arrival of the last event as the engine's clock had it; grows with every change of the market's rows.
ARRIVED: Final = 56
VERSION: Final = 57
# Which streams the market has, as bits: 1 trades, 2 book, 4 peers.
STREAMS: Final = 58
# When the market was listed, 0 = not known; the own times of the trade and of the book message that arrived last.
LISTED: Final = 59
TRADE_SENT: Final = 60
BOOK_SENT: Final = 61
INTEGERS: Final = 62
# What belongs to a process and not to a market's past: other markets' rows, the loop's lists, the rules' code.
OF_THIS_PROCESS: Final = (REFERENCE, SIBLING, DUE, HEAP_AT, HEAP_DUE, LOOKS, DIRTY, PROGRAM, STREAMS, VERSION)

# The plan's header: where its tables and the parts of a market's float row begin, -1 where there is none.
P_RINGS: Final = 0
P_RING_COUNT: Final = 1
P_BASELINES: Final = 2
P_BASELINE_COUNT: Final = 3
P_BOOK: Final = 4
P_PENDING: Final = 5
P_FILLS: Final = 6
P_PRINTS: Final = 7
P_USUAL_SPREAD: Final = 8
P_LEAVES: Final = 9
P_LEAF_COUNT: Final = 10
P_BARS: Final = 11
P_FLOW: Final = 12
# No part of a row: 1 where a leaf reads how many events came.
P_EVENTS: Final = 13
P_DIGITS: Final = 14
P_TAIL: Final = 15
# Baselines of depth: records of `DEPTH_STRIDE` in the plan.
P_DEPTHS: Final = 16
P_DEPTH_COUNT: Final = 17
# Average prices over other times than `trades.EWMA_US`: records of `AVERAGE_STRIDE` in the plan.
P_AVERAGES: Final = 18
P_AVERAGE_COUNT: Final = 19
# Curves of the day: records of `HOUR_STRIDE` in the plan; where i says which row holds the exchange's curves.
P_HOURS: Final = 20
P_HOUR_COUNT: Final = 21
P_HOME: Final = 22
PLAN_HEAD: Final = 24
# One clock in the plan: all rings of one width. `R_GROUPS` to `R_GROUPS_END`: the records of its rings in the plan; `R_HAS_RANGE`
# whether one holds highs and lows.
RING_STRIDE: Final = 7
R_WIDTH: Final = 0
R_SIZE: Final = 1
R_SLOT: Final = 2
R_TOP: Final = 3
R_GROUPS: Final = 4
R_GROUPS_END: Final = 5
R_HAS_RANGE: Final = 6
# One ring of a clock: where its edges begin, its first column, how many, the first one that is a total, since when it is kept.
GROUP_STRIDE: Final = 5
G_RING: Final = 0
G_FIRST: Final = 1
G_COUNT: Final = 2
G_SUMS: Final = 3
G_SINCE: Final = 4
# A clock's integers from its slot on: the open bin's number, its place, and for each place the edge that it holds.
CLOCK_HEAD: Final = 2
# One window in the plan. `W_RING` is where edge 0 would begin with column 0; `W_BACK` how many bins before the open one it begins.
W_US: Final = 0
W_WIDTH: Final = 1
W_SIZE: Final = 2
W_RING: Final = 3
W_SLOT: Final = 4
W_SINCE: Final = 5
W_BACK: Final = 6
W_COUNT: Final = 7
WINDOW_SIZE: Final = 8
# One baseline in the plan; `B_ASKS`: which answers a leaf may read, as bits.
BASELINE_STRIDE: Final = 9
B_SOURCE: Final = 0
B_BIN_US: Final = 1
B_DECAY_US: Final = 2
B_PER_OCTAVE: Final = 3
B_OFFSET: Final = 4
B_SLOT: Final = 5
B_SINCE: Final = 6
B_TABLE: Final = 7
B_ASKS: Final = 8
# Sources that are no total: they are sampled.
SPREAD: Final = -1
DEPTH: Final = -2
# Mean and deviation; quantiles that count zeros.
MOMENTS: Final = 1
LOWS: Final = 2
# One baseline of depth: its record in the plan, the place of its band in the plan's floats, 1 bids, -1 asks, 0 both.
DEPTH_STRIDE: Final = 3
D_BASELINE: Final = 0
D_BAND: Final = 1
D_SIDE: Final = 2
# One average price: its time in us, where it stands in x, and where i says since when.
AVERAGE_STRIDE: Final = 3
A_US: Final = 0
A_FLOAT: Final = 1
A_BEGAN: Final = 2
# One curve of the day: where its block begins in x, and the record of the baseline of its minutes.
HOUR_STRIDE: Final = 2
H_OFFSET: Final = 0
H_BASELINE: Final = 1
# One leaf in the plan; its window record begins at L_WINDOW.
LEAF_STRIDE: Final = 15
L_OP: Final = 0
L_WINDOW: Final = 1
L_A: Final = 9
L_B: Final = 10
L_SINCE: Final = 11
L_BEGAN: Final = 12
L_DOWN: Final = 13
L_STREAM: Final = 14
CLEAN: Final = 0
UNSEEN: Final = 1
SEEN: Final = 2
# A table of powers of two in the plan's floats, in steps of half a bucket.
BUCKET_BASE: Final = 2048
BUCKET_COUNT: Final = 4096

NEVER: Final = 1 << 62
BIN_US: Final = 50_000
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60_000_000
HOUR_US: Final = 3_600_000_000
NAN: Final = float("nan")
