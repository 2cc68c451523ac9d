"""Types of fields that every decoder shares; msgspec holds them in C. What is beyond them goes to stock ccxt and its gate."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from guard.model import BUY, SELL

__all__ = ["ABSENT", "AMOUNT", "COUNT", "LEVEL", "PRICE", "RESTING", "SIDES", "STAMP", "Absent"]

# The gate's limits; contracts are held against its limits of base amounts afterwards.
PRICE = Annotated[float, Meta(gt=0.0, le=1e15)]
AMOUNT = Annotated[float, Meta(gt=0.0, le=1e18)]
RESTING = Annotated[float, Meta(ge=0.0, le=1e18)]
# Milliseconds, and whole numbers that ccxt reads through a float.
STAMP = Annotated[int, Meta(gt=0, le=100_000_000_000_000)]
COUNT = Annotated[int, Meta(ge=0, le=2**53)]
LEVEL = tuple[PRICE, RESTING]
# For a field that must not be there, because ccxt would read it in place of another: ``quantity: Absent = ABSENT``.
Absent = UnsetType
ABSENT: Final = UNSET
SIDES: Final = {"buy": BUY, "sell": SELL, "Buy": BUY, "Sell": SELL}
