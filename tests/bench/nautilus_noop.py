"""nautilus_trader: a backtest over the same trades with a strategy that does nothing.

It does bus, cache, matching and exact decimals, which guard does not; ticks are built outside the timed part.
"""

from __future__ import annotations

import sys

from peer import answer, say, timed

TRADES_MAX = 200_000
PRICE_DIGITS = 9


def main(path: str) -> None:
    """Answer until stdin ends."""
    try:
        import nautilus_trader
        from nautilus_backtest import Backtest
    except ImportError as error:
        say(missing=str(error))
        return
    import numpy as np

    backtest = Backtest(np.load(path), TRADES_MAX, PRICE_DIGITS)

    def once() -> tuple[float, int]:
        engine = backtest.engine()
        seconds = timed(engine.run)
        engine.dispose()
        return seconds, backtest.events

    answer(f"nautilus_trader {nautilus_trader.__version__}", once)


if __name__ == "__main__":
    main(sys.argv[1])
