"""The hot loop: rows of numbers, one pair a market, changed by events and read at triggers."""

from guard.features.kernel.kernel import Kernel

__all__ = ["Kernel"]
