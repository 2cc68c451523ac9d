"""Rule packs: files are read, joined, overridden and checked against their models."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from guard.dsl.document import Entry, Node, Scalar, Table, merged, plain
from guard.dsl.includes import gathered
from guard.dsl.problems import Place, Report, Source, did_you_mean
from guard.dsl.reading import read_text
from guard.dsl.rule_models import Pack, RuleSpec
from guard.dsl.validation import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.dsl.includes import Include, PackFile

__all__ = [
    "RULES_MAX",
    "RuleSet",
    "RuleSource",
    "read_rules",
    "rule_hashes",
    "rules_from_text",
    "rules_from_texts",
    "set_hash",
    "with_node",
]

RULES_MAX = 2000
_RULE_ID = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BESIDE_LEVEL = frozenset({"title", "why", "tags", "mode", "actions"})


@dataclass(frozen=True, slots=True, eq=False)
class RuleSource:
    """One rule as written, after overrides.

    `spec` is None where its keys have mistakes. `node` is the tree with the origin of every key; `lists` and `macros` are those
    of its file. `hash` is over everything that the rule means, and the lists and macros that it uses. `level_hash` leaves out what
    does not decide its level (title, why, tags, mode, actions): where that is unchanged, a reload keeps the rule's state.
    """

    id: str
    spec: RuleSpec | None
    node: Table
    place: Place
    lists: dict[str, tuple[str, ...]]
    macros: dict[str, Scalar]
    hash: str
    level_hash: str
    list_places: dict[str, Place] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """The file it stands in."""
        return self.place.source.file

    def at(self, *path: str) -> Node | None:
        """Return what stands at a path of the rule's keys."""
        node: Node = self.node
        for key in path:
            entry = node.entries.get(key) if isinstance(node, Table) else None
            if entry is None:
                return None
            node = entry.node
        return node


@dataclass(frozen=True, slots=True, eq=False)
class RuleSet:
    """All rules of one configuration, in the order of the files.

    `hash` names the whole set. `warnings` of the files are kept in `report`. `webhooks` are the names that guard.yaml gives, None
    where the files were read without it. `files` are all that were read, as they are shown, also those without a rule.
    """

    rules: tuple[RuleSource, ...]
    hash: str
    report: Report
    webhooks: frozenset[str] | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Shell:
    lists: dict[str, tuple[str, ...]]
    macros: dict[str, Scalar]
    rules: dict[str, Entry]
    override: dict[str, Entry]
    list_places: dict[str, Place]


def read_rules(
    files: Iterable[PackFile],
    report: Report,
    *,
    override: Node | None = None,
    webhooks: Iterable[str] | None = None,
    seen: set[Include] | None = None,
) -> RuleSet:
    """Read packs and what they include. Every mistake goes to the report; the set holds the sound rules.

    `webhooks` are the names that guard.yaml knows. What the packs include, mistaken or not, is added to `seen`.
    """
    joined = _join(gathered(files, report, seen=seen), report, override)
    return joined if webhooks is None else replace(joined, webhooks=frozenset(webhooks))


def rules_from_text(text: str, report: Report, *, file: str = "rules.yaml") -> RuleSet:
    """Read one pack from a text, which has no folder and so can include nothing."""
    root = read_text(file, text, report)
    if isinstance(root, Table) and "include" in root.entries:
        report.add("E060", root.entries["include"].key, "a text that is no file includes nothing", "")
    return _join([(file, root)], report, None)


def with_node(rules: RuleSet, rule_id: str, node: Table, report: Report) -> RuleSet:
    """Return the set with other keys for one of its rules; mistakes go to the report."""
    found = []
    for rule in rules.rules:
        if rule.id == rule_id:
            made = _rule(rule_id, Entry(rule.place, node), node, _Shell(rule.lists, rule.macros, {}, {}, rule.list_places), report)
            assert made is not None, "the name was right, and the node is a table"
            found.append(made)
        else:
            found.append(rule)
    return replace(rules, rules=tuple(found), hash=set_hash(found))


def rules_from_texts(texts: Iterable[str], report: Report, *, file: str = "rules.yaml") -> RuleSet:
    """Read packs from texts, in their order."""
    return _join([(file, read_text(file, text, report)) for text in texts], report, None)


def _join(files: Sequence[tuple[str, Node | None]], report: Report, override: Node | None) -> RuleSet:
    shells = []
    for file, root in files:
        if root is None:
            if not any(problem.file == file for problem in report.errors):
                report.add("E011", Place(Source.of(file, "")), "the file is empty", "rules: {my_rule: ...}")
        elif not isinstance(root, Table):
            report.add("E011", root.place, "a pack starts with keys", "rules: ...")
        else:
            shells.append(_shell(root, report))
    found: dict[str, tuple[Entry, _Shell]] = {}
    for shell in shells:
        for rule_id, entry in shell.rules.items():
            before = found.get(rule_id)
            if before is not None:
                at = before[0].key
                report.add(
                    "E026", entry.key, f"the rule {rule_id!r} is already in {at.source.file}:{at.line}", "rename one of the two"
                )
            elif len(found) >= RULES_MAX:
                report.add("E010", entry.key, f"more than {RULES_MAX} rules")
                break
            else:
                found[rule_id] = (entry, shell)
    nodes = _overridden(found, [*(shell.override for shell in shells), _tables(override)], report)
    rules = tuple(
        rule for rule_id, (entry, shell) in found.items() if (rule := _rule(rule_id, entry, nodes[rule_id], shell, report))
    )
    return RuleSet(rules, set_hash(rules), report, files=tuple(file for file, _ in files))


