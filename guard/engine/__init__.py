"""Batches in, verdicts out; pure."""

from guard.engine.engine import Engine
from guard.engine.holds import hold_of
from guard.engine.missing import missing_to_fire
from guard.engine.verdicts import risk_of

__all__ = ["Engine", "hold_of", "missing_to_fire", "risk_of"]
