"""A key of guard.yaml changed on disk: planned, checked by the loader, then put in place in one step."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guard.dsl import load_guard, load_rules
from guard.dsl.editing import Edit, NotEditable, by_hand, with_override
from guard.dsl.loading import shown_path
from guard.dsl.problems import Report
from guard.dsl.reading import read_text
from guard.errors import ConfigurationError, OperationRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guard.dsl import GuardConfig, RuleSet
    from guard.model import RuleMode

__all__ = ["Plan", "plan_mode", "write"]

_BOM = b"\xef\xbb\xbf"


class Plan(NamedTuple):
    """A checked change of a file that has not happened yet; `before` are the bytes that it was made for."""

    path: Path
    before: bytes
    edit: Edit

    @property
    def shown(self) -> str:
        """The file as messages name it."""
        return shown_path(self.path)


def plan_mode(config: GuardConfig, rules: RuleSet, rule_id: str, mode: RuleMode, env: Mapping[str, str]) -> Plan:
    """Return how guard.yaml becomes one that gives a rule another mode and changes nothing else.

    `rules` are those of `config` as it stands. Raises OperationRefused, with the lines to add by hand, where the file is written
    so that no place is surely right.
    """
    try:
        before = config.path.read_bytes()
        has_bom = before.startswith(_BOM)
        text = before.removeprefix(_BOM).decode()
        root = read_text(str(config.path), text, Report())
        edit = with_override(text, root, rule_id, "mode", str(mode))
        plan = Plan(config.path, before, edit._replace(text=("\ufeff" if has_bom else "") + edit.text))
        _check(plan, config, rules, {rule_id: mode}, env)
    except (OSError, UnicodeDecodeError, ConfigurationError, NotEditable) as error:
        lines = by_hand(rule_id, "mode", str(mode))
        why = str(error).splitlines()[0]
        raise OperationRefused(f"{shown_path(config.path)} is not changed: {why}. Put this into it:\n\n{lines}") from error
    return plan


def _check(plan: Plan, config: GuardConfig, rules: RuleSet, modes: Mapping[str, RuleMode], env: Mapping[str, str]) -> None:
    """Raise NotEditable unless the changed text loads and means what was asked, and nothing else."""
    with _beside(plan.path, plan.edit.text.encode()) as fresh:
        after = load_guard(fresh, env)
        found = load_rules(after)
    if _without_override(after) != _without_override(config):
        raise NotEditable("more than one key of the file would change")
    hashes = {rule.id: rule.hash for rule in rules.rules}
    if list(hashes) != [rule.id for rule in found.rules]:
        raise NotEditable("other rules would run")
    for rule in found.rules:
        is_same = rule.spec is not None and rule.spec.mode is modes[rule.id] if rule.id in modes else rule.hash == hashes[rule.id]
        if not is_same:
            raise NotEditable(
                f"the rule {rule.id} would not be what was asked for; something else sets it, an environment variable"
            )


def _without_override(config: GuardConfig) -> dict[str, object]:
    return config.model_dump(exclude={"override"})


def write(plan: Plan) -> None:
    """Put the changed file in place, with the mode and owner of the one that was there.

    Raises OperationRefused where the file has changed since it was planned, or cannot be replaced.
    """
    # A symlink stays one: what it leads to is replaced.
    path = plan.path.resolve()
    try:
        status = path.stat()
        with _beside(path, plan.edit.text.encode()) as fresh:
            fresh.chmod(status.st_mode & 0o7777)
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(fresh, status.st_uid, status.st_gid)
            if path.read_bytes() != plan.before:
                raise OperationRefused(f"{plan.shown} was changed by somebody else meanwhile: look at it, and try again")
            fresh.replace(path)
    except OSError as error:
        lines = "\n".join(plan.edit.added)
        message = f"{plan.shown} cannot be replaced: {error.strerror}. Change its line {plan.edit.line} by hand:\n\n{lines}\n"
        raise OperationRefused(message) from error


@contextmanager
def _beside(path: Path, content: bytes) -> Iterator[Path]:
    """Give a new file with some content in the folder of another; what is left of it afterwards is removed."""
    # Hidden, so that no glob for packs takes it for one.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield fresh
    finally:
        fresh.unlink(missing_ok=True)
