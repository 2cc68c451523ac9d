"""``guard token``: who may use the HTTP interface. Works with guard up or down; a change counts within a second."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.api.tokens import SECRET_BYTES, Scope, Token, TokenFile
from guard.cli.durations import duration_option
from guard.cli.output import Exit
from guard.cli.wording import moment
from guard.client.clock import MACHINE
from guard.client.places import locate
from guard.errors import StateError
from guard.model.moments import stamp

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["token"]

_state = click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")


@click.group
def token() -> None:
    """See, add, rotate and remove tokens of the HTTP interface.

    A token is shown once; guard keeps its SHA-256 only.
    """


@token.command
@click.argument("name")
@click.option(
    "--scope",
    type=click.Choice([str(scope) for scope in Scope]),
    default="read",
    show_default=True,
    help="read: check and follow; operate: hold markets, too; admin: release and permit, too.",
)
@_state
@click.pass_obj
def add(output: Output, *, name: str, scope: str, state: str | None) -> int:
    """Add a token and show it, once."""
    text = _file(state).add(name, Scope.of(scope), _secret(), MACHINE.wall_us())
    return _show_once(output, name, text)


@token.command
@_state
@click.pass_obj
def ls(output: Output, *, state: str | None) -> int:
    """List tokens, without their texts."""
    tokens = _file(state).tokens()
    now_us = MACHINE.wall_us()
    if output.is_json:
        output.document({"tokens": [_record(each, now_us) for each in tokens]})
    elif not tokens:
        output.text("no token; nothing opens the HTTP interface but the unix socket of its owner")
    else:
        rows = [(each.name, str(each.scope), moment(each.created_us, now_us=now_us), _old(each, now_us)) for each in tokens]
        output.table(("name", "scope", "made", "before it"), rows)
    return Exit.OK


@token.command
@click.argument("name")
@_state
@click.pass_obj
def rm(output: Output, *, name: str, state: str | None) -> int:
    """Remove a token; whoever uses it is refused within a second."""
    _file(state).remove(name)
    if output.is_json:
        output.document({"removed": name})
    else:
        output.text(f"{name} is removed")
    return Exit.OK


@token.command
@click.argument("name")
@click.option("--keep", "keep_us", callback=duration_option, help="How long the old text is good, too: 10m. Not at all without it.")
@_state
@click.pass_obj
def rotate(output: Output, *, name: str, keep_us: int | None, state: str | None) -> int:
    """Give a token another text and show it, once."""
    text = _file(state).rotate(name, _secret(), MACHINE.wall_us(), keep_us=keep_us or 0)
    return _show_once(output, name, text)


def _file(state: str | None) -> TokenFile:
    folder = Path(locate(state).state)
    if not folder.is_dir():
        raise StateError(f"there is no state folder {folder}; run this where guard.yaml is, or give --state")
    return TokenFile(folder / "tokens.json")


def _secret() -> bytes:
    from guard.runtime.clock import secret_bytes

    return secret_bytes(SECRET_BYTES)


def _show_once(output: Output, name: str, text: str) -> int:
    if output.is_json:
        output.document({"name": name, "token": text})
    else:
        output.text(text)
    return Exit.OK


def _old(each: Token, now_us: int) -> str:
    if not each.old_digest or each.old_until_us <= now_us:
        return ""
    return f"good until {moment(each.old_until_us, now_us=now_us)}"


def _record(each: Token, now_us: int) -> dict[str, object]:
    return {
        "name": each.name,
        "scope": str(each.scope),
        "created": stamp(each.created_us),
        "old_until": stamp(each.old_until_us) if each.old_digest and each.old_until_us > now_us else None,
    }
