"""From paths to configuration and rules: the one strict loader of everything that a person writes."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING

import guard
from guard.dsl.bot_lint import lint_bots, lint_bots_and_rules
from guard.dsl.collector import paused_collector
from guard.dsl.compilation import compiled
from guard.dsl.config_lint import lint_config, lint_secrets
from guard.dsl.document import Items, Node, Scalar, Table, find
from guard.dsl.environment import Secrets, overlay
from guard.dsl.includes import CONFIG, SHIPPED, Include, PackFile, is_pack_name, shown_path
from guard.dsl.market_where import check_wheres
from guard.dsl.name_lint import lint_allowed_rules, lint_names
from guard.dsl.problems import Place, Report, Source, did_you_mean
from guard.dsl.reading import BYTES_MAX, read_file
from guard.dsl.rules import RuleSet, read_rules
from guard.dsl.settings import GuardConfig
from guard.dsl.validation import keys_allowed, validate
from guard.dsl.webhook_warnings import warn_of_cleartext, warn_of_cleartext_bots
from guard.errors import ConfigurationError, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.detection.detector import Detector
    from guard.errors import Problem
    from guard.features.tables import Feature, Field

__all__ = [
    "check",
    "check_guard",
    "examine",
    "includes_of",
    "load_guard",
    "load_rules",
    "pack_folder",
    "shipped_packs",
    "shown_path",
    "sound_rules",
]

_SUFFIXES = (".yaml", ".yml")
_FILES_MAX = 500
_NAMES_OF_RULES = frozenset({"E095", "E096", "W100"})
_EXCHANGES = re.compile(rb"exchanges[\"']?\s*:")
INERT_KEYS = (
    ("alerts", "group"),
    ("alerts", "quiet_hours"),
    ("alerts", "digest"),
)


def load_guard(path: Path | str, env: Mapping[str, str], *, now_us: int = 0) -> GuardConfig:
    """Read guard.yaml with its secrets and the GUARD_ variables of `env`. Raises ConfigurationError with every problem.

    What forbids nothing is in the configuration's `warnings`; what is over at `now_us`, too.
    """
    report = Report()
    config = _read_guard(Path(path), env, report, now_us=now_us)[0]
    if config is None or report.errors:
        raise ConfigurationError(*report.errors)
    config._warnings = report.problems  # noqa: SLF001 - the loader is the only writer of this private attribute
    return config


def check_guard(path: Path | str, env: Mapping[str, str], *, now_us: int = 0) -> tuple[Problem, ...]:
    """Return every problem of a guard.yaml, warnings too, but not of its rules; what names rules which there are not counts.

    All is found in one look: a mistake in one place hides none in another.
    """
    report, beside = Report(), Report()
    config, tree = _read_guard(Path(path), env, report, now_us=now_us)
    found = report.problems
    if tree is not None and not {"bots", "allow"}.isdisjoint(tree.entries):
        _rules_in(tree, Path(path), beside, config)
        found += tuple(problem for problem in beside.problems if problem.id in _NAMES_OF_RULES)
    return tuple(sorted(found, key=lambda problem: (problem.file, problem.line, problem.column, problem.id)))


def place_of(config: GuardConfig, *path: str) -> Place:
    """Return where the deepest key that `path` leads to stands in the file that `config` was read from."""
    tree = config._tree  # noqa: SLF001 - the positions of the file it was read from
    return find(tree, path)[0].key if isinstance(tree, Table) else Place(Source.of(shown_path(config.path), ""))


def load_rules(rules: GuardConfig | Iterable[Path | str], *, seen: set[Include] | None = None) -> RuleSet:
    """Read the packs of a configuration, with its overrides, or of files and folders. Raises RuleError with every problem.

    What the packs include is added to `seen`, also where it is wrong: who watches files watches these, too. What can only be known
    by looking at the expressions is checked by `compile_rules`.
    """
    report = Report()
    with paused_collector():
        if isinstance(rules, GuardConfig):
            found = _rules_of(rules, report, seen)
        else:
            found = read_rules(_pack_files([Path(path) for path in rules], report), report, seen=seen)
    if report.errors:
        raise RuleError(*report.errors)
    return found


def sound_rules(config: GuardConfig) -> RuleSet:
    """Return what can be read of a configuration's rules, whatever else is wrong with its packs."""
    return _rules_of(config, Report())


