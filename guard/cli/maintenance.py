"""``guard maintenance``: say that an exchange or a market will be closed, so that guard neither judges nor learns meanwhile."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit
from guard.cli.reasons import reason_option
from guard.cli.wording import moment, safe
from guard.client.clock import MACHINE
from guard.client.places import locate
from guard.model.market import Market
from guard.model.quarantine import TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guard.cli.output import Output

__all__ = ["maintenance"]

_EXAMPLES: Final = """\b
Examples:
  guard maintenance add kucoin --for 2h --reason "announced upgrade"
  guard maintenance add kucoin:PEPE/USDT --for 30m --reason "contract swap"
"""
_ID_DIGITS = 12
_NAME = re.compile(r"[A-Za-z0-9_-]+")

_state = click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")


def _target(_: click.Context, __: click.Parameter, text: str) -> str:
    kind, colon, name = text.partition(":")
    if not colon and _NAME.fullmatch(text):
        return f"exchange:{text}"
    if kind == "exchange" and name:
        return text
    if "*" in text:
        raise click.BadParameter(f"a window is of one market or of a whole exchange, {kind} for example; found {text!r}")
    if kind in set(TargetKind) - {TargetKind.MARKET}:
        raise click.BadParameter(f"maintenance is of a market, written binance:PEPE/USDT, found {text!r}; or an exchange: binance")
    try:
        return str(Market.parse(text))
    except ValueError as error:
        raise click.BadParameter(f"{error}; or an exchange: binance") from error


def _what(context: click.Context, parameter: click.Parameter, text: str) -> Mapping[str, str]:
    if len(text) == _ID_DIGITS and set(text) <= set(string.hexdigits):
        return {"id": text.lower()}
    return {"target": _target(context, parameter, text)}


def _moment(context: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"a moment is written 2026-03-01T08:00, in UTC; found {text!r}", context, parameter) from error
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)


@click.group
def maintenance() -> None:
    """Announce when an exchange or a market is closed.

    Meanwhile, and for two minutes after, guard raises nothing there, learns nothing, and counts no calm. Bots get unknown.
    """


@maintenance.command
@_state
@click.pass_obj
def ls(output: Output, *, state: str | None) -> int:
    """List what is announced."""
    answer = _ask(state, "maintenance.ls")
    if output.is_json:
        output.document(answer)
    elif not answer["windows"]:
        output.text("no maintenance is announced")
    else:
        _table(output, answer["windows"])
    return Exit.OK


@maintenance.command(epilog=_EXAMPLES)
@click.argument("target", metavar="EXCHANGE|MARKET", callback=_target)
@click.option(
    "--from", "from_us", metavar="MOMENT", callback=_moment, help="When it begins, in UTC: 2026-03-01T08:00. Default: now."
)
@click.option("--until", "until_us", metavar="MOMENT", callback=_moment, help="When it ends, in UTC.")
@click.option("--for", "for_us", metavar="DURATION", callback=duration_option, help="How long, instead of --until: 30m, 2h.")
@click.option("--reason", callback=reason_option, required=True, help="Why; guard writes down who said so.")
@_state
@click.pass_obj
def add(
    output: Output, *, target: str, from_us: int | None, until_us: int | None, for_us: int | None, reason: str, state: str | None
) -> int:
    """Announce a window of maintenance, at most 7d long.

    A restart keeps it. It ends by itself; two minutes later levels move again.
    """
    if (until_us is None) == (for_us is None):
        raise click.UsageError("give --until or --for, one of them")
    times = {"from_us": from_us, "until_us": until_us, "for_us": for_us}
    given = {name: value for name, value in times.items() if value is not None}
    answer = _ask(state, "maintenance.add", target=target, reason=reason, **given)
    if output.is_json:
        output.document(answer)
        return Exit.OK
    for window in answer["windows"]:
        span = f"from {_shown(window['from'])} until {_shown(window['until'])}"
        output.text(f"{safe(window['target'])} is in maintenance {span}, id {window['id']}")
    if not answer["watched"]:
        output.text("    guard does not watch it now; guard status lists what is watched")
    return Exit.OK


@maintenance.command("rm")
@click.argument("what", metavar="ID|EXCHANGE|MARKET", callback=_what)
@click.option("--reason", callback=reason_option, required=True, help="Why; guard writes down who said so.")
@_state
@click.pass_obj
def remove(output: Output, *, what: Mapping[str, str], reason: str, state: str | None) -> int:
    """Take a window back, before or while it holds.

    By ID: one; by EXCHANGE or MARKET all of its windows.
    """
    answer = _ask(state, "maintenance.rm", **what, reason=reason)
    if output.is_json:
        output.document(answer)
        return Exit.OK
    for window in answer["windows"]:
        output.text(f"maintenance of {safe(window['target'])} is taken back, id {window['id']}")
    return Exit.OK


def _ask(state: str | None, op: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    from guard.api.call import call

    return call(locate(state).socket, op, **arguments)


def _shown(text: str) -> str:
    return moment(int(datetime.fromisoformat(text).timestamp() * 1e6), now_us=MACHINE.wall_us())


def _table(output: Output, windows: Sequence[Mapping[str, Any]]) -> None:
    head = ("id", "target", "state", "from", "until", "actor", "reason")
    rows = [
        tuple(_shown(window[name]) if name in {"from", "until"} else safe(str(window[name])) for name in head) for window in windows
    ]
    output.table(head, rows)
