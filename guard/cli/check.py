"""``guard check`` and ``guard bypass``: they work without a live guard, and start fast."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from guard.cli.durations import duration_option, say_duration
from guard.cli.output import Exit
from guard.cli.reasons import reason_option
from guard.cli.wording import moment, safe
from guard.client import Clearance, ClearanceStatus, Guard, Intent
from guard.client.answer import NEW_LISTING, intent_of
from guard.client.bypass import FOR_MAX_US, Bypass, begin_bypass, end_bypass, read_bypass
from guard.client.clock import MACHINE
from guard.client.places import locate
from guard.errors import StateError
from guard.model.clearance import Mode
from guard.model.market import Market
from guard.model.moments import stamp

if TYPE_CHECKING:
    from guard.cli.output import Output

__all__ = ["bypass", "check"]

_EXITS = frozenset({Intent.REDUCE, Intent.CLOSE, Intent.HEDGE})


def _market(_: click.Context, __: click.Parameter, text: str) -> Market:
    try:
        return Market.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command
@click.argument("market", callback=_market)
@click.option("--side", type=click.Choice(["buy", "sell"]), help="What the order does; selling spot closes.")
@click.option("--intent", type=click.Choice([str(intent) for intent in Intent]), help="What it does to the position.")
@click.option("--bot", help="Name of the bot in guard.yaml, for its policy.")
@click.option("--fail-open", is_flag=True, help="Take every unknown for a yes; a known block stays a no.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder or snapshot file of the guard.")
@click.pass_obj
def check(
    output: Output, *, market: Market, side: str | None, intent: str | None, bot: str | None, fail_open: bool, state: str | None
) -> int:
    """Ask whether an order on MARKET (exchange:SYMBOL) may go out.

    Exit codes: 0 permitted, 10 blocked (also from the last snapshot, guard down), 4 no live guard, 12 data stale, 11 any other
    refused unknown. Reduce, close and hedge are always permitted.
    """
    client = Guard(state, bot, tells=False)
    clearance = client.check(market.exchange, market.symbol, side, intent)
    if fail_open and clearance.status is ClearanceStatus.UNKNOWN:
        clearance = clearance._replace(permitted=True)
    meant = intent_of(market.symbol, side, intent)
    code = _exit(client, clearance, meant, fail_open=fail_open)
    problem = client.problem
    if output.is_json:
        output.document(
            {
                "market": str(market),
                "intent": str(meant),
                **clearance._asdict(),
                "until": None if clearance.until_us is None else stamp(clearance.until_us),
                "mode": None if client.mode is None else str(client.mode),
                "fail_open": fail_open,
                "problem": problem,
                "exit": int(code),
            }
        )
    else:
        output.text(_sentence(client, market, meant, clearance, fail_open=fail_open))
    return code


def _exit(client: Guard, clearance: Clearance, intent: Intent, *, fail_open: bool) -> Exit:
    is_silent = clearance.reason == "guard_silent" and clearance.status is ClearanceStatus.UNKNOWN
    is_lifted = clearance.permitted_by in {"bot_mode", "bot_exchanges", "bot_sides"} or client.mode in {Mode.OBSERVE, Mode.ALERT}
    is_told = fail_open or clearance.bypassed or intent in _EXITS or is_lifted
    if is_silent and not is_told:
        # Even where a bot's policy permits it: a script that asks must learn that nobody watches.
        return Exit.NOT_RUNNING
    if clearance.permitted:
        return Exit.OK
    if clearance.status is ClearanceStatus.BLOCKED:
        return Exit.BLOCKED
    return Exit.STALE if clearance.reason == "feed_stale" else Exit.UNKNOWN


_WHY = {
    "guard_silent": "no live guard answers",
    "feed_stale": "its data is stale, or its exchange is in maintenance or was not reached",
    "warming": "its streams are not live for a minute yet",
    "not_watched": "guard does not watch it; add it to guard.yaml",
}


_POLICIES = {
    "bot_mode": "this bot's own mode does not refuse",
    "bot_exchanges": "this bot is not held back on this exchange",
    "bot_sides": "this bot is not held back on this side",
    "bot_rules": "this rule, its tags or its level do not count for this bot",
}


def _sentence(client: Guard, market: Market, intent: Intent, clearance: Clearance, *, fail_open: bool) -> str:
    verdict = "permitted" if clearance.permitted else "refused"
    parts = [f"{safe(str(market))}: {clearance.status}, {intent} {verdict}"]
    if clearance.permitted and (clearance.would_block or clearance.bypassed or clearance.permitted_by):
        parts.append(_permission(client, clearance, fail_open=fail_open))
    if clearance.status in {ClearanceStatus.BLOCKED, ClearanceStatus.SHRINK}:
        parts.append(_hold(clearance))
    elif clearance.status is ClearanceStatus.UNKNOWN:
        parts.append((clearance.reason == "guard_silent" and client.problem) or _WHY.get(clearance.reason, clearance.reason))
    elif clearance.data == "degraded":
        parts.append("a longer baseline is still missing")
    problem = client.problem
    if problem and clearance.reason != "guard_silent":
        parts.append(safe(problem))
    return "; ".join(parts)


def _permission(client: Guard, clearance: Clearance, *, fail_open: bool) -> str:
    if clearance.bypassed:
        bypass = client.bypass
        until = "" if bypass is None else f" until {moment(bypass.until_us, now_us=MACHINE.wall_us())}: {safe(bypass.reason)}"
        return f"by the bypass{until} (end it with `guard bypass --end`)"
    if fail_open:
        return "by --fail-open"
    if clearance.permitted_by in _POLICIES:
        return f"because {_POLICIES[clearance.permitted_by]} (bots: in guard.yaml)"
    return f"because mode is {client.mode} (enforce would refuse)"


def _hold(clearance: Clearance) -> str:
    if clearance.reason == NEW_LISTING and clearance.quarantine_id is None:
        until = "" if clearance.until_us is None else f" until {moment(clearance.until_us, now_us=MACHINE.wall_us())}"
        limit = f"; open at most {clearance.max_fraction:.0%} of the usual size" if clearance.max_fraction < 1.0 else ""
        return f"a new listing, by the policy of this bot{until}{limit}"
    text = f"{clearance.rule}: {safe(clearance.reason)}"
    if clearance.until_us is not None:
        text += f", until {moment(clearance.until_us, now_us=MACHINE.wall_us())}"
    if clearance.status is ClearanceStatus.SHRINK:
        return f"{text}; open at most {clearance.max_fraction:.0%} of the usual size"
    return f"{text}; exits always pass, release it with `guard quarantine release {clearance.quarantine_id} --reason ...`"


@click.command
@click.option(
    "--for",
    "for_us",
    metavar="DURATION",
    callback=duration_option,
    help=f"Permit everything this long, at most {say_duration(FOR_MAX_US)}.",
)
@click.option("--reason", callback=reason_option, help="Why; shown to everyone while it lasts.")
@click.option("--end", is_flag=True, help="End it now.")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def bypass(output: Output, *, for_us: int | None, reason: str | None, end: bool, state: str | None) -> int:
    """Permit everything for a while.

    Without options: show what is in force. Needs no live guard. Bots of the same user honour it within a second.
    """
    places = locate(state)
    if end and (for_us is not None or reason is not None):
        raise click.UsageError("--end goes alone")
    if (for_us is None) != (reason is None):
        raise click.UsageError("a bypass needs both --for and --reason")
    if not os.path.isdir(places.state):  # noqa: PTH112 - as in the client, pathlib would cost the start
        raise StateError(f"there is no state folder {places.state}; run this where guard.yaml is, or give --state")
    if for_us is not None and reason is not None:
        begin_bypass(places.bypass, MACHINE, for_us=for_us, reason=reason, actor=_actor())
    elif end:
        end_bypass(places.bypass)
    current, problem = read_bypass(places.bypass, MACHINE)
    _show(output, current, problem)
    return Exit.OK


def _show(output: Output, current: Bypass | None, problem: str | None) -> None:
    if output.is_json:
        shown = None
        if current is not None:
            shown = {
                "until": stamp(current.until_us),
                "until_us": current.until_us,
                "reason": current.reason,
                "actor": current.actor,
            }
        output.document({"bypass": shown, "problem": problem})
        return
    if problem:
        output.text(problem)
    elif current is None:
        output.text("no bypass: guard's answers hold")
    else:
        until = moment(current.until_us, now_us=MACHINE.wall_us())
        output.text(f"BYPASS: everything is permitted until {until}, by {safe(current.actor)}: {safe(current.reason)}")


def _actor() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"
