"""How each field is read: for every leaf one function of a market's rows, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.features.kernel.book_readers import BOOK_READERS
from guard.features.kernel.market_readers import MARKET_READERS
from guard.features.kernel.trade_readers import TRADE_READERS

if TYPE_CHECKING:
    from guard.features.kernel.layout import Layout
    from guard.features.kernel.reading import Read
    from guard.features.tables import Leaf

__all__ = ["READERS", "reader"]

READERS = TRADE_READERS | BOOK_READERS | MARKET_READERS


def reader(layout: Layout, leaf: Leaf) -> Read:
    """Return the function that reads `leaf`; KeyError for a field that the kernel does not know."""
    return READERS[leaf.field](layout, leaf)
