"""The entry point: finds a command's module only when the command is used."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click

from guard.cli.output import Exit, Output, fail
from guard.errors import ConfigurationError, GuardError, NotRunning, Timeout

__all__ = ["main"]

_COMMANDS = {
    "init": "guard.cli.init:init",
    "run": "guard.cli.run:run",
    "status": "guard.cli.status:status",
    "why": "guard.cli.status:why",
    "report": "guard.cli.report:report",
    "doctor": "guard.cli.doctor:doctor",
    "check": "guard.cli.check:check",
    "bypass": "guard.cli.check:bypass",
    "quarantine": "guard.cli.quarantine:quarantine",
    "maintenance": "guard.cli.maintenance:maintenance",
    "replay": "guard.cli.replay:replay",
    "record": "guard.cli.record:record",
    "tape": "guard.cli.tape:tape",
    "rules": "guard.cli.rules:rules",
    "alerts": "guard.cli.alerts:alerts",
    "config": "guard.cli.config:config",
    "simulate": "guard.cli.simulate:simulate",
    "bench": "guard.cli.bench:bench",
    "exchanges": "guard.cli.exchanges:exchanges",
    "warm": "guard.cli.warm:warm",
    "version": "guard.cli.version:version",
    "completion": "guard.cli.version:completion",
}
_FIRST_PAGE = ("init", "run", "status", "why", "report", "doctor", "check", "bypass", "version", "completion")


class _LazyGroup(click.Group):
    """A group that imports a command when it is called for, so that ``guard check`` never loads what it does not need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help page."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        del ctx
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that a line begins with; a slip of the pen is answered with what was meant."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"No such command {args[0]!r}.{f' Did you mean {near[0]!r}?' if near else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what a newcomer needs first, then the rest."""
        for title, names in (
            ("Start here", _FIRST_PAGE),
            ("More", tuple(name for name in _COMMANDS if name not in _FIRST_PAGE)),
        ):
            rows = [(name, command.get_short_help_str(90)) for name in names if (command := self.get_command(ctx, name))]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def guard(ctx: click.Context) -> None:
    """Watch live markets, quarantine the ones that look manipulated, and tell the bot before each order."""
    ctx.ensure_object(Output)


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code. ``--json`` is accepted anywhere on the line."""
    _have_standard_streams()
    words = sys.argv[1:] if arguments is None else arguments
    output = Output(is_json="--json" in words)
    words = [word for word in words if word != "--json"]
    if words == ["--version"]:
        words = ["version"]
    sys.exit(_run(words, output))


def _have_standard_streams() -> None:
    """Open those that whoever started guard had closed: the ledger's file would take their numbers, and logs would go there."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The system gives the lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - it takes no name
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115 - for as long as the process lives


_CODES: tuple[tuple[type[GuardError], Exit], ...] = (
    (ConfigurationError, Exit.CONFIGURATION),
    (NotRunning, Exit.NOT_RUNNING),
    (Timeout, Exit.TIMEOUT),
    (GuardError, Exit.FINDINGS),
)


def _run(words: list[str], output: Output) -> int:
    try:
        answer: Any = guard.main(words, prog_name="guard", standalone_mode=False, obj=output)
    except click.ClickException as error:
        if output.is_json:
            return fail(output, Exit.USAGE, error.format_message())
        error.show()
        return Exit.USAGE
    except click.Abort:
        return 130
    except GuardError as error:
        code = next(code for kind, code in _CODES if isinstance(error, kind))
        return fail(output, code, str(error), problems=getattr(error, "problems", ()))
    return answer if isinstance(answer, int) else Exit.OK
