"""``guard quarantine``: what is held, why, until when; holding and releasing by hand."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from guard.cli.durations import duration_option
from guard.cli.output import Exit
from guard.cli.reasons import reason_option
from guard.cli.targets import target_argument, target_or_id
from guard.cli.wording import market_wide, moment, safe
from guard.client.clock import MACHINE
from guard.client.places import locate
from guard.errors import NotRunning, OperationRefused
from guard.model.moments import stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from guard.cli.output import Output
    from guard.client.payload import PublishedBlock

__all__ = ["quarantine"]

_ACTOR_NOTE = "guard writes down who ordered it."

_state = click.option("--state", type=click.Path(), envvar="GUARD_STATE", help="State folder of the guard.")


def _target_if_any(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    return None if text is None else target_argument(context, parameter, text)


@click.group
def quarantine() -> None:
    """See, add and release quarantines.

    Entries are held back only: reducing and closing always pass.
    """


@quarantine.command
@_state
@click.pass_obj
def ls(output: Output, *, state: str | None) -> int:
    """List what is held.

    With guard down: what the last snapshot holds.
    """
    records, source, wide = _held(state)
    if output.is_json:
        output.document({"source": source, "quarantines": records, "market_wide": list(wide)})
        return Exit.OK
    if source == "snapshot":
        output.text("guard is not running; this is its last snapshot")
    for each in wide:
        output.text(market_wide(each, now_us=MACHINE.wall_us()))
    if not records:
        output.text("nothing is held")
        return Exit.OK
    zones = Counter(record.get("zone") for record in records)
    shared = {zone for zone, count in zones.items() if zone and count > 1}
    names = ("id", "target", "state", "until", "rule", *(("zone",) if shared else ()), "reason")
    output.table(names, [_row(record, names, shared) for record in records])
    return Exit.OK


@quarantine.command
@click.argument("identity", metavar="ID")
@_state
@click.pass_obj
def show(output: Output, *, identity: str, state: str | None) -> int:
    """Show all that is known of one quarantine."""
    records, source, _ = _held(state)
    found = [record for record in records if str(record["id"]).startswith(identity)]
    if len(found) != 1:
        known = ", ".join(str(record["id"]) for record in records[:8]) or "none"
        problem = "names several quarantines" if found else "is not held"
        raise OperationRefused(f"{identity} {problem}; held are {known}; `guard quarantine history` tells what was")
    if output.is_json:
        output.document({"source": source, "quarantine": found[0]})
        return Exit.OK
    shown = {name: _shown(name, value) for name, value in found[0].items() if value not in (None, "")}
    width = max(map(len, shown))
    for name, value in shown.items():
        output.text(f"{name:<{width}}  {value}")
    return Exit.OK


@quarantine.command
@click.argument("target", metavar="MARKET|TARGET", callback=target_argument)
@click.option("--for", "for_us", metavar="DURATION", callback=duration_option, required=True, help="How long: 30m, 2h, 1h30m.")
@click.option("--reason", callback=reason_option, required=True, help=f"Why; {_ACTOR_NOTE}")
@_state
@click.pass_obj
def add(output: Output, *, target: str, for_us: int, reason: str, state: str | None) -> int:
    """Hold a market, symbol, base asset or exchange.

    Write a market as binance:PEPE/USDT, a wider TARGET as symbol:PEPE/USDT, base:PEPE or exchange:binance. Ends with its time,
    without probation. Answers when it is in the ledger and bots can see it.
    """
    answer = _ask(state, "quarantine.add", target=target, for_us=for_us, reason=reason)
    lines = answer.get("transitions", ())
    return _done(output, answer, f"{safe(str(lines[0].get('target', target)) if lines else target)} is held")


@quarantine.command
@click.argument("what", metavar="ID|MARKET|TARGET", callback=target_or_id)
@click.option("--reason", callback=reason_option, required=True, help=f"Why; {_ACTOR_NOTE}")
@_state
@click.pass_obj
def release(output: Output, *, what: Mapping[str, str], reason: str, state: str | None) -> int:
    """Release one quarantine, or all of a target.

    By ID: one; by MARKET or TARGET: all that holds it. For 30m the same rules only alert.
    """
    answer = _ask(state, "quarantine.release", **what, reason=reason)
    return _done(output, answer, f"{safe(next(iter(what.values())))} is released")


@quarantine.command
@click.argument("what", metavar="ID|MARKET|TARGET", callback=target_or_id)
@click.option("--for", "for_us", metavar="DURATION", callback=duration_option, required=True, help="How long from now: 2h, 3d.")
@click.option("--reason", callback=reason_option, required=True, help=f"Why; {_ACTOR_NOTE}")
@_state
@click.pass_obj
def extend(output: Output, *, what: Mapping[str, str], for_us: int, reason: str, state: str | None) -> int:
    """Hold what is held for longer.

    Beyond the longest time of its rule too. Calm is not looked at before; what is on probation stays on it. 30d from now at most.
    """
    answer = _ask(state, "quarantine.extend", **what, for_us=for_us, reason=reason)
    return _done(output, answer, f"{safe(next(iter(what.values())))} is extended")


@quarantine.command
@click.argument("target", metavar="[MARKET|TARGET]", required=False, callback=_target_if_any)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, newest first.")
@_state
@click.pass_obj
def history(output: Output, *, target: str | None, limit: int, state: str | None) -> int:
    """Show the newest entries of the audit trail."""
    arguments: dict[str, object] = {"limit": limit} if target is None else {"limit": limit, "target": target}
    answer = _ask(state, "quarantine.history", **arguments)
    if output.is_json:
        output.document(answer)
        return Exit.OK
    rows = answer.get("history", [])
    if not rows:
        output.text("no entry")
    else:
        head = ("seq", "when", "target", "state", "cause", "actor", "id", "reason")
        output.table(head, [_history_row(row) for row in rows])
    return Exit.OK


def _history_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    at_us = row.get("at_us")
    when = moment(at_us, now_us=MACHINE.wall_us()) if isinstance(at_us, int) else ""
    held = row.get("quarantine")
    identity = held.get("id", "") if isinstance(held, dict) else row.get("id", "")
    if row.get("type") == "allow":
        row = {**row, "target": row.get("allowed"), "state": "allowed" if row.get("cause") == "added" else "allowed no more"}
    if row.get("type") == "verdict":
        score = "" if row.get("score") is None else f" {row['score']:.2f}"
        row = {**row, "state": f"level {row.get('level')}", "reason": f"{row.get('rule')}{score}, before {row.get('previous')}"}
    texts = [safe(str(row.get(name, ""))) for name in ("seq", "target", "state", "cause", "actor", "reason")]
    return (texts[0], when, *texts[1:5], safe(str(identity)), texts[5])


def _ask(state: str | None, op: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    from guard.api.call import call

    return call(locate(state).socket, op, **arguments)


def _held(state: str | None) -> tuple[Sequence[Mapping[str, Any]], str, Sequence[Mapping[str, Any]]]:
    """Return what is held, who says so, and which exchanges move as a whole."""
    try:
        answer = _ask(state, "quarantine.ls")
        return answer["quarantines"], "guard", answer.get("market_wide", ())
    except NotRunning as error:
        from guard.client.snapshot import SnapshotUnusable, read_snapshot

        try:
            snapshot = read_snapshot(locate(state).snapshot)
        except SnapshotUnusable as unusable:
            raise NotRunning(str(unusable)) from error
        if snapshot is None:
            raise
        now_us = MACHINE.wall_us()
        return [_record(block) for block in snapshot.blocks if block.until_us > now_us], "snapshot", ()


def _record(block: PublishedBlock) -> Mapping[str, Any]:
    return {
        "id": block.id,
        "target": str(block.target),
        "state": str(block.state),
        "block": str(block.block),
        "rule": block.rule,
        "level": block.level,
        "reason": block.reason,
        "opened": stamp(block.opened_us),
        "until": stamp(block.until_us),
        "actor": block.actor,
        "zone": getattr(block, "zone", ""),
    }


def _row(record: Mapping[str, Any], names: Sequence[str], shared: Collection[object]) -> tuple[str, ...]:
    cells = {name: safe(str(record.get(name, ""))) for name in names}
    cells["until"] = _moment(record["until"])
    if "zone" in cells and record.get("zone") not in shared:
        cells["zone"] = ""
    return tuple(cells.values())


def _shown(name: str, value: object) -> str:
    if name in {"opened", "until", "latest", "floor"}:
        return _moment(value)
    if isinstance(value, dict):
        return _calm(value)
    return safe(str(value))


def _calm(calm: Mapping[str, Any]) -> str:
    counted = f"{calm['held_s']:.0f} s of {calm['needs_s']:.0f} s counted"
    return f"{counted}, not calm now" if calm["enough"] is None else f"{counted}, enough at {_moment(calm['enough'])}"


def _moment(text: object) -> str:
    at_us = int(datetime.fromisoformat(str(text)).timestamp() * 1e6)
    return moment(at_us, now_us=MACHINE.wall_us())


def _done(output: Output, answer: Mapping[str, Any], text: str) -> int:
    if output.is_json:
        output.document(answer)
        return Exit.OK
    lines = [line for line in answer.get("transitions", ()) if line.get("state") != "normal"]
    until = f" until {_moment(lines[0]['until'])}, id {lines[0]['id']}" if lines else ""
    output.text(f"{text}{until} (ledger entry {answer.get('seq')})")
    if "markets" in answer:
        names = ", ".join(map(safe, answer["markets"]))
        more = f" and {answer['markets_more']} more" if answer["markets_more"] else ""
        near = answer.get("near")
        doubt = f"; did you mean {safe(near)}?" if near else ""
        output.text(
            f"    it holds {names}{more}" if names else f"    nobody watches a market of it now; it holds all the same{doubt}"
        )
    return Exit.OK
