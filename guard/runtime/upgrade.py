"""What an upgrade of guard changes in the shipped rules: told until somebody accepts it, and no mode goes up by itself."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from guard import __version__
from guard.dsl import load_rules
from guard.dsl.document import Table
from guard.dsl.includes import SHIPPED
from guard.dsl.loading import shipped_packs
from guard.dsl.modes import with_modes
from guard.errors import ConfigurationError, StateError
from guard.model import Level, RuleMode
from guard.runtime.shipped import Definition, Known, read_known, write_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from guard.dsl import GuardConfig, RuleSet
    from guard.dsl.document import Node
    from guard.dsl.rules import RuleSource

__all__ = ["Change", "Kind", "Upgrade"]

_log = structlog.get_logger(__name__)
_ORDER: Final = ("disabled", "shadow", "alert", "enforce")
_COSMETIC: Final = frozenset({"title", "why"})
_SHOWN_MAX: Final = 60
_LOGGED_MAX: Final = 20
_LINES_MAX: Final = 15
_TOLD_MAX: Final = 100
_NOTHING: Final = object()
_WHY: Final = "held down since an upgrade, see guard rules diff"

Keys = tuple[str, ...]


class Kind(StrEnum):
    """value: runs as it is now. held: a mode went up and does not run yet. weaker: a mode went down. new, gone: a whole rule."""

    VALUE = "value"
    HELD = "held"
    WEAKER = "weaker"
    NEW = "new"
    GONE = "gone"


class Change(NamedTuple):
    """One difference between a shipped rule as it ran under version `since` and as version `now` ships it.

    `key` is the way to the value (``levels.danger``), ``mode`` for a rule that is new or gone. `before` and `after` are as text.
    """

    kind: Kind
    pack: str
    rule: str
    key: str
    before: str
    after: str
    since: str
    now: str

    @property
    def text(self) -> str:
        """The change in one line."""
        what = {
            Kind.NEW: f"a new rule, mode {self.after}, held in {self.before}",
            Kind.GONE: "is shipped no more, its protection is gone",
        }.get(self.kind, f"{self.key} {self.before} -> {self.after}")
        tail = {Kind.HELD: f", held at {self.before}", Kind.WEAKER: ", weaker than before"}.get(self.kind, "")
        return f"{self.rule}: {what}{tail} ({self.span})"

    @property
    def span(self) -> str:
        """From which version of guard to which."""
        return f"guard {self.since} -> {self.now}" if self.since != self.now else f"guard {self.now}"

    def record(self) -> dict[str, Any]:
        """Return it JSON-able."""
        return {**self._asdict(), "kind": str(self.kind), "text": self.text}


class Upgrade:
    """Holds the shipped rules against what they were when they last ran, or were accepted.

    Parameters
    ----------
    path
        File in which that is kept. A missing one begins with what is shipped now.

    Notes
    -----
    A value that changed runs at once and is told until it is accepted; a key that the user overrides is his and is not told. A mode
    that went up stays down until the user sets it (`guard rules promote`). Nothing here keeps guard from starting: what
    cannot be read is told in `problem`, and the rules run as they are shipped, but in no higher mode than they ran in last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending: tuple[Change, ...] = ()
        self.problem: str | None = None
        self.is_known = False
        self._fresh: Known | None = None

    def take(self, config: GuardConfig, rules: RuleSet, ran: Callable[[], Mapping[str, RuleMode]] = dict) -> RuleSet:
        """Compare the shipped rules that `config` names; return `rules` with the modes held down that an upgrade raised.

        `ran` returns in which mode each rule ran last, for where the file cannot be read.
        """
        self.pending, self.problem, self._fresh = (), None, None
        now = Known()
        try:
            now = _shipped(config)
            known = read_known(self.path)
        except (StateError, ConfigurationError, OSError) as error:
            self.problem = f"what an upgrade changed in the shipped rules is not known: {str(error).splitlines()[0]}"
            return _no_higher(rules, now, ran())
        self.is_known = bool(known)
        running = {rule.id: rule for rule in rules.rules}
        changes, fresh = [], Known()
        for pack, definitions in now.items():
            if pack not in known:
                fresh[pack] = definitions
                continue
            told = list(_changes(pack, known[pack], definitions, running))
            changes += told
            fresh[pack] = _settled(known[pack], definitions, told)
        self.pending, self._fresh = tuple(changes), fresh if fresh != known else None
        held = {each.rule: RuleMode(each.before) for each in changes if each.kind in {Kind.HELD, Kind.NEW}}
        return with_modes(rules, {rule: mode for rule, mode in held.items() if rule in running}, why=_WHY)

    def keep(self) -> None:
        """Write what is known now, for the next start; raises OSError."""
        if self._fresh is not None:
            write_known(self.path, self._fresh)
            self._fresh = None

    def accept(self, config: GuardConfig) -> None:
        """Take all for seen but modes that went up: those follow a person's word alone. Raises StateError and OSError."""
        known = read_known(self.path)
        fresh = {pack: _settled(known[pack], now, []) if pack in known else now for pack, now in _shipped(config).items()}
        write_known(self.path, Known(fresh))

    def tell(self, announce: Callable[[str, str, str, Level], None]) -> None:
        """Log each difference, and tell people: key, title, body, level."""
        if self.problem:
            _log.error(self.problem)
        for change in self.pending[:_LOGGED_MAX]:
            _log.warning("an upgrade changed a shipped rule", change=change.text)
        if len(self.pending) > _LOGGED_MAX:
            _log.warning(
                "an upgrade changed more in the shipped rules", more=len(self.pending) - _LOGGED_MAX, see="guard rules diff"
            )
        if not self.pending:
            announce("upgrade", "the shipped rules are accepted", "They run as they are shipped, or as you set them.", Level.NORMAL)
            return
        is_weaker = any(change.kind in {Kind.WEAKER, Kind.GONE} for change in self.pending)
        count = f"{len(self.pending)} value{'s' if len(self.pending) > 1 else ''}"
        title = f"an upgrade changed {count} of shipped rules{', some protect less' if is_weaker else ''}"
        lines = [*(change.text for change in self.pending[:_LINES_MAX]), "All of it, and how to accept it: guard rules diff"]
        announce("upgrade", title, "\n".join(lines), Level.DANGER if is_weaker else Level.WARNING)

    def record(self) -> dict[str, Any]:
        """Return what is pending, JSON-able."""
        return {
            "pending": len(self.pending),
            "changes": [change.record() for change in self.pending[:_TOLD_MAX]],
            "problem": self.problem,
        }


