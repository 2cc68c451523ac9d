"""``guard client``: the client without an installation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.output import Exit
from guard.errors import OperationRefused, StateError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.cli.output import Output

__all__ = ["client"]

_MARK = b"Written by ``guard client vendor``"
_HEAD_BYTES = 2000


@click.group
def client() -> None:
    """Take guard's client to a bot."""


@client.command
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--adapter",
    "adapters",
    multiple=True,
    type=click.Choice(["ccxt", "freqtrade", "hummingbot", "nautilus"]),
    help="Put the adapter for this bot into the file, too.",
)
@click.option("--force", is_flag=True, help="Replace a file of that name that guard has not written.")
@click.pass_obj
def vendor(output: Output, folder: Path, *, adapters: Sequence[str], force: bool) -> int:
    """Write the client as one file, guard_client.py, into FOLDER.

    It needs the standard library of Python 3.10 or later and nothing else, so that no package of the bot's environment changes.
    After an update of guard, write it anew.
    """
    from guard.client.layout import VERSION
    from guard.runtime.vendoring import FILE_NAME, vendored

    path = folder / FILE_NAME
    if path.exists() and not force and _MARK not in path.read_bytes()[:_HEAD_BYTES]:
        raise OperationRefused(f"{path} is there and guard has not written it; move it away, or give --force")
    text = vendored(adapters)
    new = path.with_name(f".{FILE_NAME}.new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
    if output.is_json:
        output.document({"file": str(path), "layout": VERSION, "adapters": list(adapters), "bytes": len(text.encode())})
    else:
        output.text(f"wrote {path}: from guard_client import Guard")
    return Exit.OK
