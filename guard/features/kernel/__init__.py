"""The hot loop: events into fields."""

from guard.features.kernel.drive import DEADLINE, DONE, EVALUATE, TOLD
from guard.features.kernel.kernel import Kernel

__all__ = ["DEADLINE", "DONE", "EVALUATE", "TOLD", "Kernel"]