def _no_higher(rules: RuleSet, now: Known, ran: Mapping[str, RuleMode]) -> RuleSet:
    """Return the rules with no shipped one above the mode in which it ran, but where the user says so."""
    shipped = {rule for definitions in now.values() for rule in definitions}
    held = {
        rule.id: ran[rule.id]
        for rule in rules.rules
        if rule.id in shipped & ran.keys()
        and rule.spec is not None
        and _rank(rule.spec.mode) > _rank(ran[rule.id])
        and _is_as_shipped(rule)
    }
    return with_modes(rules, held, why=_WHY)


def _is_as_shipped(rule: RuleSource) -> bool:
    """Whether the user does not set the mode himself."""
    mode = _written(rule.node, ("mode",))
    return mode is None or mode.place.source.file == rule.file


def _shipped(config: GuardConfig) -> Known:
    """Return the shipped rules that a configuration names by reference, as this version ships them."""
    files = {path.stem: path for path in shipped_packs()}
    names = [name for text in config.rules if (name := text.removeprefix(SHIPPED)) != text and name in files]
    return Known(
        {name: {rule.id: _definition(rule) for rule in load_rules([files[name]]).rules if rule.spec is not None} for name in names}
    )


def _definition(rule: RuleSource) -> Definition:
    assert rule.spec is not None
    meaning = {
        **rule.spec.model_dump(mode="json", by_alias=True),
        "lists": {name: list(words) for name, words in rule.lists.items()},
        "macros": {name: macro.text for name, macro in rule.macros.items()},
    }
    return Definition(__version__, {key: value for key, value in meaning.items() if key not in _COSMETIC})


