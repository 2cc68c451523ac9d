"""``guard rules reload``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from guard.cli.counting import many
from guard.cli.output import Exit
from guard.cli.wording import safe
from guard.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.cli.output import Output

__all__ = ["reload"]

# Tests may be played before: a minute at most, and then some.
_WAIT_S = 90.0
_HELD_SHOWN = 10


@click.command
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def reload(output: Output, *, state: str | None) -> int:
    """Let the running guard read its rules anew.

    It does so by itself when a file changes; this does not wait for files to rest, and tells what came of it. Broken rules
    change nothing: the last good ones run on.
    """
    from guard.api.call import call
    from guard.client.places import locate

    answer = call(locate(state).socket, "reload", timeout_s=_WAIT_S)
    is_broken = answer["outcome"] == "broken"
    if output.is_json:
        output.document(answer)
    else:
        _tell(output, answer)
    return Exit.FINDINGS if is_broken else Exit.OK


def _tell(output: Output, answer: Mapping[str, Any]) -> None:
    problems = [_problem(row) for row in answer["errors"]]
    for problem in problems:
        output.text(f"{problem}\n")
    if answer["problem"] and not problems:
        output.text(f"{safe(answer['problem'])}\n")
    active = many(answer["active"], "rule")
    # A guard of before an upgrade may still run.
    settings = answer.get("settings", ())
    for key in settings:
        output.text(f"  ~ {safe(key)}")
    if answer["outcome"] == "broken":
        count = many(len(problems), "mistake") if problems else "the rules cannot be read"
        output.text(f"not taken over: {count}; the last good rules run on, {active} of them")
    elif answer["outcome"] == "unchanged":
        since = "guard started" if answer["since"] is None else f"{answer['since'][11:19]}Z"
        output.text(f"{'taken over' if settings else 'nothing new'}: {active} run as since {since}")
    else:
        for sign, name in (("+", "added"), ("~", "changed"), ("-", "removed")):
            for rule in answer[name]:
                output.text(f"  {sign} {safe(rule)}")
        output.text(
            f"taken over: {active} run now (ledger entry {answer['seq']}{'' if answer['durable'] else ', not written yet'})"
        )
        for held in answer["unattended"][:_HELD_SHOWN]:
            until = f"{held['until'][:19]}Z"
            output.text(f"  {safe(held['target'])} stays held until {until}, though {safe(held['rule'])} holds nothing any more;")
            output.text(f"    to free it now: guard quarantine release {held['id']} --reason ...")
        if len(answer["unattended"]) > _HELD_SHOWN:
            output.text(f"  and {len(answer['unattended']) - _HELD_SHOWN} more: guard quarantine ls")


def _problem(row: Mapping[str, Any]) -> Problem:
    texts = {key: safe(row[key]) for key in ("file", "id", "name", "severity", "message", "hint", "source")}
    return Problem(line=int(row["line"]), column=int(row["column"]), **texts)
