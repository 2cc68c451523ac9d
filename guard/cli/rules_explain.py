"""``guard rules explain``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.cli.output import Output
    from guard.dsl import Program
    from guard.model import Mode
    from guard.runtime.explaining import At

__all__ = ["explain"]

_PATH = click.Path(exists=True, path_type=Path)
_TAPE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command
@click.argument("rule")
@click.argument("market")
@click.option("--tape", "tapes", multiple=True, type=_TAPE, metavar="FILE", help="Recording to replay; several merge by time.")
@click.option("--at", help="Moment of the tape: 2018-09-07T15:31:05Z, or +90s from its beginning; default: the highest score.")
@click.option("--rules", "paths", multiple=True, type=_PATH, help="Packs or folders; default: those of guard.yaml, else ours.")
@click.option("--exchange", default="tape", show_default=True, help="Exchange name under which the markets of CSV files appear.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the running guard.")
@click.pass_obj
def explain(  # noqa: PLR0917 - what the command line gives
    output: Output,
    rule: str,
    market: str,
    tapes: Sequence[Path],
    at: str | None,
    paths: Sequence[Path],
    exchange: str,
    state: str | None,
) -> int:
    """Show every part of RULE with its value on MARKET.

    With --tape: at a moment of recordings, which are replayed up to it. Without: now, in the running guard.
    """
    from guard.cli.explanation import page, page_width
    from guard.cli.why_page import why_lines

    found: Mapping[str, Any]
    if tapes:
        found = _on_tape(output, rule, market, tapes=tapes, at=_moment(at), paths=paths, exchange=exchange)
    elif at is not None or paths:
        raise click.UsageError("--at and --rules go with --tape: without a recording the running guard is asked, as it stands now")
    else:
        from guard.api.call import call
        from guard.client.places import locate

        found = call(locate(state).socket, "why", market=market, rule=rule)
    if output.is_json:
        output.document(found)
        return Exit.OK
    page(output, why_lines(found, width=page_width(), is_full=True))
    return Exit.OK


def _on_tape(
    output: Output, rule: str, market: str, *, tapes: Sequence[Path], at: At | None, paths: Sequence[Path], exchange: str
) -> dict[str, Any]:
    from guard.cli.replay import is_compiled
    from guard.runtime.explaining import explained_on_tape
    from guard.runtime.replay import opened_tape

    program, mode = _rules(paths)
    tape = opened_tape(tapes, exchange=exchange)
    is_jitted = is_compiled(output)
    return explained_on_tape(tape, program, rule=rule, market=market, at=at, mode=mode, is_jitted=is_jitted)


def _rules(paths: Sequence[Path]) -> tuple[Program, Mode]:
    """Return the rules of some paths, else of guard.yaml with its mode, else the shipped ones."""
    from guard.dsl import compile_rules, load_guard, load_rules, shipped_packs
    from guard.model import Mode

    if paths:
        return compile_rules(load_rules(paths)), Mode.ENFORCE
    if guard_file().is_file():
        config = load_guard(guard_file(), os.environ)
        return compile_rules(load_rules(config)), config.mode
    return compile_rules(load_rules(shipped_packs())), Mode.ENFORCE


def _moment(text: str | None) -> At | None:
    """Return the moment that ``--at`` names."""
    from datetime import UTC, datetime

    from guard.dsl.values import duration_us
    from guard.runtime.explaining import At

    if text is None:
        return None
    example = "2018-09-07T15:31:05Z, or +90s from the beginning of the tape"
    try:
        if text.startswith("+"):
            return At(duration_us(text[1:]), is_since_start=True)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"expected a moment such as {example}; found {text[:40]!r}", param_hint="--at") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return At((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds, is_since_start=False)
