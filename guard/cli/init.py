"""``guard init``."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import click

from guard.cli.exchange_ids import check_known
from guard.cli.output import Exit, Output
from guard.cli.rules_schema import write_schemas
from guard.errors import GuardError

__all__ = ["init"]

_GLOB = re.compile(r"[A-Za-z0-9*_/:.\-]+")
_HEAD = """\
# yaml-language-server: $schema=.guard/guard.schema.json
# guard: what is watched, which rules decide, who is told. Check it with: guard config check
version: 1

# observe: compute everything, permit everything, push only guard's own troubles.  alert: push all.  enforce: refuse entries, too.
mode: {mode}

# Packs that come with guard, by name; packs of your own by path: rules/*.yaml
rules: [guard:pump_dump, guard:wash_trading, guard:spoofing, guard:divergence, guard:spread_blowout]
"""

_EMBEDDED = """
# The embedded exchange: a seeded market on this machine, with staged manipulations. It needs no network and no keys.
exchanges:
  sim:
    connector: sim
    markets: ["*/USDT"]
    streams: [trades, book]
    options: {seed: 7, schedule: demo, inbox: 8788, bot: true}

# Each level may go to a channel of its own. Any Apprise URL: tgram://, slack://, mailto://, json://, ...
alerts:
  channels:
    danger: {url: "json://127.0.0.1:8788/danger", levels: [danger]}
    critical: {url: "json://127.0.0.1:8788/critical", levels: [critical]}
"""

_LIVE = """
# Public data only: guard needs no keys.
exchanges:
  {exchange}:
    connector: ccxt
    markets: {markets}
    streams: [trades, book]
    max_markets: {markets_max}
{follows}
# Any Apprise URL; keep secrets out of this file: "${{env:GUARD_TELEGRAM_URL}}" or "${{file:/run/secrets/telegram}}".
# Test it with: guard alerts test
alerts:
  channels: {{}}
  #  telegram: {{url: "${{env:GUARD_TELEGRAM_URL}}", levels: [danger, critical]}}
"""


@click.command
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
@click.option("--exchange", help="A ccxt exchange id, for example kucoin; without it the embedded exchange.")
@click.option("--bot", type=click.Choice(["freqtrade"]), help="Take exchange and markets from this bot's configuration.")
@click.option(
    "--config", "bot_config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The bot's configuration file."
)
@click.option("--schemas", "is_refresh", is_flag=True, help="Write the schemas for editors anew, after an upgrade; nothing else.")
@click.pass_obj
def init(output: Output, folder: Path, exchange: str | None, bot: str | None, bot_config: Path | None, *, is_refresh: bool) -> int:
    """Write a guard.yaml for the embedded or a live exchange.

    FOLDER is made where it is missing. A live exchange begins in mode observe: nothing is refused. JSON schemas for editors go to
    .guard in it.
    """
    path = folder / "guard.yaml"
    if is_refresh:
        return _refresh(output, path)
    if path.exists():
        raise GuardError(f"{path} is there already; guard init writes no file that exists")
    if bot and not bot_config:
        raise click.UsageError("--bot needs --config, the bot's configuration file")
    markets, left_out = ["*/USDT"], list[str]()
    if bot_config:
        exchange, markets, left_out = _freqtrade(bot_config, exchange)
    text = _HEAD.format(mode="observe" if exchange else "enforce")
    if exchange:
        check_known(exchange)
        follows = _follows(folder, bot_config) if bot_config else ""
        text += _LIVE.format(exchange=exchange, markets=json.dumps(markets), markets_max=max(100, len(markets)), follows=follows)
    else:
        text += _EMBEDDED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise GuardError(f"{path} cannot be written: {error.strerror}") from error
    schemas = _schemas(folder / ".guard")
    if output.is_json:
        mode = "observe" if exchange else "enforce"
        output.document({"written": [str(path), *schemas], "exchange": exchange or "sim", "mode": mode, "left_out": left_out})
    else:
        if left_out:
            output.text(f"not under markets, which have * only, and watched by from_bot: {', '.join(left_out)}")
        output.text(f"wrote {path}\nnext: {'' if folder == Path() else f'cd {folder} && '}guard config check && guard run")
    return Exit.OK


def _follows(folder: Path, bot_config: Path) -> str:
    """Return the lines that let guard follow the bot's file: what the bot adds later is watched, too."""
    path = json.dumps(os.path.relpath(bot_config.resolve(), folder.resolve()))
    said = "Follows the bot's file; with its url, user and password also what it trades now."
    return f"    # {said}\n    from_bot: {{freqtrade: {{config: {path}}}}}\n"


def _refresh(output: Output, path: Path) -> int:
    from guard.dsl import load_guard

    written = _schemas(load_guard(path, os.environ).state_folder)
    output.document({"written": written}) if output.is_json else output.text(f"wrote {', '.join(written)}")
    return Exit.OK


def _schemas(folder: Path) -> list[str]:
    try:
        return [str(path) for path in write_schemas(folder)]
    except OSError as error:
        raise GuardError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def _freqtrade(path: Path, exchange: str | None) -> tuple[str, list[str], list[str]]:
    """Return exchange, markets, and what of the whitelist is no glob and could not be taken over."""
    from guard.runtime.freqtrade import read_config

    try:
        found = read_config(path)
    except GuardError as error:
        raise GuardError(f"{path} is no Freqtrade configuration with exchange.name: {error}") from error
    name = exchange or found.exchange
    if not name:
        raise GuardError(f"{path} is no Freqtrade configuration with exchange.name")
    # A bot with a dynamic pair list has no whitelist: it trades whatever its stake buys.
    pairs = [pair.replace(".*", "*") for pair in found.whitelist]
    stake = found.stake or "USDT"
    globs = [pair for pair in pairs if _GLOB.fullmatch(pair)]
    return name, globs or [f"*/{stake}"], [pair for pair in pairs if pair not in globs]
