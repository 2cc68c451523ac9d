"""Recordings of trades, read from files."""
