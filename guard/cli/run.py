"""``guard run``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.durations import duration_option
from guard.cli.guard_file import config_option, state_option
from guard.cli.output import Exit, Output, leave_quietly

if TYPE_CHECKING:
    from guard.dsl import GuardConfig
    from guard.runtime.printer import Printer
    from guard.runtime.wire import RunningGuard

__all__ = ["run"]


@click.command
@config_option
@state_option
@click.option("--for", "for_us", callback=duration_option, help="Stop after this time, with a summary: 120s, 10m.")
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    help="Write all that decisions come of to X.parquet or to a folder of segments, in place of what guard.yaml says.",
)
@click.pass_obj
def run(output: Output, config_path: Path, state: Path | None, for_us: int | None, record: Path | None) -> int:
    """Watch the exchanges of guard.yaml until stopped."""
    from guard.dsl import load_guard
    from guard.runtime.printer import Printer

    config = load_guard(config_path, os.environ)
    # Each way out has its own thread: nobody reads the board, and the log goes on all the same.
    printer, log_printer = Printer(), Printer()
    try:
        is_deaf = asyncio.run(_run(output, config, state, for_us, record, printer=printer, log_printer=log_printer))
    except BaseException:
        printer.close()
        log_printer.close()
        raise
    _leave(printer, log_printer)
    # A bounded run is somebody's check: one in which every exchange failed and nothing came has failed it.
    return Exit.FINDINGS if for_us is not None and is_deaf else Exit.OK


def _leave(printer: Printer, log_printer: Printer) -> None:
    """Let go of stdout and stderr, read or not."""
    is_written = printer.close()
    if printer.dropped:
        import structlog

        structlog.get_logger(__name__).warning("lines were not written to stdout", dropped=printer.dropped, error=printer.problem)
    is_logged = log_printer.close()
    if not (is_written and is_logged):
        # A thread hangs in a write and holds the stream's lock, which Python would wait for at its end. All else is done.
        os._exit(Exit.OK)
    if printer.is_closed_outside:
        leave_quietly()


async def _run(
    output: Output,
    config: GuardConfig,
    state: Path | None,
    for_us: int | None,
    record: Path | None,
    *,
    printer: Printer,
    log_printer: Printer,
) -> bool:
    from guard.runtime.opening import Opening

    async with Opening(config, state) as opening:
        # Bots have their answer now; what follows takes long to import.
        from guard.cli.console import JsonConsole, make_console
        from guard.runtime.logs import set_up_logging
        from guard.runtime.wire import RunningGuard

        set_up_logging(log_printer, level=config.log.level, style=config.log.format)
        _tell_warnings(config)
        console = JsonConsole(output, printer) if output.is_json else make_console(printer)
        async with RunningGuard(opening, config.path, os.environ, on_decision=console.decision, record=record) as guard:
            board = asyncio.create_task(console.follow(guard), name="board")
            try:
                await guard.run(for_s=None if for_us is None else for_us / 1e6, before_close=lambda: _finish(guard, console))
            finally:
                board.cancel()
            return not guard.live.inlet.received and all(feed.problem for feed in guard.live.feeds)


def _tell_warnings(config: GuardConfig) -> None:
    import structlog

    for problem in config.warnings:
        structlog.get_logger(__name__).warning(problem.message, file=problem.file, line=problem.line, id=problem.id)


async def _finish(guard: RunningGuard, console: Any) -> None:  # noqa: ANN401 - either console
    console.summary(await guard.summary(console.record), await guard.status())
