"""A strategy that does what a file says, with guard before it, behind it, and without it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from freqtrade.strategy import IStrategy
from pandas import DataFrame  # noqa: TC002 - as Freqtrade's users write it

from guard.client.freqtrade import GuardMixin

REAL_TIME_NS = time.time_ns


class Obedient(IStrategy):
    """Enters, adds, reduces and exits as told by ``wishes.json`` of its user folder; as old strategies do, it calls no super()."""

    timeframe = "1m"
    minimal_roi = {"0": 100.0}  # noqa: RUF012 - as Freqtrade's interface has it
    stoploss = -0.99
    startup_candle_count = 5
    process_only_new_candles = False
    position_adjustment_enable = True
    unfilledtimeout = {"entry": 60, "exit": 60, "unit": "minutes"}  # noqa: RUF012 - likewise
    order_types = {  # noqa: RUF012 - likewise
        "entry": "limit", "exit": "market", "stoploss": "market", "stoploss_on_exchange": False,
        "force_entry": "limit", "force_exit": "market", "emergency_exit": "market",
    }  # fmt: skip

    @property
    def wishes(self) -> dict[str, Any]:
        return json.loads((Path(self.config["user_data_dir"]) / "wishes.json").read_text())

    def note(self, *words: object) -> None:
        with (Path(self.config["user_data_dir"]) / "journal.txt").open("a") as journal:
            journal.write(" ".join(map(str, words)) + "\n")

    def bot_loop_start(self, current_time: Any, **kwargs: Any) -> None:
        wishes = self.wishes
        time.time_ns = lambda: REAL_TIME_NS() + int(wishes["jump_s"] * 1e9)
        self.note("loop", wishes["number"])

    def populate_indicators(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        return dataframe

    def populate_entry_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe["enter_long"] = int(metadata["pair"] in self.wishes["enter"])
        if self.can_short:
            dataframe["enter_short"] = int(metadata["pair"] in self.wishes["short"])
        return dataframe

    def populate_exit_trend(self, dataframe: DataFrame, metadata: dict[str, Any]) -> DataFrame:
        dataframe["exit_long"] = dataframe["exit_short"] = int(metadata["pair"] in self.wishes["exit"])
        return dataframe

    def leverage(self, proposed_leverage: float, max_leverage: float, **kwargs: Any) -> float:
        return min(2.0, max_leverage)

    def custom_entry_price(self, pair: str, proposed_rate: float, side: str, **kwargs: Any) -> float:
        # What is not to rest pays a little more, so that it fills at once however slow the machine is.
        better = 0.015 if pair in self.wishes["rest"] else -0.005
        return proposed_rate * (1.0 + better if side == "short" else 1.0 - better)

    def custom_stake_amount(self, pair: str, proposed_stake: float, **kwargs: Any) -> float:
        self.note("entry", self.wishes["number"], pair)
        return proposed_stake

    def confirm_trade_entry(self, pair: str, **kwargs: Any) -> bool:
        self.note("confirmed", pair)
        return True

    def adjust_trade_position(self, trade: Any, min_stake: float | None, **kwargs: Any) -> Any:
        wishes = self.wishes
        if trade.pair in wishes["reduce"] and trade.nr_of_successful_exits == 0:
            return -trade.stake_amount / 2, "reduced"
        if trade.pair in wishes["add"]:
            self.note("add", wishes["number"], trade.pair)
            return 20.0, "added"
        return None

    def adjust_entry_price(self, current_order_rate: float, proposed_rate: float, side: str, **kwargs: Any) -> float | None:
        return proposed_rate * (1.014 if side == "short" else 0.986)


class GuardFirst(GuardMixin, Obedient):
    """Guard stands first."""


class GuardLast(Obedient, GuardMixin):
    """Guard stands last, behind an interface that calls no super()."""


class Both(Obedient):
    """Goes short as well: futures."""

    can_short = True


class BothFirst(GuardMixin, Both):
    """Guard stands first."""


class BothLast(Both, GuardMixin):
    """Guard stands last."""
