"""A Freqtrade strategy that asks guard before each entry. It buys whatever rises, to show what guard does; it is no way to earn."""

from freqtrade.strategy import IStrategy

from guard.client.freqtrade import GuardMixin


class GuardedEntry(GuardMixin, IStrategy):
    """Buys a market whose last candle traded; guard says where not."""

    guard_bot = "example"

    timeframe = "1m"
    minimal_roi = {"0": 0.01}
    stoploss = -0.02
    startup_candle_count = 5
    process_only_new_candles = False

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe.loc[dataframe["volume"] > 0, "enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        dataframe["exit_long"] = 0
        return dataframe
