"""Whether bots can read what was decided: each publication is read back, and a failed step has its fallback."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["Failed", "Fallback", "IsolationStep", "Validated"]


class IsolationStep(StrEnum):
    """A step on the way from a decision to its readers, and to people."""

    COMMIT = "commit"
    PUBLISH = "publish"
    READ_BACK = "read_back"
    MISMATCH = "mismatch"
    OUTBOX = "outbox"


class Validated(NamedTuple):
    """A reader found in the published file what the publication with `seq` was to say; it took `took_us`."""

    seq: int
    took_us: int = 0


class Failed(NamedTuple):
    """A step failed, for the `attempts`-th time in a row."""

    step: IsolationStep
    error: str
    attempts: int = 1


class Fallback(StrEnum):
    """What protects bots and people meanwhile.

    HOLD: blocks stand in memory and are shown as not durable, releases wait, the ledger is tried again. REWRITE: the state is
    published anew into a fresh file. SILENCE: no heartbeat, so that markets without a block look unknown to bots, until a reader
    has found what was published. PAGE: people are told, past the outbox.
    """

    HOLD = "hold"
    REWRITE = "rewrite"
    SILENCE = "silence"
    PAGE = "page"
