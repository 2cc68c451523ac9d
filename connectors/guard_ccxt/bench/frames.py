"""Frames and REST answers as Binance's spot market sends them."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["LEVELS", "Coin", "exchange_info", "framed"]

LEVELS: Final = 10  # of each side in a diff
_DEPTH: Final = 100
_TICK: Final = 0.0001
_MIDDLE: Final = 1.0
_SHORT, _LONG = 126, 1 << 16


class Coin:
    """One market: its numbers go on from frame to frame, and no frame leaves its levels as they were.

    Parameters
    ----------
    number
        Which of the markets it is.
    """

    def __init__(self, number: int) -> None:
        self.id = f"C{number:04d}USDT"
        self.base = f"C{number:04d}"
        self.trades = 0
        self.update_id = 1000

    def trade(self, now_ms: int) -> str:
        """Return the next trade."""
        self.trades += 1
        at = self.trades
        price = f"{_MIDDLE + (at * 7 % 100) * _TICK:.4f}"
        amount = f"{1 + at * 13 % 977}.{at % 10}0000000"
        side = "true" if at % 2 else "false"
        return (
            f'{{"stream":"{self.id.lower()}@trade","data":{{"e":"trade","E":{now_ms},"s":"{self.id}","t":{at},"p":"{price}0000",'
            f'"q":"{amount}","T":{now_ms},"m":{side},"M":true}}}}'
        )

    def diff(self, now_ms: int) -> str:
        """Return the next diff: ten levels a side, each with an amount it did not have."""
        first = self.update_id + 1
        self.update_id = last = self.update_id + 3
        start = last // 3 * LEVELS % _DEPTH
        sides = []
        for sign in (-1, 1):
            levels = (
                f'["{_MIDDLE + sign * (1 + (start + step) % _DEPTH) * _TICK:.8f}","{last % 9973 + step + 1}.50000000"]'
                for step in range(LEVELS)
            )
            sides.append(",".join(levels))
        return (
            f'{{"stream":"{self.id.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":{now_ms},"s":"{self.id}",'
            f'"U":{first},"u":{last},"b":[{sides[0]}],"a":[{sides[1]}]}}}}'
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the whole book."""
        sides = ([[f"{_MIDDLE + sign * (1 + step) * _TICK:.8f}", "0.25"] for step in range(_DEPTH)] for sign in (-1, 1))
        bids, asks = sides
        return {"lastUpdateId": self.update_id, "bids": bids, "asks": asks}

    def market(self) -> dict[str, Any]:
        """Return its entry of ``exchangeInfo``."""
        return {
            "symbol": self.id,
            "status": "TRADING",
            "baseAsset": self.base,
            "quoteAsset": "USDT",
            "isSpotTradingAllowed": True,
            "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.0001", "maxPrice": "1000", "tickSize": "0.0001"},
                {"filterType": "LOT_SIZE", "minQty": "0.1", "maxQty": "100000", "stepSize": "0.1"},
            ],
        }


def exchange_info(coins: list[Coin]) -> str:
    """Return the answer of ``exchangeInfo``."""
    return json.dumps({"symbols": [coin.market() for coin in coins]})


def framed(text: str) -> bytes:
    r"""Return a websocket text frame as a server sends it, neither masked nor compressed.

    Examples
    --------
    >>> framed("hi")
    b'\x81\x02hi'
    """
    data = text.encode()
    length = len(data)
    if length < _SHORT:
        return bytes((0x81, length)) + data
    assert length < _LONG
    return bytes((0x81, 126)) + length.to_bytes(2, "big") + data
