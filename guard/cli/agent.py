"""``guard agent``."""

from __future__ import annotations

import asyncio
import os
import signal
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit
from guard.cli.wording import safe

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.cli.output import Output
    from guard.model.ports import Clock
    from guard.runtime.agent import Agent, AgentHealth, Uplink

__all__ = ["agent"]

_VARIABLE: Final = "GUARD_TOKEN"
_HEALTH_S: Final = 10.0
_LOOK_S: Final = 0.25
_TOKEN_BYTES_MAX: Final = 4_096


@click.command
@click.argument("url")
@click.option(
    "--token-file", type=click.Path(path_type=Path), help=f"File that holds the token; without it the variable {_VARIABLE}."
)
@click.option(
    "--ca", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Certificate to trust, of an authority of your own."
)
@click.option(
    "--state", type=click.Path(path_type=Path), envvar="GUARD_STATE", help="State folder of this agent; .guard without it."
)
@click.option("--group", help="Group whose bots may read the snapshot.")
@click.option("--for", "for_us", callback=duration_option, help="Stop after this time.")
@click.pass_obj
def agent(
    output: Output, *, url: str, token_file: Path | None, ca: Path | None, state: Path | None, group: str | None, for_us: int | None
) -> int:
    """Follow a guard elsewhere for the bots of this host.

    URL is https://host:port, or http:// on this machine. Bots here see what bots there see; without the link all that is not
    blocked is unknown after 5 s. Exit codes: 0 stopped as asked, 2 usage, 4 never connected, 1 another guard or agent writes here.
    """
    from guard.runtime.logs import set_up_logging
    from guard.runtime.printer import Printer

    uplink = _uplink(url, token_file, ca)
    printer = Printer()
    set_up_logging(printer, level="info", style="auto")
    try:
        was_connected = asyncio.run(_run(output, uplink, state, group, for_us))
    finally:
        printer.close()
    return Exit.OK if was_connected else Exit.NOT_RUNNING


def _uplink(url: str, token_file: Path | None, ca: Path | None) -> Uplink:
    from guard.runtime.agent import Uplink

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise click.BadParameter(f"expected https://host:port, found {url[:80]!r}", param_hint="URL")
    if parts.scheme == "http" and not _is_near(parts.hostname):
        raise click.BadParameter("another host is followed over https:// only: the token must not cross a network in the clear")
    trust = None
    if ca is not None:
        import ssl

        try:
            trust = ssl.create_default_context(cafile=str(ca))
        except ssl.SSLError as error:
            raise click.BadParameter(f"{ca} is no certificate in PEM: {error.reason}", param_hint="--ca") from error
    token = _token(token_file)
    token()
    return Uplink(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", token, trust)


def _is_near(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(file: Path | None) -> Callable[[], str]:
    def read() -> str:
        if file is None:
            text = os.environ.get(_VARIABLE, "")
        else:
            try:
                text = file.read_bytes()[:_TOKEN_BYTES_MAX].decode("ascii", "replace")
            except OSError as error:
                raise click.BadParameter(f"{file} cannot be read: {error.strerror}", param_hint="--token-file") from error
        text = text.strip()
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise click.UsageError(
                f"a token is needed: --token-file FILE, or the variable {_VARIABLE}; `guard token add` makes one"
            )
        return text

    return read


async def _run(output: Output, uplink: Uplink, state: Path | None, group: str | None, for_us: int | None) -> bool:
    from guard.api.server import refuse_live
    from guard.runtime.agent import Agent
    from guard.runtime.clock import SystemClock, seeded_random
    from guard.runtime.state import StateFolder

    with StateFolder(state) as folder:
        refuse_live(folder.socket)
        clock = SystemClock()
        follower = Agent(uplink, folder.snapshot_folder, clock, seeded_random(), group=group)
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        following = asyncio.create_task(follower.run(), name="agent")
        telling = asyncio.create_task(_tell(output, follower, clock), name="health")
        waiting = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait(
                {following, telling, waiting},
                timeout=None if for_us is None else for_us / 1e6,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done & {following, telling}:
                task.result()
        finally:
            for task in (following, telling, waiting):
                task.cancel()
            await asyncio.gather(following, telling, waiting, return_exceptions=True)
            follower.stop()
        return follower.health.connects > 0


async def _tell(output: Output, follower: Agent, clock: Clock) -> None:
    """Print the health line when something changes, and every 10 s."""
    told: tuple[object, ...] | None = None
    turns = 0
    while True:
        health = follower.health
        seen = (health.connected, health.epoch, health.seq, health.problem)
        if seen != told or turns * _LOOK_S >= _HEALTH_S:
            told, turns = seen, 0
            if output.is_json:
                output.line(health.record())
            else:
                output.text(_sentence(health))
        turns += 1
        await clock.sleep(_LOOK_S)


def _sentence(health: AgentHealth) -> str:
    if not health.connected:
        return f"NOT CONNECTED: {safe(health.problem or '')}; bots see unknown, blocks stand ({health.blocks} held)"
    age = "" if health.age_ms is None else f", proof of life {health.age_ms / 1000:.1f} s ago"
    return f"following: entry {health.epoch}.{health.seq}, {health.markets} markets, {health.blocks} held{age}"
