"""Batches in, verdicts out; pure."""

from guard.engine.engine import Engine
from guard.engine.holds import hold_of
from guard.engine.missing import missing_to_fire
from guard.engine.readiness import Ready, RuleReadiness, can_tell, readiness
from guard.engine.verdicts import risk_of
from guard.engine.why import missing_in_group, outside, why
from guard.engine.windows import Window, Windows

__all__ = [
    "Engine",
    "Ready",
    "RuleReadiness",
    "Window",
    "Windows",
    "can_tell",
    "hold_of",
    "missing_in_group",
    "missing_to_fire",
    "outside",
    "readiness",
    "risk_of",
    "why",
]
