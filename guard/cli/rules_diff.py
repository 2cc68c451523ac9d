"""``guard rules diff``: what an upgrade changed in the shipped rules."""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.guard_file import guard_file
from guard.cli.output import Exit
from guard.errors import GuardError

if TYPE_CHECKING:
    from guard.cli.output import Output
    from guard.dsl import GuardConfig
    from guard.runtime.upgrade import Change, Upgrade

__all__ = ["diff", "upgrade_of"]


def upgrade_of(config: GuardConfig, state: Path | None) -> Upgrade:
    """Return what is kept of the shipped rules in the state folder of a configuration; nothing is read yet."""
    from guard.runtime.state import StateFolder
    from guard.runtime.upgrade import Upgrade

    named = os.environ.get("GUARD_STATE")
    return Upgrade(StateFolder(state or named or config.state_folder).path / "shipped-rules.json")


@click.command
@click.option(
    "--accept", is_flag=True, help="Take all of it for seen. A mode that is held stays held: guard rules promote raises it."
)
@click.option("--state", type=click.Path(path_type=Path), help="State folder of the guard; by default the one of guard.yaml.")
@click.pass_obj
def diff(output: Output, *, accept: bool, state: Path | None) -> int:
    """Show what an upgrade changed in shipped rules.

    Each value of the packs that guard.yaml names by reference (guard:NAME), as it was when it last ran or was accepted, and as it
    is shipped now. Keys that you override are yours and not shown. Exit code 1 where there are differences.
    """
    from guard.dsl import load_guard, load_rules

    config = load_guard(guard_file(), os.environ)
    rules, upgrade = load_rules(config), upgrade_of(config, state)
    if accept:
        upgrade.take(config, rules)
        _accept(upgrade, config, state)
    upgrade.take(config, rules)
    if output.is_json:
        output.document({**upgrade.record(), "known": upgrade.is_known, "accepted": accept})
    else:
        if accept and not upgrade.problem:
            output.text("accepted: the shipped rules are as they last ran" + ("; still held:" if upgrade.pending else ""))
        if upgrade.pending or not accept:
            _show(output, upgrade)
    return Exit.FINDINGS if (upgrade.pending and not accept) or upgrade.problem else Exit.OK


def _accept(upgrade: Upgrade, config: GuardConfig, state: Path | None) -> None:
    from guard.api.call import call
    from guard.client.places import locate

    try:
        upgrade.accept(config)
    except OSError as error:
        raise GuardError(f"{upgrade.path} cannot be written: {error.strerror}") from error
    try:
        call(locate(state or os.environ.get("GUARD_STATE") or config.state_folder).socket, "reload")
    except GuardError:
        # No guard runs, or it is busy: its next start reads what is accepted.
        return


def _show(output: Output, upgrade: Upgrade) -> None:
    if upgrade.problem:
        output.text(upgrade.problem)
    elif not upgrade.is_known:
        output.text("nothing is known of the shipped rules yet: guard run notes them when it starts")
    elif not upgrade.pending:
        output.text("the shipped rules are as they last ran")
    for (pack, rule, span), changes in groupby(upgrade.pending, key=lambda change: (change.pack, change.rule, change.span)):
        output.text(f"{rule} (guard:{pack}), {span}")
        told = tuple(changes)
        width = max(len(change.key) for change in told)
        for change in told:
            output.text(f"  {_line(change, width)}")
    if any(change.kind in _RISING for change in upgrade.pending):
        output.text("a mode that is held goes up by: guard rules promote RULE")
    if any(change.kind not in _RISING for change in upgrade.pending):
        output.text("all else runs already; once you have seen it: guard rules diff --accept")


_RISING = ("held", "new")


def _line(change: Change, width: int) -> str:
    match str(change.kind):
        case "new":
            return f"a new rule, mode {change.after}; held in {change.before}"
        case "gone":
            return f"is shipped no more; it ran in mode {change.before}, and its protection is gone"
        case kind:
            tail = {"held": f"; held at {change.before}", "weaker": "; weaker than before"}.get(kind, "")
            return f"{change.key:<{width}}  {change.before} -> {change.after}{tail}"
