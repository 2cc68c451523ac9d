"""Rule sets as the command line names them: a folder, a pack, a guard.yaml, or what ships with guard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from guard.dsl import load_guard, load_rules, shipped_packs
from guard.dsl.document import Table
from guard.dsl.includes import CONFIG, SHIPPED
from guard.dsl.problems import Place, Report, Source, did_you_mean
from guard.dsl.reading import read_file
from guard.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.rules import RuleSet

__all__ = ["rule_set", "shipped"]


def rule_set(named: str, env: Mapping[str, str]) -> RuleSet:
    """Read the rules that a word of the command line stands for.

    Parameters
    ----------
    named
        A folder of packs, a pack, a guard.yaml (its own packs and overrides; so does a folder with one in it), ``guard:`` for all
        shipped packs or ``guard:NAME`` for one.
    env
        What fills the references of a guard.yaml.

    Raises
    ------
    ConfigurationError
        With every mistake.

    Examples
    --------
    >>> [rule.id for rule in rule_set("guard:spoofing", {}).rules]
    ['spoofing']
    """
    if named.startswith(SHIPPED):
        return load_rules(shipped(named))
    path = Path(named)
    if path.is_dir() and (path / CONFIG).is_file():
        path /= CONFIG
    return load_rules(load_guard(path, env)) if _is_configuration(path) else load_rules([path])


def shipped(named: str) -> list[Path]:
    """Return the files of ``guard:NAME``, of ``guard:`` all; raises RuleError where there is no such pack."""
    packs = {path.stem: path for path in shipped_packs()}
    name = named.removeprefix(SHIPPED)
    if not name:
        return list(packs.values())
    if name not in packs:
        report = Report()
        place = Place(Source.of("command line", named), 1, len(SHIPPED) + 1)
        report.add("E028", place, f"there is no shipped pack {name!r}", did_you_mean(name, packs))
        raise RuleError(*report.errors)
    return [packs[name]]


def _is_configuration(path: Path) -> bool:
    """Whether a file is a guard.yaml, by its name or because it names exchanges."""
    if path.is_dir() or not path.is_file():
        return False
    root = None if path.name == CONFIG else read_file(path, Report())
    return path.name == CONFIG or (isinstance(root, Table) and "exchanges" in root.entries)
