"""What a person orders, turned into holds or refused with a reason they can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.errors import OperationRefused
from guard.model.assets import NO_ALIASES
from guard.model.market import Market
from guard.model.moments import utc
from guard.model.quarantine import Hold, IsolationState, Quarantine, Target, TargetKind
from guard.model.risk import Level

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.model.command import AddQuarantine, ExtendQuarantine, ReleaseQuarantine
    from guard.quarantine.recovery import RecoveryHandler

__all__ = ["OPERATOR_RULE", "checked_target", "extended", "lengthened", "manual_hold", "nothing_held"]

OPERATOR_RULE = "operator"
_NAMED_MAX = 5


def checked_target(target: Target, aliases: Mapping[str, str] = NO_ALIASES) -> Target:
    """Return a target that a person named by the asset's own name; raises OperationRefused where it names nothing."""
    if not target.name:
        raise OperationRefused(f"an order names its target, found an empty {target.kind}")
    if target.kind is TargetKind.MARKET:
        _parsed(target)
    return target.canonical(aliases=aliases)


def manual_hold(command: AddQuarantine, aliases: Mapping[str, str] = NO_ALIASES) -> Hold:
    """Return the hold a person ordered; raises OperationRefused where it would hold nothing."""
    target = checked_target(command.target, aliases)
    if command.for_us <= 0:
        raise OperationRefused(f"a quarantine of {target} needs a length above 0, found {command.for_us / 1e6:g} s")
    return Hold(
        rule=OPERATOR_RULE,
        market=_parsed(target) if target.kind is TargetKind.MARKET else None,
        target=target,
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


def extended(quarantine: Quarantine, command: ExtendQuarantine, at_us: int, recovery: RecoveryHandler) -> Quarantine:
    """Return `quarantine` held until ``at_us + for_us`` at least; raises OperationRefused where that changes nothing.

    On probation it stays small so long. Held, calm is not looked at before, and the longest time moves where it would end sooner.
    """
    end_us = at_us + command.for_us
    if command.for_us <= 0:
        raise OperationRefused(f"an extension needs a length above 0, found {command.for_us / 1e6:g} s")
    if end_us <= quarantine.until_us:
        held = f"{quarantine.target} is held until {utc(quarantine.until_us)} at least ({quarantine.id})"
        raise OperationRefused(f"{held}; an extension ends later than that")
    hold = quarantine.hold
    if quarantine.state is IsolationState.PROBATION:
        began_us = quarantine.until_us - hold.probation_us
        return quarantine._replace(hold=hold._replace(probation_us=end_us - began_us), until_us=end_us)
    began_us = quarantine.last_end_us - hold.max_us
    last_end_us = max(quarantine.last_end_us, end_us)
    until_us = recovery.first_end_us(floor_us=end_us, last_end_us=last_end_us, release_for_us=hold.release_for_us)
    hold = hold._replace(max_us=last_end_us - began_us)
    return quarantine._replace(hold=hold, floor_us=end_us, until_us=until_us, last_end_us=last_end_us)


def nothing_held(command: ReleaseQuarantine | ExtendQuarantine, active: Sequence[Quarantine]) -> str:
    """Return why `command` releases nothing, and what could be released instead."""
    if command.target is None:
        return f"no quarantine has the id {command.id}" + _named("; held now: ", active)
    on_target = [each for each in active if each.target in (command.target, command.target.canonical())]
    if on_target:
        return f"{command.target} is not held by {command.id}" + _named("; it is held by ", on_target)
    if command.target.kind is TargetKind.MARKET:
        market = _parsed(command.target)
        wider = [each for each in active if each.target.covers(market)]
        if wider:
            return f"nothing holds {command.target} itself" + _named("; release what reaches it: ", wider)
    return f"nothing holds {command.target}" + _named("; held now: ", active)


def _parsed(target: Target) -> Market:
    try:
        return Market.parse(target.name)
    except ValueError as error:
        raise OperationRefused(str(error)) from None


def _named(introduction: str, quarantines: Sequence[Quarantine]) -> str:
    if not quarantines:
        return ""
    names = ", ".join(f"{each.target} ({each.id}, {each.hold.rule})" for each in quarantines[:_NAMED_MAX])
    more = f" and {len(quarantines) - _NAMED_MAX} more" if len(quarantines) > _NAMED_MAX else ""
    return f"{introduction}{names}{more}"
