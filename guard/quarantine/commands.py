"""What a person orders, turned into holds or refused with a reason they can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import OperationRefused
from guard.model.market import Market
from guard.model.moments import utc
from guard.model.quarantine import Hold, Quarantine, TargetKind
from guard.model.risk import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.model.command import AddQuarantine, ReleaseQuarantine

__all__ = ["OPERATOR_RULE", "lengthened", "manual_hold", "nothing_held"]

OPERATOR_RULE = "operator"
_NAMED_MAX = 5


def manual_hold(command: AddQuarantine) -> Hold:
    """Return the hold a person ordered; raises OperationRefused where it would hold nothing."""
    if command.for_us <= 0:
        raise OperationRefused(f"a quarantine of {command.target} needs a length above 0, found {command.for_us / 1e6:g} s")
    if not command.target.name:
        raise OperationRefused(f"a quarantine names its target, found an empty {command.target.kind}")
    return Hold(
        rule=OPERATOR_RULE,
        market=_market(command) if command.target.kind is TargetKind.MARKET else None,
        target=command.target,
        level=Level.DANGER,
        reason=command.reason,
        for_us=command.for_us,
        max_us=command.for_us,
    )


def lengthened(quarantine: Quarantine, hold: Hold, at_us: int) -> Quarantine:
    """Return a person's `quarantine` with the later end that `hold` asks for; raises OperationRefused where it is not later."""
    end_us = at_us + hold.for_us
    if end_us <= quarantine.until_us:
        held = f"{quarantine.target} is held until {utc(quarantine.until_us)} already ({quarantine.id})"
        raise OperationRefused(f"{held}; release it first to shorten")
    length_us = end_us - quarantine.opened_us
    hold = hold._replace(for_us=length_us, max_us=length_us)
    return quarantine._replace(hold=hold, floor_us=end_us, until_us=end_us, last_end_us=end_us)


def nothing_held(command: ReleaseQuarantine, active: Sequence[Quarantine]) -> str:
    """Return why `command` releases nothing, and what could be released instead."""
    if command.target is None:
        return f"no quarantine has the id {command.id}" + _named("; held now: ", active)
    on_target = [each for each in active if each.target == command.target]
    if on_target:
        return f"{command.target} is not held by {command.id}" + _named("; it is held by ", on_target)
    if command.target.kind is TargetKind.MARKET:
        market = _market(command)
        wider = [each for each in active if each.target.covers(market)]
        if wider:
            return f"nothing holds {command.target} itself" + _named("; release what reaches it: ", wider)
    return f"nothing holds {command.target}" + _named("; held now: ", active)


def _market(command: AddQuarantine | ReleaseQuarantine) -> Market:
    assert command.target is not None
    try:
        return Market.parse(command.target.name)
    except ValueError as error:
        raise OperationRefused(str(error)) from None


def _named(introduction: str, quarantines: Sequence[Quarantine]) -> str:
    if not quarantines:
        return ""
    names = ", ".join(f"{each.target} ({each.id}, {each.hold.rule})" for each in quarantines[:_NAMED_MAX])
    more = f" and {len(quarantines) - _NAMED_MAX} more" if len(quarantines) > _NAMED_MAX else ""
    return f"{introduction}{names}{more}"
