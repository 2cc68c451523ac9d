"""How a stay in quarantine begins: its floor, escalation, and what a repeated hold adds."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from guard.model.quarantine import Block, Hold, IsolationState, Quarantine, quarantine_id

if TYPE_CHECKING:
    from guard.quarantine.recovery import RecoveryHandler

__all__ = ["LONGEST_US", "bounded", "floor_length_us", "forgotten_us", "merged", "opened", "reminded", "reopened"]

# Beyond this a factor of 1.01 has multiplied the floor by 20,000; the bound keeps the arithmetic short for ever.
_REPETITIONS_MAX: Final = 1_000
LONGEST_US: Final = 86_400_000_000
"""The longest stay that a rule can order, microseconds; only a person holds longer."""
# Quotes that go back and forth around a threshold may not make bots enter and leave as fast: what returns this soon stays so long.
_RETURN_US: Final = 600_000_000
_DWELL_US: Final = 60_000_000


def bounded(hold: Hold) -> Hold:
    """Return a rule's hold within the longest stay."""
    max_us = min(hold.max_us, LONGEST_US)
    return hold if max_us == hold.max_us else hold._replace(max_us=max_us, for_us=min(hold.for_us, max_us))


def floor_length_us(hold: Hold, repetition: int, drawn: float = 0.0) -> int:
    """Return the floor's length: ``for_us * factor ** repetition``, capped at `max_us`; a factor below 1 counts as 1.

    A repetition lasts longer by `drawn`, in [0, 1), of the hold's jitter; the cap holds for that, too.

    Examples
    --------
    >>> from guard.model import Hold, Level, Target, TargetKind
    >>> hold = Hold("pump_dump", None, Target(TargetKind.BASE, "X"), Level.DANGER, "", for_us=10, max_us=50, escalate_factor=2.0)
    >>> [floor_length_us(hold, repetition) for repetition in range(4)]
    [10, 20, 40, 50]
    """
    length_us = float(hold.for_us)
    if hold.escalate_factor > 1.0:
        for _ in range(repetition):
            length_us *= hold.escalate_factor
            if length_us >= hold.max_us:
                break
    if repetition:
        length_us *= 1.0 + hold.jitter * drawn
    return int(min(length_us, hold.max_us))


def forgotten_us(quarantine: Quarantine) -> int:
    """Return when an ended quarantine ceases to matter: neither escalation, dwell nor grace remembers it."""
    dwell_us = _RETURN_US if _returns(quarantine.hold) else 0
    return max(quarantine.until_us + max(quarantine.hold.forget_us, dwell_us), quarantine.grace_until_us)


def opened(hold: Hold, at_us: int, recovery: RecoveryHandler, *, actor: str, previous: Quarantine | None) -> Quarantine:
    """Return the quarantine that `hold` opens at `at_us`; `previous` is the last ended one of the same rule and target."""
    repetition = 0
    if previous is not None and at_us < previous.until_us + hold.forget_us:
        repetition = min(previous.repetition + 1, _REPETITIONS_MAX)
    identity = quarantine_id(hold.rule, hold.target, at_us)
    new = Quarantine(identity, hold, IsolationState.QUARANTINED, at_us, 0, 0, 0, repetition, actor)
    is_back = previous is not None and at_us < previous.until_us + _RETURN_US
    return _stay(new, at_us, recovery, dwell_us=_DWELL_US if is_back and _returns(hold) else 0)


def reopened(quarantine: Quarantine, hold: Hold, at_us: int, recovery: RecoveryHandler) -> Quarantine:
    """Return `quarantine`, in probation, as it stands after its rule asked again: a new stay, one repetition more."""
    both = merged(hold, quarantine.hold)
    if _returns(hold):
        # A person may have held it longer; a new stay is the rule's own again.
        both = bounded(both)
    again = quarantine._replace(
        hold=both,
        state=IsolationState.QUARANTINED,
        repetition=min(quarantine.repetition + 1, _REPETITIONS_MAX),
    )
    return _stay(again, at_us, recovery, dwell_us=_DWELL_US if _returns(hold) else 0)


def reminded(quarantine: Quarantine, hold: Hold) -> Quarantine:
    """Return `quarantine`, being held, with what a repeated `hold` adds: no later end, but a worse level, block and limit."""
    both = merged(quarantine.hold, hold)
    return quarantine._replace(hold=both, last_end_us=quarantine.last_end_us + both.max_us - quarantine.hold.max_us)


def merged(hold: Hold, other: Hold) -> Hold:
    """Return `hold` with what `other`, of the same rule and target, asks beyond it."""
    return hold._replace(
        level=max(hold.level, other.level),
        reason=other.reason if other.level > hold.level else hold.reason,
        zone=hold.zone or other.zone,
        block=Block.ENTRIES if Block.ENTRIES in (hold.block, other.block) else Block.SHRINK,
        for_us=max(hold.for_us, other.for_us),
        max_us=max(hold.max_us, other.max_us),
        # A rule that was gone for a while and is back waits for calm again.
        release_for_us=other.release_for_us if hold.release_for_us is None else hold.release_for_us,
        max_fraction=min(hold.max_fraction, other.max_fraction),
    )


def _returns(hold: Hold) -> bool:
    """Whether calm ends the hold, so that noise could make it come and go; what is timed ends as it was ordered."""
    return hold.release_for_us is not None


def _drawn(quarantine: Quarantine) -> float:
    """Return a number in [0, 1) that each repetition of each quarantine has for itself, the same in every replay."""
    digest = sha256(f"{quarantine.id}|{quarantine.repetition}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def _stay(quarantine: Quarantine, at_us: int, recovery: RecoveryHandler, *, dwell_us: int) -> Quarantine:
    hold = quarantine.hold
    length_us = max(floor_length_us(hold, quarantine.repetition, _drawn(quarantine)), dwell_us)
    if length_us > hold.max_us:
        hold = hold._replace(max_us=length_us)
        quarantine = quarantine._replace(hold=hold)
    floor_us = at_us + length_us
    last_end_us = at_us + hold.max_us
    until_us = recovery.first_end_us(floor_us=floor_us, last_end_us=last_end_us, release_for_us=hold.release_for_us)
    return quarantine._replace(floor_us=floor_us, last_end_us=last_end_us, until_us=until_us)
