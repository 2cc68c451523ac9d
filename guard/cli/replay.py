"""``guard replay``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.output import Exit, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl import Program

__all__ = ["is_compiled", "replay"]

# The market leader, where the tape has it: returns are then judged net of what it explains.
_REFERENCE = "BTC/USDT"


@click.command
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--exchange", default="tape", show_default=True, help="Exchange name under which the markets of CSV files appear.")
@click.option("--rules", "rules_folder", type=click.Path(exists=True, path_type=Path), help="Folder of rule packs instead of ours.")
@click.option("--batch", "batch_rows", default=16_384, show_default=True, type=click.IntRange(1, 1_000_000), help="Rows at once.")
@click.option("--jit/--no-jit", default=None, help="Run compiled, or not; by default where compiled code is there (guard warm).")
@click.pass_obj
def replay(
    output: Output, files: Sequence[Path], exchange: str, rules_folder: Path | None, batch_rows: int, *, jit: bool | None
) -> int:
    """Show what the rules make of recordings.

    FILES are CSV files, plain or .gz, with the columns symbol, timestamp (ms), side, price, amount, and recordings in Parquet;
    several merge by time.
    """
    from guard.pipeline import Pipeline, Settings
    from guard.runtime.clock import SystemClock
    from guard.runtime.replay import Replay, opened_tape

    write = output.line if output.is_json else _printer(output)
    tape = opened_tape(files, exchange=exchange)
    settings = Settings(references=dict.fromkeys(tape.exchanges, _REFERENCE))
    is_jitted = is_compiled(output) if jit is None else jit
    pipeline = Pipeline(_program(rules_folder), settings, jit=is_jitted)
    run = Replay(pipeline, batch_rows=batch_rows, write=write, takes_arrays=is_jitted, compiles_first=bool(jit))
    try:
        summary = run.play(tape, clock=SystemClock())
        if output.is_json:
            output.line(summary)
        else:
            _print_summary(output, summary)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough (head); otherwise Python would complain of the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.OK


def is_compiled(output: Output) -> bool:
    """Whether compiled code is there; where it could be but is not, tell a person so."""
    from guard.runtime.acceleration import is_ready, wanted

    is_found = is_ready(os.environ)
    if not is_found and not output.is_json and wanted(os.environ):
        click.echo("this replay runs without compiled code; `guard warm`, once, makes replays several times faster", err=True)
    return is_found


def _program(folder: Path | None) -> Program:
    from guard.dsl import compile_rules, load_rules, shipped_packs

    return compile_rules(load_rules([folder] if folder else shipped_packs()))


def _printer(output: Output) -> Any:  # noqa: ANN401 - a function over records
    def write(record: dict[str, Any]) -> None:
        if record["type"] == "quarantine":
            output.text(
                f"{record['ts']}  {record['market']:<20} {record['state'].upper():<12} {record['cause']:<14} "
                f"until {record['until']}  {record['reason']}  [{record['id']}]"
            )
        else:
            score = "" if record["score"] is None else f"score {record['score']:.2f}"
            output.text(f"{record['ts']}  {record['market']:<20} {record['level']:<12} {record['rule']:<14} {score}")

    return write


def _print_summary(output: Output, summary: dict[str, Any]) -> None:
    output.text("")
    output.text(
        f"{summary['events']:,} trades of {summary['markets']} markets in {summary['seconds']} s "
        f"({summary['events_per_second']:,} a second)"
    )
    levels = ", ".join(f"{count} {level}" for level, count in summary["verdicts"].items())
    output.text(f"verdicts: {levels}; quarantines: {summary['quarantines']}, {summary['blocked_minutes']} minutes blocked")
    if summary["repeated"]:
        output.text(f"{summary['repeated']:,} rows were dropped: a download page had repeated them")
    for fault in summary["detector_faults"]:
        output.text(f"detector {fault['detector']}: {fault['times']:,} of {fault['calls']:,} calls failed: {fault['text']}")
    if summary["detectors_demoted"]:
        output.text(f"switched off in the recording: {', '.join(summary['detectors_demoted'])}")
    for reason, count in summary["rejected"].items():
        output.text(f"{count:,} rows were refused: {reason}")
    for example in summary["rejected_examples"]:
        output.text(f"    {example}")
    output.text(f"digest {summary['digest']}")
