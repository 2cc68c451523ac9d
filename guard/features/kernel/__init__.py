"""The hot loop: events into fields."""

from guard.features.kernel.drive import DEADLINE, DONE, EVALUATE, TOLD
from guard.features.kernel.kernel import Kernel
from guard.features.kernel.rows import Bound

__all__ = ["DEADLINE", "DONE", "EVALUATE", "TOLD", "Bound", "Kernel"]
