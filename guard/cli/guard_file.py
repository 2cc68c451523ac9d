"""Which guard.yaml, and which state folder, a command uses."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["config_option", "guard_file", "state_option"]

_VARIABLE = "GUARD_CONFIG"
_NAME = "guard.yaml"

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=_NAME,
    show_default=True,
    envvar=_VARIABLE,
    help="The file to read.",
)
state_option = click.option(
    "--state", type=click.Path(path_type=Path), envvar="GUARD_STATE", help="State folder; by default the one of guard.yaml."
)


def guard_file() -> Path:
    """Return the guard.yaml in use: GUARD_CONFIG, else the one in the working folder."""
    return Path(os.environ.get(_VARIABLE) or _NAME)
