"""``guard replay``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit, Output, leave_quietly
from guard.cli.wording import counts_text, hole_text, judged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guard.dsl import Program
    from guard.pipeline import Settings
    from guard.runtime.replay import Replay

__all__ = ["is_compiled", "replay"]


@click.command
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--exchange", default="tape", show_default=True, help="Exchange name under which the markets of CSV files appear.")
@click.option("--rules", "rules_name", help="Rules instead of ours: a folder of packs, a pack, a guard.yaml, or guard:NAME.")
@click.option(
    "--diff",
    "diff_names",
    nargs=2,
    metavar="OLD NEW",
    help="What two rule sets make of the recordings, and what differs: each as --rules has it, guard: for the shipped ones.",
)
@click.option("--only", "only", multiple=True, metavar="RULE", help="With --diff: this rule alone; may be repeated.")
@click.option(
    "--within",
    "within_us",
    default="60s",
    show_default=True,
    callback=duration_option,
    help="With --diff: what begins so near to each other is the same, moved.",
)
@click.option("--as-recorded", is_flag=True, help="With the rules, reloads and orders of the run that was recorded.")
@click.option("--batch", "batch_rows", default=65_536, show_default=True, type=click.IntRange(1, 1_000_000), help="Rows at once.")
@click.option("--jit/--no-jit", default=None, help="Run compiled, or not; by default where compiled code is there (guard warm).")
@click.pass_obj
def replay(
    output: Output,
    *,
    files: Sequence[Path],
    exchange: str,
    rules_name: str | None,
    diff_names: tuple[str, str] | None,
    only: Sequence[str],
    within_us: int,
    batch_rows: int,
    as_recorded: bool,
    jit: bool | None,
) -> int:
    """Show what the rules make of recordings.

    FILES are CSV files, plain or .gz, with the columns symbol, timestamp (ms), side, price, amount; recordings in Parquet and
    folders of their segments; CSV of Tardis and public dumps of Binance. Several merge by time.

    With --diff it exits 1 where a level, a time or a quarantine differs, and 0 where none does.
    """
    if diff_names and rules_name:
        raise click.UsageError("--diff names both rule sets, so --rules has no meaning beside it")
    if only and not diff_names:
        raise click.UsageError("--only goes with --diff")
    if as_recorded and (rules_name or diff_names):
        raise click.UsageError("--as-recorded takes the rules of the recording: leave --rules and --diff away")
    from guard.runtime.clock import SystemClock
    from guard.runtime.replay import opened_tape
    from guard.runtime.settings import tape_settings

    write = output.line if output.is_json else _printer(output)
    tape = opened_tape(files, exchange=exchange)
    settings = tape_settings(tape)
    is_jitted = is_compiled(output) if jit is None else jit
    if diff_names:
        return _diff(output, tape, settings, diff_names, only=only, within_us=within_us, batch_rows=batch_rows, jit=is_jitted)
    options = {"batch_rows": batch_rows, "write": write, "takes_arrays": is_jitted, "compiles_first": bool(jit)}
    run = _as_recorded(tape, files, options) if as_recorded else _by_rules(rules_name, settings, options)
    try:
        summary = run.play(tape, clock=SystemClock())
        if output.is_json:
            output.line(summary)
        else:
            _print_summary(output, summary, as_recorded=as_recorded)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
    return Exit.FINDINGS if as_recorded and not _is_whole(summary) else Exit.OK


def _is_whole(summary: dict[str, Any]) -> bool:
    """Whether nothing is missing inside a recording; that it ends where its run was killed is no hole."""
    *inside, last = summary["holes"] or [{"reason": "not closed"}]
    return not inside and last["reason"].startswith(("not closed", "torn"))


def _diff(
    output: Output,
    tape: Any,  # noqa: ANN401 - guard imports no connector
    settings: Settings,
    names: tuple[str, str],
    *,
    only: Sequence[str],
    within_us: int,
    batch_rows: int,
    jit: bool,
) -> Exit:
    from guard.cli.replay_diff import show_diff
    from guard.dsl.problems import guessed
    from guard.errors import OperationRefused
    from guard.runtime.comparison import compare
    from guard.runtime.rule_sets import rule_set

    old, new = (rule_set(name, os.environ) for name in names)
    known = [rule.id for rules in (old, new) for rule in rules.rules]
    for rule in only:
        if rule not in known:
            raise OperationRefused(guessed(f"neither rule set has a rule {rule!r}", rule, known))
    found = compare(tape, old, new, settings, only=only, within_us=within_us, jit=jit, batch_rows=batch_rows)
    try:
        code = show_diff(output, found, names)
        sys.stdout.flush()
    except BrokenPipeError:
        leave_quietly()
        return Exit.OK if found.is_same else Exit.FINDINGS
    return code


def _by_rules(rules_name: str | None, settings: Settings, options: dict[str, Any]) -> Replay:
    from guard.pipeline import Pipeline
    from guard.runtime.replay import Replay

    return Replay(Pipeline(_program(rules_name), settings, jit=options["takes_arrays"]), **options)


def _as_recorded(tape: Any, files: Sequence[Path], options: dict[str, Any]) -> Replay:  # noqa: ANN401 - of a connector
    from guard.errors import OperationRefused
    from guard.runtime.course import Course
    from guard.runtime.replay_recorded import RecordedReplay, recorded_pipeline

    if len(tape.runs) > 1:
        raise OperationRefused(
            f"--as-recorded does one run again, and here are {len(tape.runs)}: {', '.join(tape.runs)}; name the files of one, "
            f"{Path(files[0] if files[0].is_dir() else files[0].parent, tape.runs[-1])}-*"
        )
    course = Course(tape.course, files[0])
    return RecordedReplay(recorded_pipeline(course, jit=options["takes_arrays"]), course, **options)


def is_compiled(output: Output) -> bool:
    """Whether compiled code is there; where it could be but is not, tell a person so."""
    from guard.runtime.acceleration import is_ready, wanted

    is_found = is_ready(os.environ)
    if not is_found and not output.is_json and wanted(os.environ):
        click.echo("this replay runs without compiled code; `guard warm`, once, makes replays several times faster", err=True)
    return is_found


def _program(named: str | None) -> Program:
    from guard.dsl import compile_rules
    from guard.runtime.rule_sets import rule_set

    return compile_rules(rule_set(named or "guard:", os.environ))


def _printer(output: Output) -> Any:  # noqa: ANN401 - a function over records
    def write(record: dict[str, Any]) -> None:
        if record["type"] == "quarantine":
            output.text(
                f"{record['ts']}  {record['target']:<20} {record['state'].upper():<12} {record['cause']:<14} "
                f"until {record['until']}  {record['reason']}  [{record['id']}]"
            )
        else:
            score = "" if record["score"] is None else f"score {record['score']:.2f}"
            subject, quorum = judged(record)
            together = f"  {quorum}; last {record['market']}" if quorum else ""
            output.text(f"{record['ts']}  {subject:<20} {record['level']:<12} {record['rule']:<14} {score}{together}")

    return write


def _print_summary(output: Output, summary: dict[str, Any], *, as_recorded: bool) -> None:
    output.text("")
    for hole in summary["holes"]:
        output.text(hole_text(hole))
    if as_recorded and not _is_whole(summary):
        output.text("the recording has holes: from the first one on these need not be the decisions of the run")
    output.text(
        f"{summary['events']:,} events of {summary['markets']} markets in {summary['seconds']} s "
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
    for lane, counts in summary.get("actions", {}).items():
        output.text(f"{lane}: a replay posts and calls nothing; live it would be {counts_text(counts)}")
    for reason, count in summary["rejected"].items():
        output.text(f"{count:,} rows were refused: {reason}")
    for example in summary["rejected_examples"]:
        output.text(f"    {example}")
    output.text(f"digest {summary['digest']}")
