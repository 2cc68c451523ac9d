"""``guard status`` and ``guard why``."""

from __future__ import annotations

import click

from guard.api.call import call
from guard.cli.output import Exit, Output
from guard.client.places import locate

__all__ = ["status", "why"]

_REFRESH_S = 1.0


@click.command
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@click.option("--ready", "is_ready", is_flag=True, help="How ready each rule is on each market.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def status(output: Output, *, watch: bool, is_ready: bool, state: str | None) -> int:
    """Show the board of the running guard."""
    socket = locate(state).socket
    if output.is_json:
        output.document(call(socket, "status"))
        return Exit.OK
    from rich.console import Console

    from guard.cli.board import board_view

    console = Console()
    if is_ready:
        from guard.cli.ready_lines import ready_table

        console.print(ready_table(call(socket, "status")))
        return Exit.OK
    if not watch:
        console.print(board_view(call(socket, "status"), width=console.width))
        return Exit.OK
    from rich.live import Live

    from guard.client.clock import pause

    with Live(board_view(call(socket, "status"), width=console.width), console=console, auto_refresh=False, screen=True) as live:
        while True:
            pause(_REFRESH_S)
            live.update(board_view(call(socket, "status"), width=console.width), refresh=True)


@click.command
@click.argument("market")
@click.option("--rule", help="This rule only, in full.")
@click.option("--full", "is_full", is_flag=True, help="Every rule in full, and those that do not look at it.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def why(output: Output, market: str, rule: str | None, state: str | None, *, is_full: bool) -> int:
    """Explain what each rule makes of MARKET now.

    What holds it and what releases it, what is missing to fire, and every condition of the leading rule with its value.
    """
    from guard.cli.explanation import page, page_width
    from guard.cli.why_page import why_lines

    found = call(locate(state).socket, "why", market=market, rule=rule or "")
    if output.is_json:
        output.document(found)
        return Exit.OK
    page(output, why_lines(found, width=page_width(), is_full=is_full or rule is not None))
    return Exit.OK
