"""``guard config``: check and show guard.yaml."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit
from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["config"]

_FILE = click.argument("file", required=False, type=click.Path(path_type=Path))


@click.group
def config() -> None:
    """Check and show guard.yaml."""


def _file(file: Path | None) -> Path:
    return file or guard_file()


@config.command
@_FILE
@click.option("--strict", is_flag=True, help="Warnings fail too, with exit code 1.")
@click.pass_obj
def check(output: Output, file: Path | None, *, strict: bool) -> int:
    """Find every mistake in guard.yaml, its variables and secrets.

    The connectors are asked whether they take their options. `guard rules check` looks at the rules too.
    """
    from guard.cli.problems import errors_of, show_problems
    from guard.dsl import load_guard
    from guard.dsl.loading import check_guard
    from guard.runtime.option_check import option_problems

    path = _file(file)
    problems = check_guard(path, os.environ, now_us=MACHINE.wall_us())
    if not errors_of(problems):
        problems += tuple(option_problems(load_guard(path, os.environ)))
    show_problems(output, problems, [path])
    if errors_of(problems):
        return Exit.CONFIGURATION
    return Exit.FINDINGS if strict and problems else Exit.OK


@config.command
@_FILE
@click.option("--redacted/--plain", default=True, show_default=True, help="Mask addresses and options that may hold a secret.")
@click.pass_obj
def show(output: Output, file: Path | None, *, redacted: bool) -> None:
    """Show guard.yaml with all values filled in.

    Variables, secrets and defaults; what may be secret is masked.
    """
    from guard.dsl import load_guard
    from guard.dsl.describe import configuration

    found = configuration(load_guard(_file(file), os.environ), is_redacted=redacted)
    if output.is_json:
        output.document({"config": found})
        return
    import yaml

    output.text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=120).rstrip())
