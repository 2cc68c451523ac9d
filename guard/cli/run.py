"""``guard run``."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from guard.cli.durations import duration_option
from guard.cli.guard_file import config_option, state_option
from guard.cli.output import Exit, Output, leave_quietly
from guard.client.clock import MACHINE

if TYPE_CHECKING:
    from guard.dsl import GuardConfig
    from guard.runtime.early import Early
    from guard.runtime.printer import Printer
    from guard.runtime.wire import RunningGuard

__all__ = ["run"]

# Where guard.yaml puts it unless it says otherwise; a folder elsewhere is found once the file was read.
_STATE: Final = ".guard"


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
    from guard.runtime.early import Early, settings_key
    from guard.runtime.printer import Printer
    from guard.runtime.state import StateFolder

    key = settings_key(config_path, os.environ)
    folder = state or config_path.parent / _STATE
    opening = Early.read(StateFolder(folder).caches, key)
    settings = _read(config_path) if opening is None else opening
    # Each way out has its own thread: nobody reads the board, and the log goes on all the same.
    printer, log_printer = Printer(), Printer()
    try:
        start = Start(config_path, settings, state if opening is None else folder, key)
        is_deaf = asyncio.run(_run(output, start, for_us, record, printer=printer, log_printer=log_printer))
    except BaseException:
        printer.close()
        log_printer.close()
        raise
    _leave(printer, log_printer)
    # A bounded run is somebody's check: one in which every exchange failed and nothing came has failed it.
    return Exit.FINDINGS if for_us is not None and is_deaf else Exit.OK


class Start(NamedTuple):
    """What guard starts with: guard.yaml's path, what it says or said to the last start, the state folder, the settings' key."""

    path: Path
    settings: GuardConfig | Early
    state: Path | None
    key: str


def _read(path: Path) -> GuardConfig:
    from guard.dsl import load_guard

    return load_guard(path, os.environ, now_us=MACHINE.wall_us())


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
    start: Start,
    for_us: int | None,
    record: Path | None,
    *,
    printer: Printer,
    log_printer: Printer,
) -> bool:
    from guard.runtime.early import Early
    from guard.runtime.opening import Opening

    async with Opening(start.settings, start.state, key=start.key) as opening:
        # Bots have their answer now; what follows takes long to import.
        if isinstance(start.settings, Early):
            opening.config = _read(start.path)
        config = opening.config
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

    from guard.runtime.reloading import where_of

    for problem in config.warnings:
        structlog.get_logger(__name__).warning(problem.message, **where_of(problem))


async def _finish(guard: RunningGuard, console: Any) -> None:  # noqa: ANN401 - either console
    console.summary(await guard.summary(console.record), await guard.status())
