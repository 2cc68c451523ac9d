"""``python -m guard_ccxt.bench server MARKETS`` and ``... client URL TIER WHAT MARKETS``."""

from __future__ import annotations

import asyncio
import sys

__all__ = ["main"]


def main(words: list[str]) -> None:
    """Run one of the two programs."""
    match words:
        case ["server", markets]:
            from guard_ccxt.bench.server import serve  # noqa: PLC0415 - a server needs no ccxt

            asyncio.run(serve(int(markets)))
        case ["client", url, "stock" | "generic" | "fast" as tier, "trades" | "book" as what, markets]:
            from guard_ccxt.bench.client import run  # noqa: PLC0415 - likewise

            asyncio.run(run(url, tier, what, int(markets)))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
