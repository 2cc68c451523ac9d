"""A strategy for backtesting and hyperopt, with guard and without."""

from __future__ import annotations

from typing import Any

from freqtrade.strategy import IStrategy
from pandas import DataFrame  # noqa: TC002 - as Freqtrade's users write it

from guard.client.freqtrade import GuardMixin


class Offline(IStrategy):
    """Enters every tenth candle, adds once, and leaves soon."""

    timeframe = "1m"
    minimal_roi = {"20": -1.0, "0": 0.002}  # noqa: RUF012 - as Freqtrade's interface has it
    stoploss = -0.5
    startup_candle_count = 5
    position_adjustment_enable = True
    max_entry_position_adjustment = 1

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe["enter_long"] = (dataframe.index % 10 == 0).astype(int)
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe["exit_long"] = 0
        return dataframe

    def adjust_trade_position(self, trade: Any, **kwargs: Any) -> float | None:
        return 20.0 if trade.nr_of_successful_entries == 1 else None


class OfflineGuarded(GuardMixin, Offline):
    """The same with guard, which has no state here: in a bot that trades it would refuse every entry."""
