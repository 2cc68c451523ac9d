"""``guard alerts``: try the channels, look at the outbox."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from guard.cli.guard_file import config_option
from guard.cli.output import Exit
from guard.cli.wording import safe
from guard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guard.cli.output import Output
    from guard.dsl import GuardConfig
    from guard.model.ports import Outcome

__all__ = ["alerts"]

_STATES = ("pending", "delivered", "dead")
_TTL_US = 60_000_000
_ACTIONS_SHOWN = 10


@click.group
def alerts() -> None:
    """Try the alert channels; look at what waits to be told."""


@alerts.command("test")
@click.argument("channel", required=False)
@config_option
@click.pass_obj
def test(output: Output, channel: str | None, config_path: Path) -> int:
    """Send a test message to one channel or to all.

    CHANNEL is a name in guard.yaml, or webhook:NAME to post an event "test" there; without it all channels, and no webhook, are
    tried. guard need not run. Exit codes: 0 all delivered, 1 not all, 3 guard.yaml cannot be used.
    """
    import asyncio

    from guard.dsl import load_guard

    found = load_guard(config_path, os.environ)
    urls = {name: each.url.get_secret_value() for name, each in found.alerts.channels.items()}
    webhooks = [f"webhook:{name}" for name in found.webhooks]
    if channel is not None and channel not in {*urls, *webhooks}:
        raise click.BadParameter(
            f"{channel!r} is no channel of {config_path}; it has: {', '.join([*urls, *webhooks]) or 'none'}", param_hint="CHANNEL"
        )
    chosen = {name: url for name, url in urls.items() if channel in {None, name}}
    outcomes = asyncio.run(_try_webhook(found, channel) if channel in webhooks else _try_all(chosen))
    code = Exit.OK if outcomes and all(outcome.is_delivered for outcome in outcomes.values()) else Exit.FINDINGS
    if output.is_json:
        rows = {name: {"delivered": outcome.is_delivered, "error": outcome.error} for name, outcome in outcomes.items()}
        output.document({"channels": rows, "exit": int(code)})
        return code
    for name, outcome in outcomes.items():
        output.text(f"{name:<16} {'delivered' if outcome.is_delivered else f'FAILED: {outcome.error}'}")
    if not outcomes:
        output.text(f"{config_path} names no channel under alerts.channels: nobody would be told anything")
    return code


@alerts.command("outbox")
@click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")
@click.pass_obj
def outbox(output: Output, state: str | None) -> int:
    """Count the running guard's messages and actions by channel.

    Pending ones wait, dead ones could not be delivered. An action's channel is webhook:NAME or call:NAME; the newest of them follow
    with what they answered.
    """
    from guard.api.call import call
    from guard.client.places import locate

    answer = call(locate(state).socket, "alerts.outbox")
    if output.is_json:
        output.document(answer)
        return Exit.OK
    channels: Mapping[str, Mapping[str, Any]] = answer["channels"]
    if not channels:
        output.text("Nothing has been sent yet and nothing waits.")
        return Exit.OK
    errors, wide = answer.get("errors", {}), max(16, *map(len, channels))
    output.text(f"{'channel':<{wide}}" + "".join(f"{state:>11}" for state in _STATES))
    for name, counts in sorted(channels.items()):
        output.text(f"{name:<{wide}}" + "".join(f"{counts.get(state, 0):>11}" for state in _STATES))
        if name in errors:
            output.text(f"    last error: {safe(errors[name])}")
    for row in answer.get("actions", [])[:_ACTIONS_SHOWN]:
        said = row["output"] if row["state"] == "delivered" else row["error"]
        tries = f" after {row['attempts']} attempts" if row["attempts"] > 1 else ""
        output.text(
            f"{row['ts'][:19]}Z  {row['channel']}  {safe(row['title'])}  {row['state']}{tries}{f': {safe(said)}' if said else ''}"
        )
    return Exit.OK


async def _try_webhook(config: GuardConfig, lane: str) -> dict[str, Outcome]:
    """Post an event "test" once."""
    from guard.alerts.events import about_test
    from guard.alerts.webhooks import Webhooks
    from guard.runtime.clock import SystemClock
    from guard.runtime.settings import endpoints

    clock = SystemClock()
    webhooks = Webhooks(endpoints(config), clock)
    try:
        return {lane: await webhooks.send(about_test(lane, clock.now_us()))}
    finally:
        await webhooks.close()


async def _try_all(urls: Mapping[str, str]) -> dict[str, Outcome]:
    """Send to all at once; each has its own handler, so that one bad URL does not hide how the others fare."""
    import asyncio

    outcomes = await asyncio.gather(*(_try(name, url) for name, url in urls.items()))
    return dict(zip(urls, outcomes, strict=True))


async def _try(name: str, url: str) -> Outcome:
    from guard.alerts.desk import Subject, delivery
    from guard.alerts.notification import NotificationHandler
    from guard.alerts.policy import ChannelPolicy
    from guard.alerts.templates import Messages
    from guard.model import Level
    from guard.model.ports import Outcome
    from guard.runtime.clock import SystemClock

    now_us = SystemClock().now_us()
    message = Messages().render("test", channel=name)
    subject = Subject(f"test:{now_us}", "test", "", Level.WARNING)
    try:
        handler = NotificationHandler({name: url})
    except ConfigurationError as error:
        return Outcome(is_delivered=False, error="; ".join(problem.message for problem in error.problems))
    try:
        return await handler.send(delivery(ChannelPolicy(name, ttl_us=_TTL_US), subject, message, now_us))
    finally:
        await handler.close()
