"""Owns the event loop and joins all parts."""
