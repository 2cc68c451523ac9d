"""``guard record``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.durations import duration_option
from guard.cli.exchange_ids import check_known
from guard.cli.output import Exit, Output
from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guard.dsl import ExchangeSettings
    from guard.runtime.recording_run import RecordingRun

__all__ = ["record"]

_EXAMPLES: Final = """\b
Examples:
  guard record "kucoin:*/USDT" --for 1h
  guard record binance:PEPE/USDT --streams trades --out pepe.parquet"""
_EVERY_TERMINAL_S, _EVERY_S = 1.0, 10.0
_MARKETS_MAX = 10_000
_PLURALS = {"trade": "trades", "level": "levels", "gap": "gaps", "status": "statuses", "control": "controls"}


@click.command(epilog=_EXAMPLES)
@click.argument("markets", nargs=-1, required=True, metavar="MARKET...")
@click.option("--for", "for_us", callback=duration_option, help="Stop so long after the first event: 120s, 1h.")
@click.option(
    "--out", default="tapes", show_default=True, type=click.Path(path_type=Path), help="A folder of segments, or one X.parquet."
)
@click.option("--segment", "segment_us", default="1h", show_default=True, callback=duration_option, help="Length of a segment.")
@click.option("--keep", "keep_us", callback=duration_option, help="Remove segments that are older, 7d; none are by default.")
@click.option("--streams", default="trades,book", show_default=True, help="What to stream.")
@click.option(
    "--config", "config_path", default="guard.yaml", show_default=True, type=click.Path(path_type=Path), help="Exchanges."
)
@click.pass_obj
def record(
    output: Output,
    *,
    markets: Sequence[str],
    for_us: int | None,
    out: Path,
    segment_us: int,
    keep_us: int | None,
    streams: str,
    config_path: Path,
) -> int:
    """Record the streams of markets to disk, without rules.

    MARKET is binance:PEPE/USDT, or a pattern such as "kucoin:*/USDT". An exchange that guard.yaml names is streamed as that says,
    any other by ccxt under its id; sim is the embedded one. What is written survives a kill, up to the last second.
    """
    from guard.runtime.logs import set_up_logging
    from guard.runtime.printer import Printer
    from guard.runtime.recording_run import RecordingRun, by_exchange

    try:
        wanted = by_exchange(markets)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="MARKET") from error
    chosen = [name.strip() for name in streams.split(",")]
    if not set(chosen) <= {"trades", "book"}:
        raise click.BadParameter(f"trades, book or both; found {streams}", param_hint="--streams")
    exchanges = {name: _exchange(name, symbols, chosen, config_path) for name, symbols in wanted.items()}
    printer = Printer()
    set_up_logging(printer, level="warning", style="auto")
    try:
        summary = asyncio.run(
            _run(output, lambda: RecordingRun(exchanges, out, segment_us=segment_us, keep_us=keep_us), for_us=for_us)
        )
    finally:
        printer.close()
    if output.is_json:
        output.line(summary)
    else:
        click.echo("", err=True)
        output.text(f"{_line(summary)}\n{out}: {summary['segments']} segments, {summary['compacted']:,} bytes")
        for note in summary["notes"]:
            output.text(f"    {note}")
        if not summary["received"]:
            output.text(f"nothing came: {'; '.join(f'{name}: {trouble}' for name, trouble in summary['feeds'].items())}")
        if not summary["is_whole"]:
            output.text(f"not all was recorded: {summary['problem'] or 'the disk was too slow'}")
    return Exit.OK if summary["is_whole"] and not summary["lost"] and summary["received"] else Exit.FINDINGS


async def _run(output: Output, make: Callable[[], RecordingRun], *, for_us: int | None) -> dict[str, Any]:
    is_terminal = os.isatty(2)
    run = make()

    def progress(found: Mapping[str, Any]) -> None:
        if output.is_json:
            output.line(dict(found))
        else:
            click.echo(f"\r\x1b[K{_line(found)}" if is_terminal else _line(found), err=True, nl=not is_terminal)

    return await run.run(
        for_s=None if for_us is None else for_us / 1e6, progress=progress, every_s=_EVERY_TERMINAL_S if is_terminal else _EVERY_S
    )


def _exchange(name: str, symbols: Sequence[str], streams: Sequence[str], config_path: Path) -> ExchangeSettings:
    from guard.dsl import ExchangeSettings, load_guard

    change = {
        "markets": tuple(symbols),
        "streams": tuple(streams),
        "max_markets": _MARKETS_MAX,
        "exclude": (),
        "quotes": (),
        "from_bot": None,
    }
    if config_path.exists() and name in (known := load_guard(config_path, os.environ).exchanges):
        return known[name].model_copy(update=change)
    if name != "sim":
        try:
            check_known(name)
        except GuardError as error:
            raise click.BadParameter(f"{error}; guard exchanges ls lists all", param_hint="MARKET") from error
    return ExchangeSettings(connector="sim" if name == "sim" else "ccxt").model_copy(update=change)


def _line(found: Mapping[str, Any]) -> str:
    seconds = int(found["seconds"])
    kinds = ", ".join(f"{count:,} {_PLURALS[kind]}" for kind, count in found["kinds"].items())
    troubles = "; ".join(
        f"{name}: {trouble}" for name, trouble in found["feeds"].items() if trouble and found["type"] == "progress"
    )
    told = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}  {found['markets']} markets  {kinds or 'nothing yet'}"
    told += f"  {found['bytes'] / 1e6:.1f} MB"
    told += f"  LOST {found['lost']:,} rows" if found["lost"] else ""
    told += f"  STOPPED: {found['problem']}" if found["problem"] else ""
    return f"{told}  ({troubles})" if troubles else told
