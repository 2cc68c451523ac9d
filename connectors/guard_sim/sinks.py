"""Where the rows of a virtual market may go besides a batch."""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING, Any, Self

from guard.model import BUY, SELL, Flag, Kind
from guard.model.moments import stamp
from guard_sim.coins import chosen

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CsvTape", "Nowhere"]

_COLUMNS = ("symbol", "timestamp", "datetime", "side", "price", "amount", "btc_volume")
_SIDES = {BUY: "buy", SELL: "sell", 0: ""}


class Nowhere:
    """Counts trades and forgets them."""

    def __init__(self) -> None:
        self.trades = 0

    def append(self, kind: int, market: int, **columns: Any) -> None:  # noqa: ANN401 - the columns of a row
        """Take one row."""
        del market, columns
        self.trades += kind == Kind.TRADE


class CsvTape:
    """Writes live trades to a CSV file (compressed where its name ends in .gz) that `guard replay` reads.

    The last column is price times amount, in the quote currency; its name is the one that published tapes use. The file is
    the same bytes for the same trades: it carries no time of its making. `symbols` and `count` as for the market.
    """

    def __init__(self, path: str, *, symbols: object = None, count: object = None) -> None:
        self.trades = 0
        self._coins = chosen(symbols, count)
        self._raw = open(path, "wb")  # noqa: SIM115, PTH123 - closed by `__exit__`
        if path.endswith(".gz"):
            self._binary: Any = gzip.GzipFile(filename="", mode="wb", fileobj=self._raw, mtime=0)
        else:
            self._binary = self._raw
        self._writer = csv.writer(_Text(self._binary), lineterminator="\n")
        self._writer.writerow(_COLUMNS)

    def __enter__(self) -> Self:
        """Return the tape."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file."""
        self._binary.close()
        self._raw.close()

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        flags: int = 0,
        **rest: int,
    ) -> None:
        """Take one row; all but live trades are left out."""
        del rest
        if kind != Kind.TRADE or flags & Flag.BACKFILL:
            return
        self.trades += 1
        coin, stamp_ms = self._coins[market], at_us // 1000
        self._writer.writerow(
            (
                coin.symbol,
                stamp_ms,
                stamp(at_us),
                _SIDES[side],
                f"{price:.{coin.price_digits}f}",
                f"{amount:.{coin.lot_digits}f}",
                f"{price * amount:.8f}",
            )
        )


class _Text:
    """Lets csv write text into a binary file."""

    def __init__(self, binary: Any) -> None:  # noqa: ANN401 - a file or a GzipFile
        self._binary = binary

    def write(self, text: str) -> int:
        """Write `text` as UTF-8."""
        return int(self._binary.write(text.encode()))
