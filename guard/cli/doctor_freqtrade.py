"""``guard doctor --bot freqtrade``: does guard's mixin stand where a strategy's entries pass, and does its bot see guard."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guard.errors import GuardError
from guard.model.ports import Probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guard.dsl import GuardConfig
    from guard.runtime.freqtrade import BotConfig

__all__ = ["look_at_bot", "look_at_strategies"]

MIXIN: Final = "GuardMixin"
HOOKS: Final = ("confirm_trade_entry", "custom_stake_amount", "adjust_trade_position", "bot_loop_start")
_BASE: Final = "IStrategy"
_FILES_MAX: Final = 500
_BYTES_MAX: Final = 4 << 20
_SHOWN_MAX: Final = 5
_DEPTH_MAX: Final = 20


class _Class(NamedTuple):
    name: str
    file: Path
    bases: tuple[str, ...]
    without_super: tuple[str, ...]


def look_at_bot(
    config: GuardConfig, state: Path, *, bot_config: Path | None, strategies: Path | None, strategy: str | None
) -> Iterator[Probe]:
    """Yield what is found about a Freqtrade bot; its code is read and never run, guard's own ledger is not touched."""
    if bot_config is not None:
        yield from _configured(config, state, bot_config)
    yield from look_at_strategies(strategies, strategy)
    yield from _readable(state)
    yield _rehearsed(config)


def _configured(config: GuardConfig, state: Path, path: Path) -> Iterator[Probe]:
    from guard.client.freqtrade import exchange_name
    from guard.runtime.freqtrade import read_config, read_json

    try:
        bot, document = read_config(path), read_json(path)
    except GuardError as error:
        yield Probe("bot configuration", is_well=False, found=str(error), mend="give Freqtrade's own: --config config.json")
        return
    own = document.get("guard") if isinstance(document.get("guard"), dict) else {}
    named = own.get("exchange")
    facts = {"exchange": {"name": bot.exchange}, "trading_mode": document.get("trading_mode")}
    found = named if named in config.exchanges else None if named else exchange_name(facts, config.exchanges)
    names = ", ".join(config.exchanges)
    yield Probe(
        "bot exchange",
        found is not None,
        f"{named or bot.exchange} is {found} in guard.yaml" if found else f"{named or bot.exchange}; guard.yaml has {names}",
        'rename it in guard.yaml, set guard_exchange in the strategy, or "guard": {"exchange": ...} in the configuration',
    )
    if found is not None:
        yield _watched(state, str(found), bot)


def _watched(state: Path, exchange: str, bot: BotConfig) -> Probe:
    from guard.client import Guard
    from guard.runtime.freqtrade import PairPatterns

    if not bot.is_static:
        return Probe(
            "bot pairs", is_well=True, found=f"chosen by {bot.pairlist} as it runs: set exchanges.{exchange}.from_bot", mend=""
        )
    guard = Guard(state)
    pairs = sorted(PairPatterns(bot.whitelist, bot.blacklist).names)
    missing = [pair for pair in pairs if guard.check(exchange, pair, "buy", "open").reason == "not_watched"]
    if guard.problem is not None:
        return Probe("bot pairs", is_well=False, found=f"not known: {guard.problem}", mend="guard run")
    shown = ", ".join(missing[:_SHOWN_MAX]) + (f" and {len(missing) - _SHOWN_MAX} more" if len(missing) > _SHOWN_MAX else "")
    return Probe(
        "bot pairs",
        not missing,
        f"all {len(pairs)} are watched" if not missing else f"not watched: {shown}",
        f"widen markets of exchanges.{exchange}, or set its from_bot",
    )


def _readable(state: Path) -> Iterator[Probe]:
    from guard.client.places import locate

    path = Path(locate(state).snapshot)
    try:
        status, folder = path.stat(), path.parent.stat()
    except OSError as error:
        yield Probe("bot access", is_well=False, found=f"{path}: {error.strerror}", mend="guard run makes it")
        return
    readers = (
        "everybody" if status.st_mode & 0o004 and folder.st_mode & 0o001 else f"user {status.st_uid} and group {status.st_gid}"
    )
    is_open = bool(status.st_mode & 0o040 and folder.st_mode & 0o010)
    yield Probe(
        "bot access",
        is_open,
        f"{readers} may read {path}",
        "chmod 640 the file and 750 its folder; the bot's user must be in that group, and may pass each folder above it",
    )


