"""``guard tape``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.output import Exit, Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["tape"]

_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
_EXCHANGE = click.option("--exchange", default="tape", show_default=True, help="Exchange name of the markets of CSV files.")


@click.group
def tape() -> None:
    """Look at recordings, and make one of others."""


@tape.command(name="info")
@_FILES
@_EXCHANGE
@click.pass_obj
def contents(output: Output, files: Sequence[Path], exchange: str) -> int:
    """Show what is on each file.

    Markets, times, rows by kind, and what was refused; for that, each file is read to its end.
    """
    from guard.runtime.replay import opened_tape

    found = [{"file": str(path), **opened_tape([path], exchange=exchange).summary()} for path in files]
    if output.is_json:
        output.document({"tapes": found})
    else:
        for tape in found:
            _print(output, tape)
    return Exit.OK


@tape.command
@_FILES
@_EXCHANGE
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The recording to write, X.parquet.")
@click.pass_obj
def convert(output: Output, files: Sequence[Path], exchange: str, out: Path) -> int:
    """Write FILES as one recording in Parquet.

    They are merged by time. The recording replays to the same decisions as the files.
    """
    from guard.runtime.replay import opened_tape

    if out.suffix != ".parquet":
        raise click.BadParameter(f"a recording is named X.parquet; found {out.name}", param_hint="--out")
    if any(path.resolve() == out.resolve() for path in files):
        raise click.BadParameter(f"{out} is one of the files to read", param_hint="--out")
    written = opened_tape(files, exchange=exchange).convert(out)
    if output.is_json:
        output.document(written)
    else:
        output.text(f"{written['file']}: {written['rows']:,} rows of {written['markets']} markets, {written['bytes']:,} bytes")
        _print_refused(output, written)
    return Exit.OK


def _print(output: Output, tape: Mapping[str, Any]) -> None:
    from guard.model.moments import stamp

    kinds = ", ".join(f"{count:,} {kind}" for kind, count in tape["kinds"].items())
    output.text(f"{tape['file']}: {tape['rows']:,} rows ({kinds or 'empty'})")
    if tape["rows"]:
        output.text(f"    {stamp(tape['first_us'])} to {stamp(tape['last_us'])}")
    for market in tape["markets"]:
        output.text(
            f"    {market['market']:<28} {market['class']:<10} {', '.join(market['streams']):<14} {market['rows']:>14,} rows"
        )
    if tape["rule_sets"]:
        output.text(f"    of a live run, with its rules ({len(tape['rule_sets'])} sets): guard replay --as-recorded does it again")
    _print_refused(output, tape)


def _print_refused(output: Output, tape: Mapping[str, Any]) -> None:
    if tape["repeated"]:
        output.text(f"    {tape['repeated']:,} rows dropped: a download page had repeated them")
    for reason, count in tape["rejected"].items():
        output.text(f"    {count:,} rows refused: {reason}")
    for example in tape["rejected_examples"]:
        output.text(f"        {example}")
