"""Recordings of events, read from files and written to them."""

from guard_tape.recording import Recording
from guard_tape.tape import Tape, TapeTrade
from guard_tape.writer import RecordingWriter

__all__ = ["Recording", "RecordingWriter", "Tape", "TapeTrade"]
