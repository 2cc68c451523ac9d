"""What an imported list asks for: which of its targets are new, which stand longer, which go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.model.command import ApplyList, ListedTarget
from guard.model.market import Market
from guard.model.quarantine import Block, Hold, Quarantine, Target, TargetKind
from guard.model.risk import Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ListChanges",
    "is_extended",
    "is_listed",
    "latest_end_us",
    "list_changes",
    "list_order_from_json",
    "list_order_to_json",
    "list_rule",
    "listed_hold",
    "renewed",
]

_PREFIX: Final = "list:"
# How much later than its time to live an entry's end is written: each time it is moved on is a line of the trail.
_MARGIN_US: Final = 21_600_000_000
_MARGIN_PART: Final = 4


class ListChanges(NamedTuple):
    """What a reading changes: targets to hold (new ones, and those whose end is moved on), and targets to release."""

    hold: tuple[ListedTarget, ...]
    gone: tuple[Target, ...]
    new: int


def list_rule(name: str) -> str:
    """Return the rule that the quarantines of a list carry."""
    return f"{_PREFIX}{name}"


def is_listed(quarantine: Quarantine) -> bool:
    """Whether a list holds it, and no rule or person."""
    return quarantine.hold.rule.startswith(_PREFIX)


def is_extended(quarantine: Quarantine) -> bool:
    """Whether a person moved its end beyond what the list asked for: that end stands, whatever the list names later."""
    return quarantine.hold.max_us > quarantine.hold.for_us


def latest_end_us(now_us: int, ttl_us: int) -> int:
    """Return the end that an entry named at `now_us` is written with.

    It is six hours (of a long time to live a quarter) later than the list asks for, so that the same entries named again and again
    are moved on four times a day at most. Whoever reads the list lets go of them in time; this end is for when nobody does.
    """
    return now_us + ttl_us + max(_MARGIN_US, ttl_us // _MARGIN_PART)


def list_changes(
    held: Iterable[Quarantine], entries: Sequence[ListedTarget], *, now_us: int, ttl_us: int, keeps_missing: bool = False
) -> ListChanges:
    """Return what a reading that was understood changes about what the list holds now.

    `keeps_missing` releases nothing: what is not in the reading stands until its end. An end that would come before the time to
    live is over is moved on.
    """
    standing = {each.target: each for each in held}
    # Two spellings may name one target: of several entries the strongest counts.
    weakest_first = sorted(entries, key=lambda entry: (entry.block is Block.ENTRIES, -entry.max_fraction))
    strongest = {entry.target: entry for entry in weakest_first}
    wanted = {entry.target: strongest[entry.target] for entry in entries}
    hold = [entry for target, entry in wanted.items() if _is_due(standing.get(target), entry, now_us=now_us, ttl_us=ttl_us)]
    lost = (each for target, each in standing.items() if target not in wanted and not is_extended(each))
    gone = () if keeps_missing else tuple(each.target for each in lost)
    return ListChanges(tuple(hold), gone, sum(entry.target not in standing for entry in hold))


def _is_due(held: Quarantine | None, entry: ListedTarget, *, now_us: int, ttl_us: int) -> bool:
    if held is None or (held.hold.block, held.hold.max_fraction) != (entry.block, entry.max_fraction):
        return True
    return held.until_us - now_us < ttl_us


def listed_hold(command: ApplyList, entry: ListedTarget, at_us: int) -> Hold:
    """Return the hold of one entry: it ends with the list's time to live, without probation."""
    length_us = max(1, command.until_us - at_us)
    return Hold(
        rule=list_rule(command.name),
        market=Market.parse(entry.target.name) if entry.target.kind is TargetKind.MARKET else None,
        target=entry.target,
        level=Level.DANGER,
        reason=entry.reason or command.reason,
        for_us=length_us,
        max_us=length_us,
        block=entry.block,
        max_fraction=entry.max_fraction,
    )


def renewed(quarantine: Quarantine, hold: Hold, at_us: int) -> Quarantine:
    """Return a list's `quarantine` with the end and the block that the newest reading asks for; no end before a person's."""
    own_us = at_us + hold.for_us
    end_us = max(own_us, quarantine.until_us) if is_extended(quarantine) else own_us
    hold = hold._replace(for_us=own_us - quarantine.opened_us, max_us=end_us - quarantine.opened_us)
    return quarantine._replace(hold=hold, floor_us=end_us, until_us=end_us, last_end_us=end_us)


def list_order_to_json(command: ApplyList) -> dict[str, Any]:
    """Return a command as JSON-able values."""
    entries = [
        [str(each.target.kind), each.target.name, str(each.block), each.max_fraction, each.reason] for each in command.entries
    ]
    gone = [[str(target.kind), target.name] for target in command.gone]
    return {**command._asdict(), "entries": entries, "gone": gone}


def list_order_from_json(saved: Mapping[str, Any]) -> ApplyList:
    """Return the command that `list_order_to_json` described. Raises KeyError, TypeError or ValueError for anything else."""
    entries = tuple(
        ListedTarget(Target(TargetKind(kind), str(name)), Block(block), float(fraction), str(reason))
        for kind, name, block, fraction, reason in saved["entries"]
    )
    gone = tuple(Target(TargetKind(kind), str(name)) for kind, name in saved["gone"])
    return ApplyList(str(saved["name"]), entries, gone, int(saved["until_us"]), str(saved["reason"]), str(saved["actor"]))
