"""Detectors, one a file, and the risk classifier."""
