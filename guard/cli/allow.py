"""``guard allow``: name what rules may not hold, for a time and a reason; and take it back."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit
from guard.cli.reasons import reason_option
from guard.cli.targets import target_argument, target_or_id
from guard.cli.wording import moment, safe
from guard.client.clock import MACHINE
from guard.client.places import locate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.cli.output import Output

__all__ = ["allow"]

_EXAMPLES: Final = """\b
Examples:
  guard allow add base:PEPE --for 7d --rule pump_dump --reason "we make this market"
  guard allow add kucoin:ABC/USDT --for 2h --reason "announced listing"
"""
_state = click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")


@click.group
def allow() -> None:
    """Let rules not hold a market, symbol or base asset, for a time.

    An entry names what it overrides. It never overrides a person's own hold, nor one on the whole exchange, and releases nothing:
    what is held stays held until it is released. When it ends, rules hold again, also where their level has stood meanwhile.
    """


@allow.command
@_state
@click.pass_obj
def ls(output: Output, *, state: str | None) -> int:
    """List what stands, guard.yaml's entries first."""
    answer = _ask(state, "allow.ls")
    if output.is_json:
        output.document(answer)
    elif not answer["allowed"]:
        output.text("nothing is allowed beyond what rules let through")
    else:
        head = ("id", "target", "rules", "until", "actor", "reason")
        output.table(head, [_row(record) for record in answer["allowed"]])
    return Exit.OK


@allow.command(epilog=_EXAMPLES)
@click.argument("target", metavar="MARKET|TARGET", callback=target_argument)
@click.option(
    "--for", "for_us", metavar="DURATION", callback=duration_option, required=True, help="How long: 2h, 7d; 366d at most."
)
@click.option(
    "--rule", "rules", metavar="RULE", multiple=True, help="A rule that it overrides, more than one allowed. Default: all."
)
@click.option("--reason", callback=reason_option, required=True, help="Why; guard writes down who ordered it.")
@_state
@click.pass_obj
def add(output: Output, *, target: str, for_us: int, rules: Sequence[str], reason: str, state: str | None) -> int:
    """Let rules not hold a market, symbol or base asset.

    Answers when it is in the ledger; a restart keeps it.
    """
    answer = _ask(state, "allow.add", target=target, for_us=for_us, rules=list(rules), reason=reason)
    if output.is_json:
        output.document(answer)
        return Exit.OK
    for record in answer["allowed"]:
        what = ", ".join(record["rules"]) or "every rule"
        output.text(
            f"{safe(record['target'])} is allowed against {safe(what)} until {_shown(record['until'])}, id {record['id']} "
            f"(ledger entry {answer['seq']})"
        )
    for name in answer["unknown_rules"]:
        output.text(f"    no rule {safe(name)} runs now; guard rules list shows those that do")
    if not answer["watched"]:
        doubt = f"; did you mean {safe(answer['near'])}?" if answer["near"] else ""
        output.text(f"    nobody watches a market of it now{doubt}")
    _tell_held(output, answer["held"], "    still held until it is released: ")
    return Exit.OK


@allow.command("rm")
@click.argument("what", metavar="ID|MARKET|TARGET", callback=target_or_id)
@click.option("--reason", callback=reason_option, required=True, help="Why; guard writes down who ordered it.")
@_state
@click.pass_obj
def remove(output: Output, *, what: Mapping[str, str], reason: str, state: str | None) -> int:
    """Take entries back, by ID or by target.

    By MARKET or TARGET: all that people ordered for it. What it kept from being held is held at once where its rule still says so.
    Entries of guard.yaml are taken out there.
    """
    answer = _ask(state, "allow.rm", **what, reason=reason)
    if output.is_json:
        output.document(answer)
        return Exit.OK
    for record in answer["removed"]:
        output.text(f"{safe(record['target'])} is allowed no more, id {record['id']} (ledger entry {answer['seq']})")
    _tell_held(output, answer["held"], "    held from now on: ")
    return Exit.OK


def _tell_held(output: Output, held: Sequence[Mapping[str, Any]], introduction: str) -> None:
    for each in held:
        output.text(f"{introduction}{safe(str(each['target']))} by {safe(str(each['rule']))}, id {each['id']}")


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    until = "no end" if record["until"] is None else _shown(record["until"])
    rules = ", ".join(record["rules"]) or "all"
    return (record["id"], *map(safe, (record["target"], rules)), until, *map(safe, (record["actor"], record["reason"])))


def _shown(text: str) -> str:
    return moment(int(datetime.fromisoformat(text).timestamp() * 1e6), now_us=MACHINE.wall_us())


def _ask(state: str | None, op: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    from guard.api.call import call

    return call(locate(state).socket, op, **arguments)