def includes_of(paths: Iterable[Path | str], *, env: Mapping[str, str] | None = None) -> frozenset[Include]:
    """Return what rule files, folders of them and guard.yaml files include, right or wrong: who watches them watches it, too."""
    report, seen = Report(), set[Include]()
    for path in map(Path, paths):
        if _is_config(path):
            config, _ = _read_guard(path, env or {}, report)
            if config is not None:
                _rules_of(config, report, seen)
        else:
            read_rules(_pack_files([path], report), report, seen=seen)
    return frozenset(seen)


def check(
    paths: Iterable[Path | str],
    *,
    env: Mapping[str, str] | None = None,
    fields: Iterable[Field] | None = None,
    catalogue: Iterable[Feature] | None = None,
    detectors: Mapping[str, type[Detector]] | None = None,
) -> tuple[Problem, ...]:
    """Return every problem, warnings too, of rule files, folders of them and guard.yaml files, from one run."""
    report = Report()
    examine(paths, report, env=env, fields=fields, catalogue=catalogue, detectors=detectors)
    return report.problems


def examine(
    paths: Iterable[Path | str],
    report: Report,
    *,
    env: Mapping[str, str] | None = None,
    fields: Iterable[Field] | None = None,
    catalogue: Iterable[Feature] | None = None,
    detectors: Mapping[str, type[Detector]] | None = None,
    now_us: int = 0,
) -> tuple[RuleSet, ...]:
    """Like `check`, with the problems in `report`; returns the rules of each guard.yaml, and those of all packs together.

    `now_us` tells which allow entries are over.
    """
    packs: list[Path] = []
    sets: list[RuleSet] = []
    configs: dict[int, GuardConfig] = {}
    with paused_collector():
        for path in map(Path, paths):
            if _is_config(path):
                config, tree = _read_guard(path, env or {}, report, now_us=now_us)
                if config is not None:
                    configs[len(sets)] = config
                if tree is not None:
                    sets.append(_rules_in(tree, path, report, config))
            else:
                packs.append(path)
        if packs:
            sets.append(read_rules(_pack_files(packs, report), report))
        for number, rules in enumerate(sets):
            program = compiled(rules, report, fields=fields, catalogue=catalogue, detectors=detectors)
            if program is not None and number in configs:
                lint_config(configs[number], rules, program, report)
    return tuple(sets)


def _is_config(path: Path) -> bool:
    """Whether a file is a configuration and no pack: by its name, or because it names exchanges."""
    if path.is_dir() or path.name == CONFIG:
        return path.name == CONFIG and not path.is_dir()
    if path.suffix not in _SUFFIXES or not _may_name_exchanges(path):
        return False
    root = read_file(path, Report())
    return isinstance(root, Table) and "exchanges" in root.entries


