"""Everything the kernel can read of a market: the leaves of all formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.book_fields import BOOK_FIELDS
from guard.features.market_fields import MARKET_FIELDS, PRINT_FIELDS
from guard.features.trade_fields import TRADE_FIELDS

if TYPE_CHECKING:
    from guard.features.tables import Field

__all__ = ["FIELDS", "FIELDS_BY_NAME"]

FIELDS: Final[tuple[Field, ...]] = (*TRADE_FIELDS, *PRINT_FIELDS, *BOOK_FIELDS, *MARKET_FIELDS)

FIELDS_BY_NAME: Final = {field.name: field for field in FIELDS}
