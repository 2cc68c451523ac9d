"""The oracle of every field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.oracle.fields import FIELD_ORACLES
from features.oracle.more_fields import MORE_ORACLES
from features.oracle.prints import PRINTS_ORACLES

if TYPE_CHECKING:
    from features.oracle.answers import Answer
    from features.oracle.fields import Moment

    from guard.features.tables import Leaf

__all__ = ["ORACLES", "answer"]

ORACLES = FIELD_ORACLES | PRINTS_ORACLES | MORE_ORACLES


def answer(moment: Moment, leaf: Leaf) -> Answer | None:
    """Return what a leaf may read; KeyError for a field without an oracle."""
    return ORACLES[leaf.field](moment, leaf)
