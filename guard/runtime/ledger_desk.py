"""What people are told of the ledger: what happened to it at the start, and how it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from guard.model import Level
from guard.model.moments import stamp
from guard.runtime.taking import REBUILT
from guard.store.layouts import LAYOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.runtime.ledger_keeper import LedgerKeeper
    from guard.runtime.live import Live
    from guard.runtime.taking import Taken

__all__ = ["ledger_record", "tell_of_start"]

_log = structlog.get_logger(__name__)


async def tell_of_start(taken: Taken, live: Live) -> None:
    """Tell people that the ledger was rebuilt, or took over what only bots knew; afterwards it is not told again."""
    if taken.rebuilt is not None:
        text = rebuilt_text(taken.rebuilt, taken.told_seq)
        _log.critical("the ledger was rebuilt", what=text)
        live.announce("ledger-rebuilt", "the ledger was rebuilt", f"{text}\nguard ledger verify", Level.CRITICAL)
    if taken.adopted:
        _log.error("blocks were taken over from what bots see", blocks=taken.adopted)
        body = (
            f"{taken.adopted} blocks that bots were shown were not in the ledger: guard was ended before it could write them, or "
            "the ledger is not the newest. They hold until their announced end; `guard quarantine ls` shows them."
        )
        live.announce("ledger-adopted", "blocks were taken over from what bots see", body, Level.DANGER)
    if taken.rebuilt is not None and await live.all_committed():
        await taken.store.keep_note(REBUILT, None)


def rebuilt_text(rebuilt: Mapping[str, Any], told_seq: int) -> str:
    """Return what a rebuild came to: a sentence a line, since a message cuts long lines."""
    base = f"the backup {rebuilt['base']}" if rebuilt["base"] else "nothing"
    added = rebuilt["seq"] - rebuilt["base_seq"]
    text = [
        f"{rebuilt['why']}.",
        f"It was rebuilt from {base} and {added} entries of its journal, up to entry {rebuilt['seq']}.",
    ]
    if told_seq > rebuilt["seq"]:
        text += [
            f"Entries {rebuilt['seq'] + 1} to {told_seq} are lost; the blocks among them hold until their announced end,",
            "escalation and messages of that time are gone.",
        ]
    if rebuilt["aside"]:
        text.append(f"The old file is kept as {', '.join(rebuilt['aside'])}.")
    if rebuilt["passed_over"]:
        text.append(f"Not used: {'; '.join(rebuilt['passed_over'])[:500]}.")
    text.append("`guard quarantine ls` shows what holds now; some messages may come twice.")
    return "\n".join(text)


def ledger_record(live: Live, taken: Taken, keeper: LedgerKeeper) -> dict[str, Any]:
    """Return how the ledger stands, JSON-able."""
    health, kept = live.committer.health, keeper.health
    try:
        size: int | None = taken.store.path.stat().st_size
    except OSError:
        size = None
    return {
        "file": str(taken.store.path),
        "bytes": size,
        "layout": LAYOUT,
        "epoch": live.epoch,
        "seq": live.seq,
        "head": taken.store.head,
        "anchor": taken.store.anchor,
        "durable": live.is_durable,
        "waiting": health.waiting,
        "failures": health.failures,
        "refused": health.refused,
        "outage_since": None if health.outage_since_us is None else stamp(health.outage_since_us),
        "backup": kept.backup or None,
        "backup_at": None if kept.backup_us is None else stamp(kept.backup_us),
        "backups": kept.backups,
        "backups_bytes": kept.backup_bytes,
        "journal_seq": kept.journal_seq,
        "verified_at": None if kept.verified_us is None else stamp(kept.verified_us),
        "verified_seq": kept.verified_seq,
        "problem": kept.problem or None,
        "adopted": taken.adopted,
    }
