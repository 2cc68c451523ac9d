"""``guard rules promote``: a rule one step up, after a look at what it would have done."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from guard.cli.counting import many
from guard.cli.durations import duration_option, say_duration
from guard.cli.guard_file import guard_file
from guard.cli.output import Exit
from guard.cli.wording import safe
from guard.errors import GuardError, OperationRefused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guard.cli.output import Output
    from guard.dsl import GuardConfig, Rule, RuleSet
    from guard.dsl.rules import RuleSource
    from guard.model import RuleMode
    from guard.runtime.rewriting import Plan

__all__ = ["promote"]

_PATH = click.Path(path_type=Path)
_TAPE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEXT: Final = {"disabled": "shadow", "shadow": "alert", "alert": "enforce"}
_ORDER: Final = ("disabled", "shadow", "alert", "enforce")


@click.command
@click.argument("rule_id", metavar="RULE")
@click.argument("files", metavar="[FILES]...", nargs=-1, type=_TAPE)
@click.option("--to", "wanted", type=click.Choice(["alert", "enforce"]), help="The new mode; by default one step up.")
@click.option(
    "--tape",
    "tapes",
    multiple=True,
    type=_TAPE,
    metavar="FILES",
    help="Recordings to replay with the rule enforced; more may follow.",
)
@click.option("--exchange", default="tape", show_default=True, help="Exchange name under which the markets of CSV files appear.")
@click.option("--since", "since_us", callback=duration_option, default="7d", show_default=True, help="How far to look back.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--state", type=_PATH, envvar="GUARD_STATE", help="State folder of the guard; by default the one of guard.yaml.")
@click.pass_obj
def promote(
    output: Output,
    *,
    rule_id: str,
    files: Sequence[Path],
    wanted: str | None,
    tapes: Sequence[Path],
    exchange: str,
    since_us: int,
    yes: bool,
    state: Path | None,
) -> int:
    """Raise a rule's mode: shadow, alert, enforce.

    Shows first what it would have done, by the ledger and by recordings, then writes an override into guard.yaml and leaves the
    rest of the file as it is.
    """
    if files and not tapes:
        raise click.UsageError(f"what is {files[0]} for? recordings go after --tape")
    from guard.cli.rules_diff import upgrade_of
    from guard.dsl import load_guard, load_rules
    from guard.runtime.rewriting import plan_mode, write

    config = load_guard(guard_file(), os.environ)
    rules = load_rules(config)
    # An upgrade may hold a mode down: the step up is from what runs.
    running = upgrade_of(config, state).take(config, rules)
    source, mode = _rule(running, rule_id), _mode(running, rule_id, wanted)
    rule = _compiled(running, rule_id)
    plan = plan_mode(config, rules, rule_id, mode, os.environ)
    document: dict[str, Any] = {
        "rule": rule_id,
        "file": source.file,
        "line": source.place.line,
        "from": str(rule.mode),
        "to": str(mode),
        "ledger": _ledger(rule, state or config.state_folder, since_us),
        "tape": _replayed(rules, rule_id, [*tapes, *files], exchange) if tapes else None,
        "edit": {"file": plan.shown, "line": plan.edit.line, "removed": plan.edit.removed, "added": plan.edit.added},
        "notes": list(_notes(rule, mode, config)),
        "written": False,
    }
    if not output.is_json:
        _show(output, document, since_us)
    code = Exit.OK if yes else _ask(output, plan)
    if code == Exit.OK:
        write(plan)
        document["written"] = True
    if output.is_json:
        output.document({**document, "exit": int(code)})
    elif document["written"]:
        output.text(f"wrote {plan.shown}; a running guard takes it over within seconds")
    return code


def _rule(rules: RuleSet, rule_id: str) -> RuleSource:
    from guard.dsl.problems import guessed

    found = {rule.id: rule for rule in rules.rules}
    if rule_id not in found:
        raise OperationRefused(guessed(f"guard.yaml names no rule {safe(rule_id)!r}", rule_id, found))
    return found[rule_id]


def _mode(rules: RuleSet, rule_id: str, wanted: str | None) -> RuleMode:
    """Return the mode to go to; raises OperationRefused where that is no step up."""
    from guard.model import RuleMode

    spec = _rule(rules, rule_id).spec
    assert spec is not None
    current = str(spec.mode)
    if current not in _NEXT:
        raise OperationRefused(f"{rule_id} is in mode {current} already, the highest")
    mode = wanted or _NEXT[current]
    if _ORDER.index(mode) <= _ORDER.index(current):
        raise OperationRefused(
            f"{rule_id} is in mode {current}; promote only raises. To lower it write override: {{{rule_id}: {{mode: {mode}}}}}"
        )
    return RuleMode(mode)


def _compiled(rules: RuleSet, rule_id: str) -> Rule:
    from guard.dsl import compile_rules

    return next(rule for rule in compile_rules(rules).rules if rule.id == rule_id)


def _ledger(rule: Rule, state: Path, since_us: int) -> dict[str, Any]:
    """Return what the ledger tells of a rule; `problem` says why it tells nothing."""
    from guard.api.call import call
    from guard.model.moments import stamp
    from guard.runtime.clock import SystemClock
    from guard.runtime.hindsight import hindsight
    from guard.runtime.state import StateFolder
    from guard.store.trail import read_trail

    folder, now_us = StateFolder(state), SystemClock().now_us()
    try:
        trail = read_trail(folder.ledger, rule.id, since_us=now_us - since_us)
    except Unavailable as error:
        return {"problem": str(error)}
    found = hindsight(trail.verdicts, rule)
    try:
        uptime_s: float | None = call(folder.socket, "status")["uptime_s"]
    except GuardError:
        uptime_s = None
    return {
        **found._asdict(),
        "minutes": round(found.minutes, 3),
        "latest": [
            {"ts": stamp(at_us), "market": market, "level": level, "score": score} for at_us, market, level, score in found.latest
        ],
        "since": stamp(now_us - since_us),
        "begins": None if trail.begins_us is None else stamp(trail.begins_us),
        "complete": trail.is_whole,
        "uptime_s": uptime_s,
        "problem": None,
    }


def _replayed(rules: RuleSet, rule_id: str, tapes: Sequence[Path], exchange: str) -> dict[str, Any]:
    from guard.runtime.acceleration import is_ready
    from guard.runtime.clock import SystemClock
    from guard.runtime.hindsight import replayed

    is_jitted = is_ready(os.environ)
    return replayed(rules, rule_id, tapes, exchange=exchange, clock=SystemClock(), is_jitted=is_jitted)


def _notes(rule: Rule, mode: RuleMode, config: GuardConfig) -> Iterator[str]:
    """Yield why the new mode might do less than one thinks, or more."""
    from guard.model import Mode, RuleMode

    orders = rule.actions.values()
    if config.mode is Mode.OBSERVE and mode in {RuleMode.ALERT, RuleMode.ENFORCE}:
        yield "mode: observe in guard.yaml is the ceiling: until it is raised too, nobody is told and nothing is refused"
    if config.mode is Mode.ALERT and mode is RuleMode.ENFORCE:
        yield "mode: alert in guard.yaml is the ceiling: until it is raised too, people are told and nothing is refused"
    if mode is RuleMode.ENFORCE and not any(order.quarantine for order in orders):
        yield "no level of the rule has the action quarantine: it will refuse nothing"
    if mode is RuleMode.ALERT and not any(order.alert for order in orders):
        yield "no level of the rule has the action alert: it will tell nobody"
    if not config.alerts.channels:
        yield "guard.yaml has no alert channels: nobody is told"
    if (str(rule.mode), str(mode)) == ("shadow", "enforce"):
        yield "this skips mode alert, in which people would see for a while what it does before it refuses anything"


def _show(output: Output, document: dict[str, Any], since_us: int) -> None:
    told, tape, edit = document["ledger"], document["tape"], document["edit"]
    output.text(f"{document['rule']} ({document['file']}:{document['line']}): {document['from']} -> {document['to']}")
    if told["problem"]:
        output.text(f"  nothing is known of its past: {told['problem']}")
    else:
        _show_ledger(output, told, since_us)
    if tape is not None:
        output.text(
            f"  recordings, {tape['events']:,} events on {many(tape['markets'], 'market')}: enforced alone it would have opened "
            f"{many(tape['quarantines'], 'quarantine')}, {tape['blocked_minutes']:.1f} minutes blocked"
        )
        if tape["judged"] < tape["markets"]:
            output.text(
                f"    it looks at {tape['judged']} of the {many(tape['markets'], 'market')} only: the others are out of its "
                "scope, or a stream that it needs is not recorded"
            )
    elif told["problem"]:
        output.text("  see what it makes of recordings: --tape FILES")
    for note in document["notes"]:
        output.text(f"  note: {note}")
    output.text(f"{edit['file']}:{edit['line']}:")
    for sign, lines in (("-", edit["removed"]), ("+", edit["added"])):
        for line in lines:
            output.text(f"  {sign} {line}".rstrip())


def _show_ledger(output: Output, told: dict[str, Any], since_us: int) -> None:
    where = f" on {many(len(told['targets']), 'target')}, {told['minutes']:.1f} minutes at the least" if told["targets"] else ""
    output.text(
        f"  the ledger, last {say_duration(since_us)}: {many(told['episodes'], 'episode')}; told, it would have been "
        f"{many(told['told'], 'message')}; enforced, {many(told['quarantines'], 'quarantine')}{where}"
    )
    for row in told["latest"]:
        score = "" if row["score"] is None else f"{row['score']:.2f}"
        output.text(f"    {row['ts'][:19]}Z  {safe(row['market']):<24} {row['level']:<9} {score}".rstrip())
    running = "no guard runs now" if told["uptime_s"] is None else f"guard runs for {say_duration(int(told['uptime_s'] * 1e6))}"
    begins = "is empty" if told["begins"] is None else f"begins {told['begins'][:19]}Z"
    cut = "" if told["complete"] else "; it is longer than what was looked at"
    output.text(f"    the ledger {begins}{cut}; {running}; the rule may have been another before its last change")


def _ask(output: Output, plan: Plan) -> Exit:
    """Return OK where a person says yes; nobody is asked where nobody can answer."""
    if output.is_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        lines = "\n".join(f"  {line}".rstrip() for line in plan.edit.added)
        click.echo(
            f"nothing is written without a yes: add --yes, or write into {plan.shown}, line {plan.edit.line}:\n{lines}", err=True
        )
        return Exit.USAGE
    if click.confirm(f"write this into {plan.shown}?"):
        return Exit.OK
    output.text("nothing is changed")
    return Exit.FINDINGS