def set_hash(rules: Iterable[RuleSource]) -> str:
    """Return the name of a whole set: another one for any rule that means something else."""
    return sha256("".join(f"{rule.id}={rule.hash};" for rule in rules).encode()).hexdigest()[:12]


def _is_rule_id(text: str) -> bool:
    return _RULE_ID.match(text) is not None


def _tables(node: Node | None) -> dict[str, Entry]:
    return node.entries if isinstance(node, Table) else {}


def _shell(root: Table, report: Report) -> _Shell:
    """Check a file's own keys; rules and overrides are checked one by one later, when they are merged."""
    parts = {key: _tables(entry.node) for key, entry in root.entries.items()}
    hollow = dict(root.entries)
    for key in ("rules", "override"):
        entry = root.entries.get(key)
        if entry is not None and isinstance(entry.node, Table):
            hollow[key] = Entry(entry.key, Table({}, entry.node.place))
    pack = validate(Pack, Table(hollow, root.place), report)
    macros = {name: entry.node for name, entry in parts.get("macros", {}).items() if isinstance(entry.node, Scalar)}
    return _Shell(
        pack.lists
        if pack is not None
        else {name: tuple(map(str, _words(entry.node))) for name, entry in parts.get("lists", {}).items()},
        macros,
        parts.get("rules", {}),
        parts.get("override", {}),
        {name: entry.key for name, entry in parts.get("lists", {}).items()},
    )


def _words(node: Node) -> list[object]:
    found = plain(node)
    return found if isinstance(found, list) else []


def _overridden(found: dict[str, tuple[Entry, _Shell]], overrides: Sequence[dict[str, Entry]], report: Report) -> dict[str, Node]:
    nodes = {rule_id: entry.node for rule_id, (entry, _) in found.items()}
    for override in overrides:
        for rule_id, entry in override.items():
            if report.is_full:
                break
            if rule_id not in nodes:
                report.add("E027", entry.key, f"there is no rule {rule_id!r} to override", did_you_mean(rule_id, nodes))
            elif not isinstance(entry.node, Table):
                report.add("E011", entry.node.place, "expected keys and values", "override: {my_rule: {mode: alert}}")
            else:
                nodes[rule_id] = merged(nodes[rule_id], entry.node)
    return nodes


def _rule(rule_id: str, entry: Entry, node: Node, shell: _Shell, report: Report) -> RuleSource | None:
    if not _is_rule_id(rule_id):
        slug = re.sub(r"[^a-z0-9]+", "_", rule_id[:60].lower()).strip("_")
        hint = f", for example {slug}" if _is_rule_id(slug) else ""
        report.add(
            "E025", entry.key, f"{rule_id[:80]!r} is not a name", f"small letters, digits and underscores, first a letter{hint}"
        )
        return None
    if not isinstance(node, Table):
        report.add("E011", node.place, "expected keys and values", f"{rule_id}: {{when: ...}}")
        return None
    values = plain(node)
    # With a report full of errors the set is refused already.
    spec = None if report.is_full else validate(RuleSpec, Table(node.entries, entry.key, node.is_torn), report, values=values)
    whole, level = ("", "") if report.is_full else rule_hashes(rule_id, node, shell.lists, shell.macros)
    return RuleSource(rule_id, spec, node, entry.key, shell.lists, shell.macros, whole, level, shell.list_places)


def rule_hashes(rule_id: str, node: Table, lists: Mapping[str, tuple[str, ...]], macros: Mapping[str, Scalar]) -> tuple[str, str]:
    """Return `RuleSource.hash` and `RuleSource.level_hash` of a rule."""
    keys = plain(Table({key: part for key, part in node.entries.items() if key in _BESIDE_LEVEL}, node.place))
    deciding = plain(Table({key: part for key, part in node.entries.items() if key not in _BESIDE_LEVEL}, node.place))
    return _digest(rule_id, [deciding, keys], lists, macros), _digest(rule_id, [deciding], lists, macros)


def _digest(rule_id: str, keys: list[object], lists: Mapping[str, tuple[str, ...]], macros: Mapping[str, Scalar]) -> str:
    """Return a hash of these keys of a rule, with what their words may mean: any macro and list that they name."""
    words: set[str] = set(_WORD.findall(json.dumps(keys, default=str)))
    named: dict[str, str] = {}
    while found := {name for name in words if name in macros} - named.keys():
        named.update({name: macros[name].text for name in found})
        words.update(word for name in found for word in _WORD.findall(named[name]))
    used = {name: list_ for name, list_ in lists.items() if name in words}
    return sha256(json.dumps([rule_id, keys, used, named], sort_keys=True, default=str).encode()).hexdigest()[:12]
