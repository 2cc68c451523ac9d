"""``guard simulate``: the seeded market of the embedded exchange, as a truth, a tape or a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from guard.cli.durations import duration_option
from guard.errors import OperationRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from guard.cli.output import Output

__all__ = ["simulate"]

_LONGEST_US = 7 * 86_400_000_000
_CONNECTOR = "sim"
_HISTORY_S = 86_400.0


@click.command
@click.option("--seed", default=7, show_default=True, help="Makes the market; the same seed makes the same market.")
@click.option("--for", "for_us", callback=duration_option, default="120s", show_default=True, help="How much market time to make.")
@click.option("--schedule", type=click.Choice(["demo", "calm"]), default="demo", show_default=True, help="Who misbehaves.")
@click.option("--truth", is_flag=True, help="Print what happened when (the default without --out and --serve).")
@click.option("--out", type=click.Path(dir_okay=False), help="Write the trades for guard replay: X.csv.gz or X.csv.")
@click.option(
    "--history", "history_us", callback=duration_option, help="With --out: also the trades of the time before, up to 48h."
)
@click.option("--serve", is_flag=True, help="Run the exchange until interrupted and print its addresses.")
@click.option("--decide", is_flag=True, help="Run the rules over it in virtual time, and hold what they find against the truth.")
@click.option(
    "--dialect", type=click.Choice(["binance", "kucoin", "gate"]), default="binance", help="With --serve: whose protocol it speaks."
)
@click.option("--port", default=0, show_default=True, help="With --serve: its port, 0 = choose.")
@click.option("--inbox", type=int, help="With --serve: also an inbox for Apprise's json:// posts, at this port, 0 = choose.")
@click.pass_obj
def simulate(
    output: Output,
    *,
    seed: int,
    for_us: int,
    schedule: str,
    truth: bool,
    out: str | None,
    history_us: int | None,
    serve: bool,
    decide: bool,
    dialect: str,
    port: int,
    inbox: int | None,
) -> None:
    """Make a seeded market with staged manipulations.

    Pumps, wash trading, layering and more; no network is needed. Without --serve no time passes: two minutes of market take
    half a second. A tape for guard replay wants --history 6h: what is unusual shows only against what is usual.
    """
    if decide:
        _decide(output, for_us / 1e6, seed=seed, schedule=schedule)
        return
    if out and not out.endswith((".csv", ".csv.gz")):
        raise click.UsageError(f"--out writes CSV: name it X.csv.gz or X.csv, not {out}")
    if serve and (out or truth or history_us):
        raise click.UsageError("--serve runs in real time: leave --out, --history and --truth away")
    if for_us > _LONGEST_US:
        raise click.UsageError("--for goes up to 7d")
    if dialect != "binance" and not serve:
        raise click.UsageError("--dialect goes with --serve: no protocol is spoken without it")
    if serve:
        options = {"dialect": dialect, "seed": seed, "schedule": schedule, "port": port, "inbox": inbox}
        _serve(output, options)
        return
    acts, trades = _made(out, for_us / 1e6, earlier_s=(history_us or 0) / 1e6, seed=seed, schedule=schedule)
    _tell(output, acts, trades=trades, out=out, is_told=truth or not out)


def _decide(output: Output, seconds: float, *, seed: int, schedule: str) -> None:
    import sys

    from rich.console import Console

    from guard.cli.console import JsonConsole, LogConsole
    from guard.dsl import compile_rules, load_rules, shipped_packs
    from guard.model import Mode
    from guard.pipeline import Pipeline, Settings
    from guard.runtime.clock import SystemClock
    from guard.runtime.printer import Printer
    from guard.runtime.settings import board_policy
    from guard.runtime.simulate import Simulation

    printer = Printer()
    console = JsonConsole(output, printer) if output.is_json else LogConsole(printer, Console(file=sys.stdout, soft_wrap=True))
    settings = Settings(mode=Mode.ENFORCE, references={_CONNECTOR: "BTC/USDT"}, alerts=board_policy())
    run = Simulation(Pipeline(compile_rules(load_rules(shipped_packs())), settings), _part("tape"), on_decision=console.decision)
    summary = run.run(seconds=seconds, history_s=_HISTORY_S, clock=SystemClock(), seed=seed, schedule=schedule)
    console.summary(summary, None)
    printer.close()


def _made(out: str | None, seconds: float, **options: Any) -> tuple[Sequence[Any], int]:  # noqa: ANN401 - of the tape
    from contextlib import ExitStack

    tape, sinks = _part("tape"), _part("sinks")
    with ExitStack() as stack:
        try:
            sink = stack.enter_context(sinks.CsvTape(out)) if out else sinks.Nowhere()
        except OSError as error:
            raise OperationRefused(f"{out} cannot be written: {error}") from error
        acts = tape.fill(sink, duration_s=seconds, slice_us=1_000_000, has_book=False, **options)
    return acts, sink.trades


def _tell(output: Output, acts: Sequence[Any], *, trades: int, out: str | None, is_told: bool) -> None:
    if output.is_json:
        documents = [act.document() for act in acts] if is_told else []
        output.document({"trades": trades, "out": out, "truth": documents})
        return
    if out:
        output.text(f"{trades} trades in {out}")
    if is_told:
        output.text("\n".join(map(_line, acts)) if acts else "A calm market: nothing was staged.")


def _line(act: Any) -> str:  # noqa: ANN401 - a Truth of the connector's package
    if act.started_us is None:
        return f"{act.pattern:<15} {act.symbol:<10} not begun yet"
    end = f"{(act.ended_us - act.started_us) / 1e6:.1f} s" if act.ended_us else "goes on"
    phases = ", ".join(f"{name} +{(at_us - act.started_us) / 1e6:.1f}s" for name, at_us in act.phases[:6])
    return f"{act.pattern:<15} {act.symbol:<10} {_clock(act.started_us)}  {end:>8}  {phases}"


def _clock(at_us: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3] + "Z"


def _serve(output: Output, options: dict[str, Any]) -> None:
    import asyncio

    def announce(urls: dict[str, Any]) -> None:
        if output.is_json:
            output.line(urls)
        else:
            output.text("\n".join(f"{name:<6} {url}" for name, url in urls.items() if url))
            output.text("Interrupt with Ctrl-C.")

    try:
        asyncio.run(_part("server.serve").serve(options, announce, with_parent=False))
    except OSError as error:
        raise OperationRefused(f"the exchange cannot listen: {error}") from error
    except KeyboardInterrupt:
        return


def _part(name: str) -> ModuleType:
    """Return a module of the package behind the connector `sim`: guard itself knows no connector."""
    from importlib import import_module
    from importlib.metadata import entry_points

    for entry in entry_points(group="guard.connectors", name=_CONNECTOR):
        return import_module(f"{entry.module}.{name}")
    raise OperationRefused("no connector called sim is installed; pip install trading-guard brings it")
