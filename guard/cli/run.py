"""``guard run``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit, Output

if TYPE_CHECKING:
    from guard.runtime.wire import RunningGuard

__all__ = ["run"]


@click.command
@click.option("--config", "config_path", type=click.Path(dir_okay=False, path_type=Path), default="guard.yaml", show_default=True)
@click.option(
    "--state", type=click.Path(path_type=Path), envvar="GUARD_STATE", help="State folder; by default the one of guard.yaml."
)
@click.option("--for", "for_us", callback=duration_option, help="Stop after this time, with a summary: 120s, 10m.")
@click.pass_obj
def run(output: Output, config_path: Path, state: Path | None, for_us: int | None) -> int:
    """Watch the exchanges of guard.yaml until stopped."""
    from guard.dsl import load_guard
    from guard.runtime.logs import set_up_logging
    from guard.runtime.printer import Printer

    log = load_guard(config_path, os.environ).log
    printer = Printer()
    set_up_logging(printer, level=log.level, style=log.format)
    try:
        asyncio.run(_run(output, printer, config_path, state, for_us))
    finally:
        printer.close()
    return Exit.OK


async def _run(output: Output, printer: Any, config_path: Path, state: Path | None, for_us: int | None) -> None:  # noqa: ANN401 - imported late
    from guard.cli.console import JsonConsole, make_console
    from guard.runtime.wire import RunningGuard

    console = JsonConsole(output, printer) if output.is_json else make_console(printer)
    async with RunningGuard(config_path, os.environ, state_path=state, on_decision=console.decision) as guard:
        board = asyncio.create_task(console.follow(guard), name="board")
        try:
            await guard.run(for_s=None if for_us is None else for_us / 1e6, before_close=lambda: _finish(guard, console))
        finally:
            board.cancel()


async def _finish(guard: RunningGuard, console: Any) -> None:  # noqa: ANN401 - either console
    console.summary(await guard.summary(console.record), await guard.status())
