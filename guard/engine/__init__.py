"""Batches in, verdicts out; pure."""
