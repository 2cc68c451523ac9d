"""Named features: formulas over fields, in guard's expression language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guard.features.book_features import BOOK_FEATURES
from guard.features.price_features import PRICE_FEATURES

if TYPE_CHECKING:
    from guard.features.tables import Feature

__all__ = ["CATALOGUE"]

CATALOGUE: Final[tuple[Feature, ...]] = (*PRICE_FEATURES, *BOOK_FEATURES)
