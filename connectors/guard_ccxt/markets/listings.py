"""When markets were first seen, for exchanges that do not tell when they were listed: kept on disk from run to run."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["Listings"]

_MARKETS_MAX = 50_000
_UNKNOWN = 0
_TWO_DAYS_US = 172_800_000_000
_FIRST_US = 1_230_768_000_000_000


class Listings:
    """Remembers since when each market is there; a missing or damaged file is an empty memory.

    Parameters
    ----------
    path
        The file, a cache.

    Notes
    -----
    What is there at the first look may be any age: unknown. What appears later was listed then. The first daily candle tells more,
    where it was asked for: it counts only if it is older than two days, because some exchanges answer with their latest ones.

    Examples
    --------
    >>> from pathlib import Path
    >>> listings = Listings(Path("/nowhere/listed.json"))
    >>> listings.see(["A/USDT"], now_us=5), listings.see(["A/USDT", "B/USDT"], now_us=9)
    (True, True)
    >>> listings.listed_us("A/USDT"), listings.listed_us("B/USDT")
    (None, 9)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since_us: dict[str, int] = self._read()
        self._asked: set[str] = set()

    def listed_us(self, symbol: str) -> int | None:
        """Return when a market was listed, as far as is known."""
        return self._since_us.get(symbol) or None

    def see(self, symbols: Iterable[str], *, now_us: int) -> bool:
        """Take the markets on offer at `now_us`; returns whether there is something new to keep."""
        fresh = [symbol for symbol in symbols if symbol not in self._since_us]
        first = now_us if self._since_us else _UNKNOWN
        room = max(0, _MARKETS_MAX - len(self._since_us))
        self._since_us.update(dict.fromkeys(fresh[:room], first))
        return bool(fresh)

    def unknown(self, symbols: Iterable[str], *, most: int) -> list[str]:
        """Return up to `most` markets whose first candle may be asked for; each is returned once."""
        found = [symbol for symbol in symbols if not self._since_us.get(symbol) and symbol not in self._asked][:most]
        self._asked.update(found)
        return found

    def take_candles(self, symbol: str, candles: Any, *, now_us: int) -> bool:
        """Take the oldest daily candles of a market; returns whether they tell its age."""
        with suppress(TypeError, ValueError, IndexError, KeyError):
            first_us = int(candles[0][0]) * 1000
            if _FIRST_US <= first_us <= now_us - _TWO_DAYS_US:
                self._since_us[symbol] = first_us
                return True
        return False

    def _read(self) -> dict[str, int]:
        with suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(symbol): int(since_us) for symbol, since_us in list(kept.items())[:_MARKETS_MAX]}
        return {}

    def write(self) -> None:
        """Keep it. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._since_us), encoding="utf-8")
        fresh.replace(self._path)