def _may_name_exchanges(path: Path) -> bool:
    """Whether the key is written anywhere: a large pack is not read twice to learn that it is none."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            raw = stream.read(BYTES_MAX + 1)
            return b"exchanges" in raw and _EXCHANGES.search(raw) is not None
    except (OSError, ValueError):
        return False


def _read_guard(path: Path, env: Mapping[str, str], report: Report, *, now_us: int = 0) -> tuple[GuardConfig | None, Table | None]:
    """Return guard.yaml, and what is written in it: None where it has mistakes, and where it cannot be read at all."""
    root = read_file(path, report, shown=shown_path(path))
    if root is None or not isinstance(root, Table):
        if not report.errors:
            report.add("E011", Place(Source.of(shown_path(path), "")), "guard.yaml starts with keys", "version: 1")
        return None, None
    lint_secrets(root, report)
    secrets = Secrets(env, path.parent, report)
    tree = secrets.replace(root)
    assert isinstance(tree, Table)
    tree = overlay(tree, env, secrets.used, report, keys_allowed(GuardConfig, ()))
    check_wheres(tree, report)
    config = validate(GuardConfig, tree, report, is_hidden=_is_secret)
    lint_bots(tree, report)
    if config is None:
        return None, tree
    _warn_of_inert_keys(tree, report)
    lint_names(config, tree, report, now_us=now_us)
    warn_of_cleartext(tree, config.webhooks, report)
    warn_of_cleartext_bots(tree, config.exchanges, config.bots, report)
    config._path = path  # noqa: SLF001 - the loader is the only writer of this private attribute
    config._tree = tree  # noqa: SLF001 - likewise
    return config, tree


def _warn_of_inert_keys(tree: Table, report: Report) -> None:
    """Say which keys this version reads but does not act on: a safety net that is not there must not look as if it were."""
    for path in INERT_KEYS:
        node: Node | None = tree
        key = None
        for part in path:
            entry = node.entries.get(part) if isinstance(node, Table) else None
            node, key = (None, None) if entry is None else (entry.node, entry.key)
        if key is not None:
            report.add("W004", key, f"{'.'.join(path)} is read, but this version does not act on it yet")


def _is_secret(path: Sequence[str | int]) -> bool:
    """Whether a value at this path may carry a password."""
    return not {"url", "urls", "options", "secret", "headers", "password", "token"}.isdisjoint(path)


def _rules_of(config: GuardConfig, report: Report, seen: set[Include] | None = None) -> RuleSet:
    tree = config._tree  # noqa: SLF001 - the positions of the file it was read from
    if not isinstance(tree, Table):
        tree = Table({}, Place(Source.of(shown_path(config.path), "")))
    return _rules_in(tree, config.path, report, config, seen)


def _rules_in(tree: Table, path: Path, report: Report, config: GuardConfig | None, seen: set[Include] | None = None) -> RuleSet:
    """Read the rules that the tree of a guard.yaml names, also where it has mistakes elsewhere and is no configuration."""
    entries, folder = tree.entries, path.parent
    node = entries["rules"].node if "rules" in entries else Items((), tree.place)
    files: dict[Path, str] = {}
    before = set(report.errors)
    for item in node.items if isinstance(node, Items) else (node,):
        if isinstance(item, Scalar):
            files.update(_referenced(item, folder, report))
    override = entries["override"].node if "override" in entries else None
    packs = [PackFile(pack, shown, _root(pack, folder)) for pack, shown in files.items()]
    webhooks = None if config is None else config.webhooks
    found = read_rules(packs, report, override=override, webhooks=webhooks, seen=seen)
    # A file that told nothing of its rules may hold any name.
    if {problem.file for problem in set(report.errors) - before} <= {rule.file for rule in found.rules}:
        lint_bots_and_rules(tree, found.rules, report)
        if config is not None:
            lint_allowed_rules(config, tree, (rule.id for rule in found.rules), report)
    return found


def _root(pack: Path, folder: Path) -> Path:
    """Return the folder that the includes of a pack may not leave: the one given, or its own where it lies elsewhere."""
    try:
        is_inside = pack.parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):
        is_inside = False
    return folder if is_inside else pack.parent


def _referenced(item: Scalar, folder: Path, report: Report) -> dict[Path, str]:
    text = str(item.value)
    if text.startswith(SHIPPED):
        name, packs = text.removeprefix(SHIPPED), {path.stem: path for path in shipped_packs()}
        if name not in packs:
            report.add("E028", item.place, f"there is no shipped pack {name!r}", did_you_mean(name, packs))
            return {}
        return {packs[name]: shown_path(packs[name])}
    # pathlib's own glob refuses absolute patterns, and a container mounts its rules outside the folder.
    found = sorted(glob.glob(text, root_dir=folder, recursive=True))[:_FILES_MAX]  # noqa: PTH207 - for the same reason
    paths = [folder / name for name in found if is_pack_name(name)]
    if not paths:
        report.add("E028", item.place, f"no rule file matches {text!r} in {folder or '.'}", "paths are relative to guard.yaml")
    return {path: shown_path(path) for path in paths}


def _pack_files(paths: Sequence[Path], report: Report) -> list[PackFile]:
    """Return the rule files of files and folders; a folder without one is a problem, never a silent success."""
    found: dict[Path, PackFile] = {}
    for path in paths:
        if not path.is_dir():
            found.setdefault(path, PackFile(path, shown_path(path), path.parent))
            continue
        inside = sorted(file for file in path.rglob("*") if _is_pack(file))
        if not inside:
            report.add(
                "E028", Place(Source.of(shown_path(path), "")), "there is no rule file in this folder", "a pack is named NAME.yaml"
            )
        found.update((file, PackFile(file, shown_path(file), path)) for file in inside[:_FILES_MAX])
    return list(found.values())


def _is_pack(path: Path) -> bool:
    return is_pack_name(path.name) and path.name != CONFIG


def pack_folder() -> Path:
    """Return the folder of the shipped packs: beside the package, else in the checkout."""
    beside = Path(guard.__file__).parent
    return beside / "rules" if (beside / "rules").is_dir() else beside.parent / "rules"


def shipped_packs() -> tuple[Path, ...]:
    """Return the files of all shipped packs, sorted."""
    return tuple(sorted(path for path in pack_folder().glob("*.yaml") if is_pack_name(path.name)))
