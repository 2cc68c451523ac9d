"""Recordings of events, read from files and written to them."""

from guard_tape.folder import Keep
from guard_tape.recorder import Recorder, RecorderHealth
from guard_tape.recording import Recording
from guard_tape.spool import Limits
from guard_tape.tape import Tape, TapeTrade
from guard_tape.writer import RecordingWriter

__all__ = ["Keep", "Limits", "Recorder", "RecorderHealth", "Recording", "RecordingWriter", "Tape", "TapeTrade"]