def _changes(
    pack: str, known: Mapping[str, Definition], now: Mapping[str, Definition], running: Mapping[str, RuleSource]
) -> Iterator[Change]:
    """Yield what differs, rule by rule, without the keys that the user sets himself."""
    for rule, before in known.items():
        if rule not in now:
            yield Change(Kind.GONE, pack, rule, "mode", before.mode, "none", before.version, __version__)
        elif rule in running:
            yield from _of_rule(pack, running[rule], before, now[rule])
    oldest = min((definition.version for definition in known.values()), default=__version__)
    for rule, after in now.items():
        source = running.get(rule)
        if rule in known or source is None or _rank(after.mode) <= _rank("shadow"):
            continue
        if _is_as_shipped(source):
            yield Change(Kind.NEW, pack, rule, "mode", "shadow", after.mode, oldest, after.version)


def _of_rule(pack: str, running: RuleSource, before: Definition, after: Definition) -> Iterator[Change]:
    old, new = dict(_flat(before.meaning)), dict(_flat(after.meaning))
    for path in sorted(old.keys() | new.keys(), key=lambda path: (path != ("mode",), path)):
        was, is_now = old.get(path, _NOTHING), new.get(path, _NOTHING)
        written = _written(running.node, path)
        # A key that guard did not know before says what was true without it, unless the rule sets it.
        is_unheard = written is None and not _has(before.meaning, path)
        is_own = written is not None and written.place.source.file != running.file
        if was == is_now or is_unheard or is_own:
            continue
        kind = Kind.VALUE
        if path == ("mode",):
            kind = Kind.HELD if _rank(after.mode) > _rank(before.mode) else Kind.WEAKER
        yield Change(kind, pack, running.id, ".".join(path), _shown(was), _shown(is_now), before.version, after.version)


def _settled(known: Mapping[str, Definition], now: Mapping[str, Definition], told: list[Change]) -> dict[str, Definition]:
    """Return what is known of a pack from now on: what is told stays as it was, all else is as it is shipped.

    A mode that went up and is not told is one that the user sets himself; without his word it is the lower one again.
    """
    pending = {change.rule for change in told}
    settled = {rule: definition for rule, definition in known.items() if rule in pending}
    for rule, definition in now.items():
        if rule not in pending:
            floor = known[rule].mode if rule in known else str(RuleMode.SHADOW)
            settled[rule] = definition.with_mode(floor if _rank(definition.mode) > _rank(floor) else None)
    return {rule: settled[rule] for rule in sorted(settled)}


def _rank(mode: str) -> int:
    return _ORDER.index(mode)


def _flat(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:  # noqa: ANN401 - any part of a rule
    """Yield each value with the way to it; a list of words is one value, what is not set is none."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, (*path, str(key)))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, (*path, str(number)))
    elif value is not None and value not in ({}, []):
        yield path, value


def _has(meaning: Any, path: Keys) -> bool:  # noqa: ANN401 - likewise
    """Whether a key was known, set or not."""
    for key in path:
        if isinstance(meaning, list):
            return True
        if not isinstance(meaning, dict) or key not in meaning:
            return False
        meaning = meaning[key]
    return True


def _written(node: Node, path: Keys) -> Node | None:
    """Return what is written at a key, or what it is a part of; None where the rule does not set it."""
    for key in path:
        if not isinstance(node, Table):
            return node
        if key not in node.entries:
            return None
        node = node.entries[key].node
    return node


def _shown(value: object) -> str:
    if value is _NOTHING:
        return "none"
    text = f"{value:g}" if isinstance(value, float) else _plain(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
