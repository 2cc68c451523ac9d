"""A backtest of NautilusTrader that asks guard: python run.py .guard."""

import sys

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.identifiers import Venue
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from guard.client import Guard
from guard.client.nautilus import guarded

ETHER = TestInstrumentProvider.ethusdt_binance()


class BuyOnce(Strategy):
    """Buys at the first quote."""

    def on_start(self):
        self.subscribe_quote_ticks(ETHER.id)

    def on_quote_tick(self, tick):
        if not self.cache.orders():
            self.submit_order(self.order_factory.market(ETHER.id, OrderSide.BUY, ETHER.make_qty(1)))

    def on_order_denied(self, event):
        print("denied:", event.reason)

    def on_order_filled(self, event):
        print("filled:", event.last_qty)


engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
engine.add_venue(Venue("BINANCE"), OmsType.NETTING, AccountType.CASH, [Money(100_000, USDT)])
engine.add_instrument(ETHER)
engine.add_strategy(BuyOnce())
price, size = ETHER.make_price(1_000), ETHER.make_qty(10)
engine.add_data([QuoteTick(ETHER.id, price, price, size, size, second * 10**9, second * 10**9) for second in range(1, 5)])
guarded(engine, Guard(sys.argv[1], bot="example"))
engine.run()
