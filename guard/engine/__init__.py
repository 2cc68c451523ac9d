"""Batches in, verdicts out; pure."""

from guard.engine.engine import Engine
from guard.engine.holds import hold_of

__all__ = ["Engine", "hold_of"]
