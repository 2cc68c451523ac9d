"""Recordings of trades, read from files."""

from guard_tape.tape import Tape, TapeTrade

__all__ = ["Tape", "TapeTrade"]
