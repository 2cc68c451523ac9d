"""What a bot imports: standard library, errors and model only."""

from guard.client.check import Guard
from guard.model.clearance import Clearance, ClearanceStatus, Intent

__all__ = ["Clearance", "ClearanceStatus", "Guard", "Intent"]
