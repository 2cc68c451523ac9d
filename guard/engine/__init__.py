"""Batches in, verdicts out; pure."""

from guard.engine.engine import Engine
from guard.engine.holds import hold_of
from guard.engine.verdicts import risk_of
from guard.engine.why import missing_in_group, missing_to_fire

__all__ = ["Engine", "hold_of", "missing_in_group", "missing_to_fire", "risk_of"]
