"""``guard warm``."""

from __future__ import annotations

import os

import click

from guard.cli.output import Exit, Output

__all__ = ["warm"]

_LOWEST = 19


@click.command
@click.option("--low-priority", is_flag=True, help="Give way to all else that runs.")
@click.pass_obj
def warm(output: Output, *, low_priority: bool) -> int:
    """Compile guard's engine now, so that starts find it done.

    Takes the better part of a minute once for each version of guard, and a second when it is done already. Replays run compiled
    from then on, and a guard that runs goes over by itself.
    """
    from guard.runtime.acceleration import warm as compile_engine
    from guard.runtime.clock import SystemClock

    if low_priority and hasattr(os, "nice"):
        os.nice(_LOWEST)
    clock = SystemClock()
    started_us = clock.monotonic_us()
    done = compile_engine()
    seconds = round((clock.monotonic_us() - started_us) / 1e6, 1)
    if output.is_json:
        output.document({"folder": str(done.folder), "seconds": seconds, "compiled": not done.was_there})
    else:
        output.text(f"{'loaded from' if done.was_there else 'compiled into'} {done.folder} in {seconds} s")
    return Exit.OK
