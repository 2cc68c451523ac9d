"""The backtest that `nautilus_noop` times; importing it needs nautilus_trader."""

from __future__ import annotations

from typing import Any

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId, Venue
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

__all__ = ["Backtest"]

VENUE = Venue("SIM")
SIZE_DIGITS = 6


class Idle(Strategy):
    """Subscribes to every trade and does nothing."""

    def __init__(self, instruments: list[Any]) -> None:
        super().__init__(StrategyConfig(strategy_id="IDLE-000"))
        self.instruments = instruments

    def on_start(self) -> None:
        """Subscribe."""
        for instrument in self.instruments:
            self.subscribe_trade_ticks(instrument.id)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Do nothing."""


class Backtest:
    """Engines over one list of ticks, built once."""

    def __init__(self, rows: Any, trades_max: int, price_digits: int) -> None:  # noqa: ANN401 - numpy's file of arrays
        market = rows["market"][:trades_max].tolist()
        self.instruments = {number: _instrument(number, price_digits) for number in sorted(set(market))}
        columns = [rows[name][:trades_max].tolist() for name in ("price", "amount", "side", "at_us", "received_us", "key")]
        self.ticks = [
            TradeTick(
                self.instruments[number].id,
                Price(price, price_digits),
                Quantity(max(amount, 1e-6), SIZE_DIGITS),
                AggressorSide.BUYER if side > 0 else AggressorSide.SELLER,
                TradeId(str(key)),
                at_us * 1000,
                received_us * 1000,
            )
            for number, price, amount, side, at_us, received_us, key in zip(market, *columns, strict=True)
        ]
        self.events = len(self.ticks)

    def engine(self) -> BacktestEngine:
        """Return an engine that has not run."""
        engine = BacktestEngine(BacktestEngineConfig(trader_id="BENCH-001", logging=LoggingConfig(bypass_logging=True)))
        engine.add_venue(
            venue=VENUE,
            oms_type=OmsType.NETTING,
            account_type=AccountType.CASH,
            base_currency=None,
            starting_balances=[Money(1_000_000, USDT)],
        )
        for instrument in self.instruments.values():
            engine.add_instrument(instrument)
        engine.add_data(self.ticks)
        engine.add_strategy(Idle(list(self.instruments.values())))
        return engine


def _instrument(number: int, price_digits: int) -> CurrencyPair:
    symbol = f"C{number}USDT"
    return CurrencyPair(
        instrument_id=InstrumentId(Symbol(symbol), VENUE),
        raw_symbol=Symbol(symbol),
        base_currency=BTC,
        quote_currency=USDT,
        price_precision=price_digits,
        size_precision=SIZE_DIGITS,
        price_increment=Price(10**-price_digits, price_digits),
        size_increment=Quantity(10**-SIZE_DIGITS, SIZE_DIGITS),
        ts_event=0,
        ts_init=0,
    )
