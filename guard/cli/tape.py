"""``guard tape``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.output import Exit, Output
from guard.cli.wording import hole_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["tape"]

_EXAMPLES: Final = """\b
Examples:
  guard tape cut tapes --from +10m --to +1h --out hour.parquet
  guard tape cut tapes --market "*:PEPE/USDT" --out pepe.parquet"""
_FILES = click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
_EXCHANGE = click.option("--exchange", default="tape", show_default=True, help="Exchange name of the markets of CSV files.")


def _named(context: click.Context, parameter: click.Parameter, given: Sequence[str]) -> list[tuple[str, str]]:
    del context, parameter
    pairs = [text.partition("=") for text in given]
    for name, _, unified in pairs:
        if not name or "/" not in unified:
            raise click.BadParameter(f"{name or unified!r}: it is written XBTUSD=BTC/USD:BTC")
    return [(name, unified) for name, _, unified in pairs]


_SYMBOLS = click.option(
    "--symbol", "symbols", multiple=True, callback=_named, metavar="THEIRS=UNIFIED", help="What FILES of others call a market."
)


@click.group
def tape() -> None:
    """Look at recordings, and make one of others."""


@tape.command(name="info")
@_FILES
@_EXCHANGE
@_SYMBOLS
@click.pass_obj
def contents(output: Output, files: Sequence[Path], exchange: str, symbols: Sequence[tuple[str, str]]) -> int:
    """Show what is on each file.

    Markets, times, rows by kind, and what was refused; for that, each file is read to its end.
    """
    from guard.runtime.replay import opened_tape

    found = [{"file": str(path), **opened_tape([path], exchange=exchange, symbols=dict(symbols)).summary()} for path in files]
    if output.is_json:
        output.document({"tapes": found})
    else:
        for tape in found:
            _print(output, tape)
    return Exit.OK


@tape.command
@_FILES
@_EXCHANGE
@_SYMBOLS
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The recording to write, X.parquet.")
@click.pass_obj
def convert(output: Output, files: Sequence[Path], exchange: str, symbols: Sequence[tuple[str, str]], out: Path) -> int:
    """Write FILES as one recording in Parquet.

    FILES are recordings, folders of segments, guard's CSV of trades, CSV of Tardis (trades, incremental_book_L2) and public dumps
    of Binance (trades, aggTrades), plain, .gz or .zip. They are merged by time. The recording replays to the same decisions.
    """
    from guard.runtime.replay import opened_tape

    _check_out(files, out)
    written = opened_tape(files, exchange=exchange, symbols=dict(symbols)).convert(out)
    _print_written(output, written)
    return Exit.OK


def _check_out(files: Sequence[Path], out: Path) -> None:
    if out.suffix != ".parquet":
        raise click.BadParameter(f"a recording is named X.parquet; found {out.name}", param_hint="--out")
    if any(path.resolve() == out.resolve() for path in files):
        raise click.BadParameter(f"{out} is one of the files to read", param_hint="--out")


def _print_written(output: Output, written: Mapping[str, Any]) -> None:
    if output.is_json:
        output.document(dict(written))
    else:
        output.text(f"{written['file']}: {written['rows']:,} rows of {written['markets']} markets, {written['bytes']:,} bytes")
        _print_refused(output, written)


@tape.command(epilog=_EXAMPLES)
@_FILES
@_EXCHANGE
@_SYMBOLS
@click.option("--from", "begin", metavar="WHEN", help="2026-11-23T07:00Z, or +10m after the first row; the beginning by default.")
@click.option("--to", "end", metavar="WHEN", help="Likewise; the end by default.")
@click.option(
    "--market", "markets", multiple=True, metavar="EXCHANGE:SYMBOL", help="Only such markets, * allowed; may be repeated."
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The recording to write, X.parquet.")
@click.pass_obj
def cut(
    output: Output,
    *,
    files: Sequence[Path],
    exchange: str,
    symbols: Sequence[tuple[str, str]],
    begin: str | None,
    end: str | None,
    markets: Sequence[str],
    out: Path,
) -> int:
    """Write a piece of FILES as one recording in Parquet.

    It begins with what stood at that moment: the states of streams, and each known book as a snapshot. It exits 1 where no row
    is left.
    """
    from guard.dsl.patterns import matches_any
    from guard.runtime.replay import opened_tape

    _check_out(files, out)
    given = dict(symbols)
    first = next(iter(opened_tape(files, exchange=exchange, symbols=given).batches(1)), None)
    first_us = int(first[1].received_us[0]) if first else 0
    from_us, to_us = _moment(begin, first_us, "--from"), _moment(end, first_us, "--to")
    if from_us is not None and to_us is not None and to_us <= from_us:
        raise click.BadParameter(f"a piece ends after it begins; found {begin} to {end}", param_hint="--to")
    written = opened_tape(files, exchange=exchange, symbols=given).cut(
        out,
        from_us=from_us,
        to_us=to_us,
        chooses=(lambda facts: matches_any(markets, str(facts.market))) if markets else None,
    )
    _print_written(output, written)
    if not output.is_json and written["standing"]:
        output.text(f"    of them {written['standing']:,} tell what stood when it begins")
    if written["rows"]:
        return Exit.OK
    if not output.is_json:
        what = "no market of the tape matches" if not written["markets"] else "the tape has no rows then"
        output.text(f"    {what}; guard tape info tells its markets and times")
    return Exit.FINDINGS


def _moment(text: str | None, first_us: int, option: str) -> int | None:
    from pydantic import TypeAdapter, ValidationError

    from guard.dsl.values import Duration, Moment

    if text is None:
        return None
    try:
        if text.startswith("+"):
            return first_us + TypeAdapter(Duration).validate_python(text[1:])
        return TypeAdapter(Moment).validate_python(text)
    except ValidationError as error:
        told = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise click.BadParameter(f"{told}; or +10m after the first row", param_hint=option) from error


@tape.command
@_FILES
@_EXCHANGE
@_SYMBOLS
@click.option("--format", "form", type=click.Choice(["tardis", "csv"]), default="tardis", show_default=True)
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write into.")
@click.pass_obj
def export(
    output: Output, *, files: Sequence[Path], exchange: str, symbols: Sequence[tuple[str, str]], form: str, out: Path
) -> int:
    """Write FILES as others read them.

    tardis: NAME_trades.csv.gz and NAME_incremental_book_L2.csv.gz for each exchange. csv: its trades, as `guard replay` reads them.
    What a format cannot carry is counted.
    """
    from guard.runtime.replay import opened_tape

    written = opened_tape(files, exchange=exchange, symbols=dict(symbols)).export(out, form)
    if output.is_json:
        output.document(written)
        return Exit.OK
    for name, rows in written["files"].items():
        output.text(f"{name}: {rows:,} rows")
    for what, count in written["left_out"].items():
        output.text(f"    {count:,} times left out: {what}")
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
    gaps = sum(market["gaps"] for market in tape["markets"])
    if gaps:
        output.text(f"    {gaps:,} gaps of {sum(market['gaps'] > 0 for market in tape['markets'])} markets")
    for hole in tape["holes"]:
        output.text(f"    {hole_text(hole)}")
    if tape["rule_sets"]:
        count = len(tape["rule_sets"])
        sets = "its rules" if count == 1 else f"the {count} rule sets that it had"
        output.text(f"    of a live run, with {sets}: guard replay --as-recorded does it again")
    if len(tape["runs"]) > 1:
        output.text(f"    of {len(tape['runs'])} runs: {', '.join(tape['runs'])}")
    output.text(f"    content {tape['digest']}")
    _print_refused(output, tape)


def _print_refused(output: Output, tape: Mapping[str, Any]) -> None:
    if tape["repeated"]:
        output.text(f"    {tape['repeated']:,} rows dropped: a download page had repeated them")
    for reason, count in tape["rejected"].items():
        output.text(f"    {count:,} rows refused: {reason}")
    for example in tape["rejected_examples"]:
        output.text(f"        {example}")
