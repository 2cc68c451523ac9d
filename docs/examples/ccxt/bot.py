"""A ccxt bot that asks guard: it tries to buy and sell one market, and says what became of it.

python bot.py kucoin PEPE/USDT 1000 .guard
"""

import sys

import ccxt

from guard.client import Guard
from guard.client.ccxt_exchange import OrderRefused, guarded


def main(exchange_id, symbol, amount, state, url=None):
    guard = Guard(state, bot="example")
    exchange = getattr(ccxt, exchange_id)({"apiKey": "key", "secret": "secret", "password": "password"})
    if url is not None:
        exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], url)
    guarded(exchange, guard)
    for side in ("buy", "sell"):
        try:
            order = exchange.create_order(symbol, "market", side, float(amount))
            print(side, "sent", order["id"])
        except OrderRefused as refused:
            print(side, "refused:", refused.clearance.reason)
        except ccxt.BaseError as error:
            print(side, "reached the exchange, which says:", type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
