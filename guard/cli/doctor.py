"""``guard doctor``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from guard.cli.guard_file import config_option, state_option
from guard.cli.output import Exit, Output
from guard.cli.self_watch import heartbeat_trouble, list_troubles
from guard.client.clock import MACHINE
from guard.errors import ConfigurationError, GuardError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

__all__ = ["doctor"]

_ERRORS_SHOWN = 3
_JUMP_S_MAX = 1.0
_FILE = click.Path(path_type=Path, exists=True)


class _Finding(NamedTuple):
    what: str
    is_well: bool
    found: str
    mend: str = ""


@click.command
@config_option
@state_option
@click.option("--offline", is_flag=True, help="Ask no exchange: look at this machine and the running guard alone.")
@click.option("--bot", type=click.Choice(["freqtrade"]), help="Look at a bot instead: would an entry of it be refused?")
@click.option("--bot-config", type=_FILE, help="With --bot: its configuration file.")
@click.option("--strategy-path", type=_FILE, help="With --bot: the folder of its strategies, or one file; read, never run.")
@click.option("--strategy", help="With --bot: the strategy's class; all of the folder where not given.")
@click.pass_obj
def doctor(
    output: Output,
    config_path: Path,
    state: Path | None,
    *,
    offline: bool,
    bot: str | None,
    bot_config: Path | None,
    strategy_path: Path | None,
    strategy: str | None,
) -> int:
    """Look for what is wrong, and say how to mend it.

    The ledger and its backups are looked over: pages, room, permissions. Each exchange is tried once, with a few public requests:
    names, REST, clock, websocket. What is watched there, what is left out and what a bot trades besides is told by the running
    guard, or found out. Nothing is changed.
    """
    if bot is None and (bot_config or strategy_path or strategy):
        raise click.UsageError("--bot-config, --strategy-path and --strategy go with --bot freqtrade")
    if bot is None:
        findings = list(_findings(config_path, state, is_offline=offline))
    else:
        findings = list(_bot_findings(config_path, state, bot_config=bot_config, strategies=strategy_path, strategy=strategy))
    if output.is_json:
        output.document({"findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            output.text(f"{'ok  ' if finding.is_well else 'LOOK'}  {finding.what}: {finding.found}")
            if not finding.is_well and finding.mend:
                output.text(f"        {finding.mend}")
    return Exit.OK if all(finding.is_well for finding in findings) else Exit.FINDINGS


def _findings(config_path: Path, state: Path | None, *, is_offline: bool) -> Iterator[_Finding]:
    yield _Finding("Python", (3, 11) <= sys.version_info[:2] < (3, 14), sys.version.split()[0], "use Python 3.11, 3.12 or 3.13")
    folder, config = state, None
    try:
        from guard.dsl import load_guard

        config = load_guard(config_path, os.environ, now_us=MACHINE.wall_us())
        folder = folder or config.state_folder
        names = ", ".join(config.exchanges)
        yield _Finding("guard.yaml", is_well=True, found=f"{config_path}, mode {config.mode}, exchanges: {names}")
        for problem in config.warnings:
            yield _Finding(
                f"{problem.file}:{problem.line}:{problem.column}", is_well=False, found=problem.message, mend=problem.hint
            )
        yield _rules(config)
        channels = ", ".join(config.alerts.channels) or "none"
        yield _Finding(
            "alert channels", bool(config.alerts.channels), channels, "add one under alerts.channels, then: guard alerts test"
        )
    except ConfigurationError as error:
        yield _Finding("guard.yaml", is_well=False, found=_first_lines(error), mend="guard config check")
    folder = folder or Path(".guard")
    status = _status(folder)
    yield from _state(folder, status)
    if folder.is_dir():
        from guard.cli.doctor_ledger import look_at_ledger
        from guard.dsl.settings import BackupSettings

        backups = BackupSettings() if config is None else config.storage.backups
        said = look_at_ledger(folder, is_running=isinstance(status, dict), every_us=backups.every_us)
        yield from (_Finding(*each) for each in said)
    if config is not None and not is_offline:
        from guard.cli.doctor_exchanges import look_at_exchanges

        yield from (_Finding(*each) for each in look_at_exchanges(config, folder, has_guard=isinstance(status, dict)))


def _bot_findings(
    config_path: Path, state: Path | None, *, bot_config: Path | None, strategies: Path | None, strategy: str | None
) -> Iterator[_Finding]:
    from guard.cli.doctor_freqtrade import look_at_bot
    from guard.client import Guard
    from guard.dsl import load_guard

    config = load_guard(config_path, os.environ)
    folder = state or config.state_folder
    problem = Guard(folder).problem
    yield _Finding("guard", problem is None, problem or f"answers in mode {config.mode}", "guard run")
    for probe in look_at_bot(config, folder, bot_config=bot_config, strategies=strategies, strategy=strategy):
        yield _Finding(*probe)


def _status(folder: Path) -> Mapping[str, Any] | GuardError:
    """Return what a running guard says, or why none does."""
    from guard.api.call import call
    from guard.client.places import locate

    try:
        return call(locate(folder).socket, "status")
    except GuardError as error:
        return error


def _rules(config: Any) -> _Finding:  # noqa: ANN401 - imported late
    from guard.dsl import compile_rules, load_rules

    try:
        program = compile_rules(load_rules(config))
    except ConfigurationError as error:
        return _Finding("rules", is_well=False, found=_first_lines(error), mend="guard rules check")
    enforced = sum(rule.mode == "enforce" for rule in program.rules)
    return _Finding("rules", bool(program.rules), f"{len(program.rules)} compile, {enforced} may block", "name packs under rules:")


def _state(folder: Path, status: Mapping[str, Any] | GuardError) -> Iterator[_Finding]:
    from guard.client import Guard

    if not folder.is_dir():
        yield _Finding("state folder", is_well=False, found=f"{folder} does not exist", mend="it is made by the first: guard run")
        return
    mode = folder.stat().st_mode & 0o777
    yield _Finding("state folder", not mode & 0o077, f"{folder}, mode {mode:o}", f"chmod 700 {folder}")
    free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    yield _Finding("disk", free > 100 << 20, f"{free >> 20} MiB free", "make room: the ledger needs it")
    yield from _permissions(folder)
    problem = Guard(folder).problem
    yield _Finding("snapshot", problem is None, "bots can read it" if problem is None else problem)
    if isinstance(status, GuardError):
        yield _Finding("guard", is_well=False, found=str(status), mend="guard run")
        return
    yield from _running(status)


def _permissions(folder: Path) -> Iterator[_Finding]:
    """Yield who may read what bots read, and who may give orders."""
    from guard.client.places import locate

    places = locate(folder)
    snapshot = Path(places.snapshot).parent
    if snapshot.is_dir():
        mode = snapshot.stat().st_mode & 0o777
        found = f"{snapshot}, mode {mode:o}"
        yield _Finding("snapshot folder", not mode & 0o022, found, f"chmod 750 {snapshot}: who writes there answers bots")
    socket = Path(places.socket)
    if socket.exists():
        mode = socket.stat().st_mode & 0o777
        yield _Finding("operator socket", not mode & 0o077, f"{socket}, mode {mode:o}", f"chmod 600 {socket}")


def _running(status: Mapping[str, Any]) -> Iterator[_Finding]:
    yield _Finding(
        "guard", is_well=True, found=f"runs for {status['uptime_s']:.0f} s, {status['watched']} watched, {status['ready']} ready"
    )
    yield _Finding(
        "ledger", status["durable"], "written" if status["durable"] else "cannot be written", "see the log; is the disk full?"
    )
    trouble = heartbeat_trouble(status)
    yield _Finding("heartbeat", trouble is None, trouble or "each stage is proved", "see docs/heartbeat.md and the log")
    for name, is_well, found in list_troubles(status):
        yield _Finding(name, is_well, found, "see docs/lists.md")
    jump_s = status["clock_jump_ms"] / 1000
    yield _Finding(
        "clock",
        abs(jump_s) < _JUMP_S_MAX,
        "steady"
        if abs(jump_s) < _JUMP_S_MAX
        else f"the machine's clock was set {abs(jump_s):.1f} s {'ahead' if jump_s > 0 else 'back'}",
        "guard keeps the time of its start; see that the machine's clock is right, then restart guard",
    )
    problem = status["rules"]["problem"]
    yield _Finding("running rules", problem is None, problem or _reloads(status["rules"]), "guard rules check, guard rules test")
    yield from _upgrade(status.get("upgrade") or {})
    yield _Finding(
        "bypass",
        status["bypass"] is None,
        "off" if status["bypass"] is None else f"ON until {status['bypass']['until']}",
        "guard bypass --end",
    )
    from guard.cli.doctor_exchanges import market_lines, rate_lines

    for feed in status["feeds"]:
        found = f"{feed['received']:,} rows, {feed['reconnects']} reconnects, {feed['gaps']} gaps, {feed['bad_frames']} bad frames"
        yield _Finding(f"feed {feed['exchange']}", feed["problem"] is None, found, "; ".join(feed["notes"]))
        if feed["streaming"]:
            markets = feed["markets"]
            has_bot = bool(markets["traded"] or markets["asked"] or markets["bot_problem"])
            yield from (_Finding(*each) for each in market_lines(feed["exchange"], markets, has_bot=has_bot))
        yield from (_Finding(*each) for each in rate_lines(feed))
    yield from _channels(status)


def _upgrade(upgrade: Mapping[str, Any]) -> Iterator[_Finding]:
    """Yield what an upgrade changed in the shipped rules; a mode that is held, and was seen, is no trouble."""
    if upgrade.get("problem"):
        yield _Finding("upgrade", is_well=False, found=upgrade["problem"], mend="guard rules diff")
    elif upgrade.get("pending"):
        changes = upgrade["changes"]
        is_seen = all(change["kind"] in {"held", "new"} for change in changes)
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        yield _Finding("upgrade", is_seen, f"{changes[0]['text']}{more}", "guard rules diff")


def _reloads(rules: Mapping[str, Any]) -> str:
    ways = {"files": "the system tells of changes", "poll": "changes are looked for each second", "off": "read only when asked"}
    return f"{rules['active']} active, {ways[rules['watch']]}, changes taken over: {rules['reloads']['taken_over']}"


def _channels(status: Mapping[str, Any]) -> Iterator[_Finding]:
    for channel in sorted({*status["outbox"], *status["channels"]}):
        counts, health = status["outbox"].get(channel, {}), status["channels"].get(channel)
        dead, error = counts.get("dead", 0), health and health["error"]
        found = f"{counts.get('delivered', 0)} delivered, {counts.get('pending', 0)} waiting, {dead} undeliverable"
        if health is None:
            found += "; guard.yaml names it no longer"
        is_call = channel.startswith("call:")
        yield _Finding(
            channel if ":" in channel else f"channel {channel}",
            dead == 0 and not error,
            f"{found}; it fails: {error}" if error else found,
            f"guard alerts test {channel}" if error and not is_call else "guard alerts outbox",
        )


def _first_lines(error: ConfigurationError) -> str:
    texts = [f"{p.file}:{p.line}:{p.column}: {p.message}" for p in error.problems[:_ERRORS_SHOWN]]
    more = len(error.problems) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more > 0 else "")
