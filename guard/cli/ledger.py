"""``guard ledger``: back the ledger up, check it, write it out, and bring it back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.output import Exit
from guard.cli.wording import moment, safe
from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from guard.cli.output import Output
    from guard.runtime.state import StateFolder
    from guard.store.verify import Standing

__all__ = ["ledger"]

_EXPORT_HEAD = b'{"begin":'
_state = click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
_file = click.argument("file", required=False, type=click.Path(path_type=Path))


@click.group
def ledger() -> None:
    """Look after the ledger.

    It tells what is held, who decided it, which messages wait.

    All but restore work beside a guard that runs, which makes backups of its own.
    """


@ledger.command
@_state
@click.pass_obj
def info(output: Output, *, state: str | None) -> int:
    """Tell where the ledger stands, and what could rebuild it."""
    from guard.store.verify import look_at

    folder = _folder(state)
    standing = look_at(folder.ledger)
    backups = folder.backups().backups()
    found = {
        **_record(folder.ledger, standing),
        "backups": [{"file": str(each.path), "bytes": each.bytes, "made_us": each.made_us} for each in backups],
        "journals": [str(each) for each in folder.backups().journals()],
        "aside": sorted(str(each) for each in folder.path.glob("ledger.sqlite*.damaged-*")),
    }
    if output.is_json:
        output.document(found)
        return Exit.OK
    _tell(output, folder.ledger, standing)
    now_us = MACHINE.wall_us()
    if backups:
        output.text(f"{len(backups)} backups, the newest {backups[0].path.name} of {moment(backups[0].made_us, now_us=now_us)}")
    else:
        output.text("no backup yet; guard makes one when it runs, `guard ledger backup` at once")
    for name in found["aside"]:
        output.text(f"an old ledger was moved aside: {safe(name)}")
    return Exit.OK


@ledger.command
@_file
@_state
@click.pass_obj
def backup(output: Output, *, file: Path | None, state: str | None) -> int:
    """Copy the ledger as it stands, guard running or not.

    To FILE, or among guard's own backups.

    The copy is one file, whole and checked, or there is none.
    """
    from guard.errors import Unavailable
    from guard.store.backup import copy_ledger
    from guard.store.verify import look_at

    folder = _folder(state)
    if file is None:
        path = folder.backups().make(folder.ledger).path
    else:
        path = file
        _refuse_to_replace(path, folder)
        try:
            copy_ledger(folder.ledger, path)
        except OSError as error:
            raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
    standing = look_at(path)
    if output.is_json:
        output.document(_record(path, standing))
    else:
        output.text(f"{safe(str(path))} has the ledger up to entry {standing.seq}, {standing.active} targets held")
    return Exit.OK


@ledger.command
@_file
@click.option("--anchor", metavar="SEQ:HASH", help="An earlier end of the trail, kept elsewhere: it must still be in it.")
@_state
@click.pass_obj
def verify(output: Output, *, file: Path | None, anchor: str | None, state: str | None) -> int:
    """Check the ledger, or a backup, from page to trail.

    Pages, the chain of the trail, and that what is held is what the trail tells.

    Ends with 1 and the first row that is wrong.
    """
    from guard.store.damage import Damaged
    from guard.store.verify import verify_ledger

    path = file or _folder(state).ledger
    try:
        standing = verify_ledger(path, now_us=MACHINE.wall_us(), anchor=None if anchor is None else _anchor(anchor))
    except Damaged as error:
        if file is not None:
            raise
        raise Damaged(f"{error}; a start of guard rebuilds it from its backups, `guard ledger restore` without a start") from error
    if output.is_json:
        output.document({**_record(path, standing), "good": True})
    else:
        _tell(output, path, standing)
        output.text("all of it is good: pages, chain, table")
    return Exit.OK


@ledger.command
@click.option("--since", "since_seq", type=click.IntRange(0), default=0, help="Only entries after this one.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; by default stdout.")
@_state
@click.pass_obj
def export(output: Output, *, since_seq: int, out: Path | None, state: str | None) -> int:
    """Write trail, what is held, and outbox as JSON lines.

    `guard ledger restore BACKUP --export FILE` reads them again. With --since a line before the first names where it goes on.
    """
    from guard.store.export import export_lines

    folder = _folder(state)
    if out is not None:
        _refuse_to_replace(out, folder)
    lines = export_lines(folder.ledger, since_seq)
    if out is None:
        for line in lines:
            output.text(line)
        return Exit.OK
    from guard.errors import Unavailable
    from guard.runtime.whole_file import replace_file

    try:
        size = replace_file(out, (f"{line}\n".encode() for line in lines))
    except OSError as error:
        raise Unavailable(f"{out} cannot be written: {error.strerror}") from error
    if output.is_json:
        output.document({"file": str(out), "bytes": size})
    else:
        output.text(f"{safe(str(out))} has {size} bytes")
    return Exit.OK


@ledger.command
@_file
@click.option("--export", "exports", multiple=True, type=click.Path(path_type=Path, exists=True), help="Entries after the backup.")
@click.option("--only", "is_only", is_flag=True, help="Take FILE as it is, without what journals tell after it.")
@click.option("--empty", "is_empty", is_flag=True, help="Begin empty; the blocks that bots see hold until their end.")
@_state
@click.pass_obj
def restore(
    output: Output, *, file: Path | None, exports: tuple[Path, ...], is_only: bool, is_empty: bool, state: str | None
) -> int:
    """Put the ledger back from FILE or the newest good backup.

    What happened since comes from the journal.

    Guard must not run. The old file is kept aside. Blocks that bots were shown and the backup does not have hold until their
    announced end: the next start takes them over.
    """
    from guard.store.rebuild import rebuild

    if is_empty and (file or exports or is_only):
        raise click.UsageError("--empty begins with nothing; leave FILE, --export and --only away")
    if is_only and file is None:
        raise click.UsageError("--only needs the FILE that is taken")
    with _folder(state) as folder:
        found = rebuild(
            folder.ledger,
            folder.backups(),
            why="a person restored it",
            now_us=MACHINE.wall_us(),
            base=file,
            exports=exports,
            is_only=is_only,
            is_empty=is_empty,
        )
    if output.is_json:
        output.document({"file": str(folder.ledger), **found._asdict()})
        return Exit.OK
    base = safe(found.base) or "nothing"
    output.text(f"the ledger is restored from {base} up to entry {found.seq}, {found.seq - found.base_seq} of them from journals")
    if found.aside:
        output.text(f"the old one is kept as {safe(', '.join(found.aside))}")
    for each in found.passed_over:
        output.text(f"not used: {safe(each)}")
    output.text("start guard; what bots see blocked stays so until its end")
    return Exit.OK


def _folder(state: str | None) -> StateFolder:
    from guard.runtime.state import StateFolder

    return StateFolder(state)


def _refuse_to_replace(file: Path, folder: StateFolder) -> None:
    """Refuse to write over the ledger, or over what neither a backup nor an export left there: a slip costs guard.yaml."""
    from guard.errors import OperationRefused
    from guard.store.verify import is_ledger

    try:
        if file.exists() and file.samefile(folder.ledger):
            raise OperationRefused(f"{file} is the ledger itself; name another file")
        if file.is_file() and file.stat().st_size and not (is_ledger(file) or _is_export(file)):
            raise OperationRefused(f"{file} is there, and is neither a ledger nor an export; nothing is overwritten")
    except OSError as error:
        raise OperationRefused(f"{file} cannot be looked at: {error.strerror}") from error


def _is_export(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(_EXPORT_HEAD)) == _EXPORT_HEAD


def _anchor(text: str) -> tuple[int, str]:
    seq, colon, head = text.partition(":")
    if not (colon and seq.isdigit() and head):
        raise click.BadParameter(f"an anchor is written 120:3fa9..., as `guard ledger info` shows it; found {text!r}")
    return int(seq), head


def _record(path: Path, standing: Standing) -> dict[str, Any]:
    return {"file": str(path), **standing._asdict(), "anchor": f"{standing.seq}:{standing.head}"}


def _tell(output: Output, path: Path, standing: Standing) -> None:
    waiting = standing.outbox.get("pending", 0)
    output.text(f"{safe(str(path))}: {standing.bytes} bytes, layout {standing.layout}, epoch {standing.epoch}")
    output.text(f"{standing.active} targets are held, {waiting} messages wait; the trail ends at {standing.seq}:{standing.head}")
