"""``guard status`` and ``guard why``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from guard.api.call import call
from guard.cli.output import Exit, Output
from guard.client.places import locate
from guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["status", "why"]

_REFRESH_S = 1.0


@click.command
@click.option("--watch", is_flag=True, help="Refresh until interrupted.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def status(output: Output, *, watch: bool, state: str | None) -> int:
    """Show the board of the running guard."""
    socket = locate(state).socket
    if output.is_json:
        output.document(call(socket, "status"))
        return Exit.OK
    from rich.console import Console

    from guard.cli.board import board_view

    console = Console()
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
@click.option("--rule", help="Show this rule only.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def why(output: Output, market: str, rule: str | None, state: str | None) -> int:
    """Explain what each rule makes of MARKET now.

    Every condition with its value, and what is missing to fire.
    """
    found = call(locate(state).socket, "why", market=market)
    if rule is not None:
        known = [told["rule"] for told in found["rules"]]
        if rule not in known:
            raise GuardError(f"no rule {rule!r} looks at {market}; these do: {', '.join(known) or 'none yet'}")
        found = {**found, "rules": [told for told in found["rules"] if told["rule"] == rule]}
    if output.is_json:
        output.document(found)
        return Exit.OK
    _print_why(output, found)
    return Exit.OK


def _print_why(output: Output, found: Mapping[str, Any]) -> None:
    output.text(f"{found['market']}: {found['state']}, data {found['data']}")
    for held in found["quarantines"]:
        output.text(f"  {held['state']} until {held['until']} by {held['rule']}: {held['reason']}")
        output.text(f"  release it with: guard quarantine release {held['id']} --reason ...")
    for told in found["rules"]:
        score = "unknown" if told["score"] is None else f"{told['score']:.2f}"
        output.text(f"\n{told['rule']} ({told['mode']}): {told['level']}, score {score}")
        if "group" in told:
            _print_group(output, told["group"])
        for part in told["factors"]:
            value = part["status"] if part["value"] is None else f"{part['value']:.2f}"
            output.text(f"  {part['factor']:<18} weight {part['weight']:g}  value {value:<8} adds {part['share']:.2f}")
        for missing in told["missing"]:
            output.text(f"  missing to fire: {missing}")
        for tree in told["tree"]:
            _print_tree(output, tree, depth=1)


def _print_group(output: Output, group: Mapping[str, Any]) -> None:
    held, of, needed = group["held"], group["of"], group["needed"]
    least = "warning" if group["level"] == "normal" else group["level"]
    hold = f"{held} of {of} markets in scope {'holds' if held == 1 else 'hold'}"
    never = "; it can never be reached here" if needed > of else ""
    output.text(f"  {group['per']} {group['name']}: {group['level']}; {hold} {least} or above, {needed} needed{never}")
    more = f" and {group['more']} more" if group["more"] > 0 else ""
    unsure = f"; {group['unsure']} of them lacked data since and raise nothing" if group["unsure"] > 0 else ""
    if held:
        output.text(f"  held by {', '.join(group['members'])}{more}{unsure}")


def _print_tree(output: Output, node: Mapping[str, Any], *, depth: int) -> None:
    output.text(f"{'  ' * depth}{node['text']} = {node['shown']}")
    for child in node["children"]:
        _print_tree(output, child, depth=depth + 1)
