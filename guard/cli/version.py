"""``guard version`` and ``guard completion``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from guard import __version__

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["completion", "version"]


@click.command
@click.pass_obj
def version(output: Output) -> None:
    """Show guard's version."""
    if output.is_json:
        output.document({"version": __version__, "python": sys.version.split()[0]})
    else:
        output.text(f"guard {__version__} (Python {sys.version.split()[0]})")


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def completion(output: Output, shell: str) -> None:
    """Print a completion script for a shell."""
    from click.shell_completion import get_completion_class

    from guard.cli.main import guard

    kind = get_completion_class(shell)
    assert kind is not None
    output.text(kind(guard, {}, "guard", "_GUARD_COMPLETE").source())