def _rehearsed(config: GuardConfig) -> Probe:
    """Publish a quarantine of a market that does not exist into a folder of its own, and ask as the mixin asks."""
    from tempfile import TemporaryDirectory

    from guard.client import Guard
    from guard.model import Block, Hold, Image, IsolationState, Level, Market, MarketView, Mode, Quarantine, Target, TargetKind
    from guard.runtime.clock import SystemClock
    from guard.runtime.publish import SnapshotPublisher

    market = Market(next(iter(config.exchanges)), "GUARDPROBE/USDT")
    clock = SystemClock()
    now_us = clock.now_us()
    hold = Hold(
        rule="doctor", market=market, target=Target(TargetKind.MARKET, str(market)), level=Level.DANGER, reason="a rehearsal",
        for_us=60_000_000, max_us=60_000_000, block=Block.ENTRIES,
    )  # fmt: skip
    held = Quarantine("d0c708000000", hold, IsolationState.QUARANTINED, now_us, *(now_us + 60_000_000,) * 3)
    image = Image(Mode.ENFORCE, now_us, {str(market): MarketView("ok", "danger", 1.0, 1, 1)}, (held,), {})
    with TemporaryDirectory(prefix="guard-doctor-") as folder:
        publisher = SnapshotPublisher(folder, clock)
        publisher.publish(image, epoch=1, seq=1, durable=True)
        publisher.beat()
        guard = Guard(publisher.path)
        entry = guard.check(market.exchange, market.symbol, "buy", "open")
        addition = guard.check(market.exchange, market.symbol, "buy", "increase")
        leave = guard.check(market.exchange, market.symbol, "sell", "close")
        publisher.stop()
    is_well = not entry.permitted and not addition.permitted and leave.permitted
    found = f"entry {_said(entry.permitted)}, addition {_said(addition.permitted)}, exit {_said(leave.permitted)}"
    return Probe("rehearsal", is_well, f"{market} quarantined in a snapshot of its own: {found}", "report this as a bug of guard")


def _said(permitted: bool) -> str:  # noqa: FBT001 - one word for one bool
    return "permitted" if permitted else "refused"


def look_at_strategies(folder: Path | None, name: str | None) -> Iterator[Probe]:
    """Yield what stands in a folder's strategies: with the mixin or without, and which hooks they override without ``super()``."""
    if folder is None:
        yield Probe("strategy", is_well=False, found="not looked at", mend="give its folder: --strategy-path user_data/strategies")
        return
    known, problems = _classes(folder)
    yield from problems
    found = [each for each in known.values() if (name is None or each.name == name) and _BASE in _line(each.name, known)]
    if not found:
        yield Probe("strategy", is_well=False, found=f"{folder} holds no {name or 'strategy'}", mend="look at --strategy-path")
    for each in found:
        line = _line(each.name, known)
        if MIXIN not in line:
            mend = f"from guard.client.freqtrade import {MIXIN}; class {each.name}({MIXIN}, {', '.join(each.bases)})"
            yield Probe(f"strategy {each.name}", is_well=False, found="guard is not asked: it has no mixin", mend=mend)
            continue
        loose = [f"{cls}.{hook}" for cls in line if cls in known for hook in known[cls].without_super]
        text = "asks guard before each entry"
        if loose:
            text += f"; {', '.join(loose)} override without super(), which the mixin wraps all the same"
        yield Probe(f"strategy {each.name}", is_well=True, found=text, mend="")


def _classes(folder: Path) -> tuple[dict[str, _Class], list[Probe]]:
    known: dict[str, _Class] = {}
    problems: list[Probe] = []
    files: Sequence[Path] = [folder] if folder.is_file() else sorted(folder.glob("*.py"))[:_FILES_MAX]
    for file in files:
        try:
            with file.open("rb") as opened:
                tree = ast.parse(opened.read(_BYTES_MAX))
        except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
            problems.append(Probe(f"strategy file {file.name}", is_well=False, found=str(error), mend="Freqtrade skips it, too"))
            continue
        known.update({node.name: _class(node, file) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)})
    return known, problems


def _class(node: ast.ClassDef, file: Path) -> _Class:
    bases = tuple(
        base.attr if isinstance(base, ast.Attribute) else base.id
        for base in node.bases
        if isinstance(base, ast.Attribute | ast.Name)
    )
    own = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return _Class(node.name, file, bases, tuple(hook for hook in HOOKS if hook in own and not _calls_super(own[hook], hook)))


def _calls_super(function: ast.AST, hook: str) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == hook
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "super"
        for node in ast.walk(function)
    )


def _line(name: str, known: Mapping[str, _Class], depth: int = 0) -> list[str]:
    """Return a class with all that it is made of, as far as the folder tells."""
    if name not in known or depth > _DEPTH_MAX:
        return [name]
    return [name, *(each for base in known[name].bases if base != name for each in _line(base, known, depth + 1))]
