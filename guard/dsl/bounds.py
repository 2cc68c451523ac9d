"""Between which bounds features lie by what they are, and the bounds that follow for whole expressions."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Final

from guard.dsl.ranges import Range, Ranges

if TYPE_CHECKING:
    from guard.dsl.graph import Graph

__all__ = ["BOUNDS", "KnownRanges", "decided"]

_ANY: Final[Range] = (-math.inf, math.inf)
_SHARES: Final = (
    "ask_depletion bid_depletion buy_share coverage inside_share kyle_r2 late_share mirror_share prints_alternation "
    "prints_benford prints_entropy prints_pairs prints_round prints_top_size unsure_share"
)
_SIGNED_SHARES: Final = "aggressor_imbalance corr imbalance"
_RETURNS: Final = "depeg mid_ret peers_ret reference_ret ret"
_POSITIVE: Final = (
    "added age amihud ask bait bait_surge bar_impact bar_ranges bars bid book_messages buy_surge buy_turnover buy_volume "
    "churn_per_message churn_surge crossings depth depth_low depth_median depth_ratio events ewma_price fall_retraced "
    "flow_squares gaps high high_buys high_churn high_removed high_rush impact_per_usd inside_volume lag late level_churn "
    "low low_trades market_age median_trades mid minute_mean minute_median minute_sd mirrored move_ticks open_mid "
    "open_price parkinson_minutes parkinson_vol path price prints_count prints_hill prints_path prints_regularity "
    "prints_turnover prints_turnover_per_path realized_vol removed_share removed_unfilled rise rise_retraced rush "
    "rush_orders rush_seconds rush_surge sell_volume slippage spread spread_excess spread_high spread_mean spread_median "
    "spread_ratio spread_sd squares swept tick tick_ratio trade_size trades turnover turnover_per_move turnover_per_path "
    "unsure_volume usd_rate vacuum volume volume_24h_usd volume_usd vwap"
)

BOUNDS: Final[dict[str, Range]] = {
    **dict.fromkeys(_SHARES.split(), (0.0, 1.0)),
    **dict.fromkeys(_SIGNED_SHARES.split(), (-1.0, 1.0)),
    **dict.fromkeys(_RETURNS.split(), (-1.0, math.inf)),
    **dict.fromkeys(_POSITIVE.split(), (0.0, math.inf)),
    "fall": (-1.0, 0.0),
}
"""Feature or field -> least and greatest value that it can have where it is known."""


class KnownRanges(Ranges):
    """Bounds of the numbers of a graph, with what is known of features: for advice, never for what is computed."""

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph, self._const)
        self._told: dict[int, Range] = {}

    def _const(self, node: int) -> tuple[float] | None:
        found = self._graph.nodes[node]
        return (found.value,) if found.operation == "const" and isinstance(found.value, int | float) else None

    def of(self, node: int) -> Range:
        """Return the bounds of a number; what it rests on is looked at first, so that no chain of names is too deep."""
        stack = [node]
        while stack:
            waiting = [part for part in self._graph.nodes[stack[-1]].arguments if part not in self._ranges]
            if stack[-1] in self._ranges or not waiting:
                super().of(stack.pop())
            else:
                stack += waiting
        return self._ranges[node]

    def tell(self, node: int, name: str) -> None:
        """Note that a node is the feature or field `name`."""
        if name in BOUNDS:
            self._told[node] = BOUNDS[name]

    def is_fixed(self, node: int) -> bool:
        """Whether a node is a constant."""
        return self._graph.nodes[node].operation == "const"

    def _found(self, node: int) -> Range:
        low, high = self._told.get(node, _ANY)
        least, most = self._computed(node)
        return (max(low, least), min(high, most)) if max(low, least) <= min(high, most) else _ANY

    def _computed(self, node: int) -> Range:  # noqa: C901, PLR0911, PLR0912 - one case for each operation
        found = self._graph.nodes[node]
        if found.operation in ("leaf", "fact"):
            return _ANY
        if found.operation == "ramp":
            return self._ramp(*map(self.of, found.arguments))
        if found.operation == "clamp":
            return _clamped(*map(self.of, found.arguments))
        if found.operation in ("score", "python", "number", "default", "at_least", "min", "max"):
            return super()._found(node)
        parts = [self.of(argument) for argument in found.arguments]
        match found.operation:
            case "negative":
                return -parts[0][1], -parts[0][0]
            case "abs":
                low, high = parts[0]
                return (0.0 if low <= 0.0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
            case "sqrt":
                return math.sqrt(max(parts[0][0], 0.0)), math.sqrt(max(parts[0][1], 0.0))
            case "add":
                return _sound(parts[0][0] + parts[1][0], parts[0][1] + parts[1][1])
            case "subtract":
                return _sound(parts[0][0] - parts[1][1], parts[0][1] - parts[1][0])
            case "multiply":
                ends = [left * right if left and right else 0.0 for left, right in product(*parts)]
                return _sound(min(ends), max(ends))
            case "divide" if 0.0 < parts[1][0] == parts[1][1] < math.inf:
                return _sound(parts[0][0] / parts[1][0], parts[0][1] / parts[1][0])
            case "divide" if parts[0][0] >= 0.0 and parts[1][0] >= 0.0:
                return 0.0, math.inf
            case _:
                return _ANY

    @staticmethod
    def _ramp(of: Range, low: Range, high: Range) -> Range:
        if low[0] != low[1] or high[0] != high[1]:
            return 0.0, 1.0
        ends = [min(max((end - low[0]) / (high[0] - low[0]), 0.0), 1.0) for end in of]
        return min(ends), max(ends)


def _clamped(of: Range, low: Range, high: Range) -> Range:
    if low[0] != low[1] or high[0] != high[1] or low[0] > high[0]:
        return _ANY
    return min(max(of[0], low[0]), high[0]), min(max(of[1], low[0]), high[0])


def _sound(low: float, high: float) -> Range:
    return _ANY if math.isnan(low) or math.isnan(high) else (low, high)


def decided(operation: str, left: Range, right: Range) -> bool | None:
    """Return what a comparison (``less``, ``less_equal``, ``equal``) always says of known numbers; None where it depends.

    Examples
    --------
    >>> decided("less", (1.3, 1.3), (0.0, 1.0)), decided("less_equal", (0.0, 0.0), (0.0, 9.0)), decided("less", (0, 2), (1, 3))
    (False, True, None)
    """
    match operation:
        case "less" if left[1] < right[0]:
            return True
        case "less" if left[0] >= right[1]:
            return False
        case "less_equal" if left[1] <= right[0]:
            return True
        case "less_equal" if left[0] > right[1]:
            return False
        case "equal" if left[1] < right[0] or right[1] < left[0]:
            return False
        case _:
            return None
