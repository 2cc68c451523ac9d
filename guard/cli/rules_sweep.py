"""``guard rules sweep``."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit, leave_quietly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.cli.output import Output
    from guard.dsl import RuleSet
    from guard.dsl.trials import Parameter
    from guard.runtime.sweep import Measured, Sweep

__all__ = ["sweep"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SUFFIXES = (".svg", ".png")


@click.command
@click.argument("rule", metavar="RULE")
@click.argument("more", metavar="[FILES]...", nargs=-1, type=_FILE)
@click.option(
    "--param",
    "params",
    multiple=True,
    required=True,
    metavar="KEY=VALUES",
    help="A number of the rule and what to try: levels.danger=0.6..0.9, for=1s,2s,5s. Several give all combinations.",
)
@click.option(
    "--steps", default=20, show_default=True, type=click.IntRange(2, 1000), help="Values of a range, both ends among them."
)
@click.option("--tape", "tapes", multiple=True, type=_FILE, metavar="FILES", help="Recordings, as guard replay takes them.")
@click.option("--truth", type=_FILE, help="What happened on them: CSV with the columns market, start, end.")
@click.option("--exchange", default="tape", show_default=True, help="Exchange name under which the markets of CSV files appear.")
@click.option("--rules", "rules_name", help="A folder, a pack, a guard.yaml or guard:NAME; the guard.yaml in use, else guard:.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes; by default one for each core.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Also draw a picture: NAME.svg or NAME.png.")
@click.pass_obj
def sweep(
    output: Output,
    *,
    rule: str,
    more: Sequence[Path],
    params: Sequence[str],
    steps: int,
    tapes: Sequence[Path],
    truth: Path | None,
    exchange: str,
    rules_name: str | None,
    jobs: int | None,
    out: Path | None,
) -> int:
    """Try other values for numbers of a rule on recordings.

    Replays the recordings once for each value, with all rules of the set, and tells what RULE makes of it each time:
    quarantines, minutes blocked, and with --truth what was found, and when. KEY is levels.danger, for, clear.for,
    risk.NAME.weight, use.NAME.params.NAME, let.NAME and so on; a wrong one is answered with those that there are.

    Exits 1 where a value could not be tried, or the picture not be written.
    """
    from guard.cli.replay import is_compiled
    from guard.dsl.trials import is_disabled, trials
    from guard.errors import OperationRefused
    from guard.runtime.crew import cores
    from guard.runtime.sweep import Sweep
    from guard.runtime.sweep import sweep as run_sweep
    from guard.runtime.truth import read_truth

    files = [*tapes, *more]
    if not files:
        raise click.UsageError("there is no recording: --tape FILES")
    if out is not None and out.suffix not in _SUFFIXES:
        raise click.BadParameter(f"a picture is named {' or '.join(f'NAME{suffix}' for suffix in _SUFFIXES)}", param_hint="--out")
    if out is not None and not os.access(out.parent, os.W_OK):
        raise click.BadParameter(f"there is no folder {out.parent} to write into", param_hint="--out")
    name, rules = _rules(rules_name)
    parameters, settings = trials(rules, rule, params, steps=steps)
    if all(is_disabled(rules, rule, setting) for setting in settings):
        raise OperationRefused(f"{rule} is disabled in {name}, so no value makes a difference; --param mode=enforce tries it")
    asked = Sweep(
        files,
        exchange,
        rules,
        rule,
        settings,
        read_truth(truth) if truth is not None else (),
        jit=is_compiled(output),
    )
    measured = []
    with closing(run_sweep(asked, jobs=jobs or cores())) as running:
        for row in running:
            measured.append(row)
            _progress(output, len(measured), len(settings))
    try:
        return _tell(output, asked, parameters, measured, name=name, out=out)
    except BrokenPipeError:
        leave_quietly()
        return Exit.OK


def _rules(named: str | None) -> tuple[str, RuleSet]:
    from guard.runtime.rule_sets import rule_set

    if named is None:
        named = str(guard_file()) if guard_file().is_file() else "guard:"
    return named, rule_set(named, os.environ)


def _progress(output: Output, done: int, count: int) -> None:
    if not output.is_json and sys.stderr.isatty():
        click.echo(f"\r{done} of {count} settings" if done < count else "\r\033[K", nl=False, err=True)


def _tell(
    output: Output, asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured], *, name: str, out: Path | None
) -> int:
    from guard.cli.sweep_table import document, show_table

    problem = None if out is None else _drawn(out, asked, parameters, measured)
    if output.is_json:
        drawn = None if out is None or problem else str(out)
        output.document({"rules": name, **document(asked, parameters, measured), "picture": drawn, "picture_error": problem})
    else:
        show_table(output, asked, parameters, measured, name=name)
        if out is not None:
            output.text(f"no picture: {problem}" if problem else f"picture: {out}")
    sys.stdout.flush()
    return Exit.FINDINGS if problem or any(row.error is not None for row in measured) else Exit.OK


def _drawn(out: Path, asked: Sweep, parameters: Sequence[Parameter], measured: Sequence[Measured]) -> str | None:
    """Draw the picture; returns why it cannot be written, None where it is."""
    from guard.cli.sweep_picture import draw

    try:
        draw(out, asked, parameters, measured)
    except OSError as error:
        return f"{out} cannot be written: {error.strerror or error}"
    return None
