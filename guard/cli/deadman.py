"""``guard deadman``."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.output import Exit, Output

if TYPE_CHECKING:
    from guard.dsl.deadman import DeadmanConfig
    from guard.runtime.deadman_run import Deadman

__all__ = ["deadman"]


@click.command
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default="deadman.yaml",
    show_default=True,
    help="The watcher's own file.",
)
@click.option("--once", is_flag=True, help="Look once and end: 0 all live, 4 one is silent; for cron.")
@click.pass_obj
def deadman(output: Output, config_path: Path, *, once: bool) -> int:
    """Watch guards from outside, and tell people of a silence.

    Run it as another process, best on another machine. It needs no guard to start, and outlives each of them.
    """
    from guard.dsl.deadman import load_deadman

    return asyncio.run(_run(output, load_deadman(config_path, os.environ), is_once=once))


async def _run(output: Output, config: DeadmanConfig, *, is_once: bool) -> int:
    from guard.alerts.notification import NotificationHandler
    from guard.runtime.clock import SystemClock
    from guard.runtime.deadman_run import Deadman
    from guard.runtime.logs import set_up_logging
    from guard.runtime.printer import Printer

    printer = Printer()
    set_up_logging(printer, level="info", style="auto")
    notifier = NotificationHandler({name: channel.url.get_secret_value() for name, channel in config.channels.items()})
    # An address that no service knows must be found now, not at the first silence.
    await notifier.open()
    watcher = Deadman(config, notifier, SystemClock())
    try:
        if is_once:
            lives = await watcher.look()
            _show(output, watcher)
            return Exit.OK if lives else Exit.NOT_RUNNING
        await _until_stopped(watcher)
        return Exit.OK
    finally:
        await notifier.close()
        printer.close()


async def _until_stopped(watcher: Deadman) -> None:
    task = asyncio.ensure_future(watcher.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise


def _show(output: Output, watcher: Deadman) -> None:
    rows = {name: {"silent": watcher.silences[name].is_silent, "seen": glance.words} for name, glance in watcher.seen.items()}
    if output.is_json:
        output.document({"guards": rows})
        return
    for name, row in rows.items():
        output.text(f"{'SILENT' if row['silent'] else 'lives '}  {name}: {row['seen']}")
