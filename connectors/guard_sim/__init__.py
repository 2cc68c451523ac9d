"""The embedded exchange: a local server that trades a seeded market."""

from guard_sim.connector import SimConnector

__all__ = ["SimConnector"]
