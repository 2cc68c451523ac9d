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
    from guard.runtime.replay import Replay

__all__ = ["replay"]

# The market leader, where the tape has it: returns are then judged net of what it explains.
_REFERENCE = "BTC/USDT"


@click.command
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--exchange", default="tape", show_default=True, help="Exchange name under which the markets of CSV files appear.")
@click.option("--rules", "rules_folder", type=click.Path(exists=True, path_type=Path), help="Folder of rule packs instead of ours.")
@click.option("--as-recorded", is_flag=True, help="With the rules, reloads and orders of the run that was recorded.")
@click.option("--batch", "batch_rows", default=16_384, show_default=True, type=click.IntRange(1, 1_000_000), help="Rows at once.")
@click.option("--jit/--no-jit", default=None, help="Run compiled, or not; by default where compiled code is there (guard warm).")
@click.pass_obj
def replay(
    output: Output,
    files: Sequence[Path],
    exchange: str,
    rules_folder: Path | None,
    batch_rows: int,
    *,
    as_recorded: bool,
    jit: bool | None,
) -> int:
    """Show what the rules make of recordings.

    FILES are CSV files, plain or .gz, with the columns symbol, timestamp (ms), side, price, amount, and recordings in Parquet;
    several merge by time.
    """
    from guard.runtime.clock import SystemClock
    from guard.runtime.replay import opened_tape

    if as_recorded and rules_folder is not None:
        raise click.UsageError("--as-recorded takes the rules of the recording: leave --rules away")
    write = output.line if output.is_json else _printer(output)
    tape = opened_tape(files, exchange=exchange)
    is_jitted = _is_compiled(output) if jit is None else jit
    options = {"batch_rows": batch_rows, "write": write, "takes_arrays": is_jitted, "compiles_first": bool(jit)}
    run = _as_recorded(tape, files, options) if as_recorded else _by_rules(tape, rules_folder, options)
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


def _by_rules(tape: Any, folder: Path | None, options: dict[str, Any]) -> Replay:  # noqa: ANN401 - of a connector
    from guard.pipeline import Pipeline, Settings
    from guard.runtime.replay import Replay

    settings = Settings(references=dict.fromkeys(tape.exchanges, _REFERENCE))
    return Replay(Pipeline(_program(folder), settings, jit=options["takes_arrays"]), **options)


def _as_recorded(tape: Any, files: Sequence[Path], options: dict[str, Any]) -> Replay:  # noqa: ANN401 - of a connector
    from guard.runtime.course import Course
    from guard.runtime.replay_recorded import RecordedReplay, recorded_pipeline

    course = Course(tape.course, files[0])
    return RecordedReplay(recorded_pipeline(course, jit=options["takes_arrays"]), course, **options)


def _is_compiled(output: Output) -> bool:
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
    if summary["left_out"]:
        text = f"{summary['left_out']:,} reloads and orders of the recorded run were left out; --as-recorded does them again"
        output.text(text)
    if summary["detectors_demoted"]:
        output.text(f"switched off in the recording: {', '.join(summary['detectors_demoted'])}")
    for reason, count in summary["rejected"].items():
        output.text(f"{count:,} rows were refused: {reason}")
    for example in summary["rejected_examples"]:
        output.text(f"    {example}")
    output.text(f"digest {summary['digest']}")
