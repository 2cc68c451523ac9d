"""The rules that run: loaded, watched for changes, and replaced only by ones without a mistake."""

from __future__ import annotations

import asyncio
import glob
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import yaml

from guard.dsl import compile_rules, load_guard, load_rules
from guard.dsl.document import plain
from guard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guard.dsl import GuardConfig, Program, RuleSet
    from guard.model.ports import Clock

__all__ = ["Rulebook"]

_log = structlog.get_logger(__name__)
_LOOK_S = 1.0
_PROBLEM_MAX = 500


class Rulebook:
    """Holds the compiled rules of guard.yaml, and the last ones that were good.

    Parameters
    ----------
    path, env
        guard.yaml and the environment that fills its references.
    last_good
        Folder of the copy of the rules that last loaded without a mistake, overrides included.

    Notes
    -----
    A first start with broken rules raises; a later one takes the copy, and `problem` says why. A reload with broken rules leaves
    the running ones alone. Only rules are reloaded: other changes of guard.yaml need a restart, and `problem` says so.
    """

    def __init__(self, path: Path, env: Mapping[str, str], *, last_good: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._env = env
        self._last_good = last_good
        self.config: GuardConfig = load_guard(path, env)
        self._started_with = self._without_rules(self.config)
        self._seen = self._fingerprint()
        self.program = self._first_program()

    @staticmethod
    def _without_rules(config: GuardConfig) -> dict[str, object]:
        return config.model_dump(exclude={"rules", "override"})

    def _first_program(self) -> Program:
        try:
            rules = load_rules(self.config)
            program = compile_rules(rules)
        except ConfigurationError as error:
            if not self._last_good.is_dir():
                raise
            self.problem = str(error)[:_PROBLEM_MAX]
            _log.error("rules are broken, the last good ones run", problem=self.problem)
            return compile_rules(load_rules([self._last_good]))
        self._keep(rules)
        return program

    def _keep(self, rules: RuleSet) -> None:
        """Copy the rules, as resolved, into a new folder that then takes the place of the old one."""
        fresh = self._last_good.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for number, rule in enumerate(rules.rules):
            document = {
                "version": 1,
                "lists": {name: list(words) for name, words in rule.lists.items()},
                "macros": {name: plain(macro) for name, macro in rule.macros.items()},
                "rules": {rule.id: plain(rule.node)},
            }
            text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
            (fresh / f"{number:04d}_{rule.id}.yaml").write_text(text, encoding="utf-8")
        shutil.rmtree(self._last_good, ignore_errors=True)
        fresh.rename(self._last_good)

    def _fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        names = [str(self.path)]
        for pattern in self.config.rules:
            # pathlib's own glob refuses absolute patterns, and a container mounts its rules outside the folder.
            found = glob.glob(pattern, root_dir=self.config.folder, recursive=True)  # noqa: PTH207 - for that reason
            names += [str(self.config.folder / name) for name in sorted(found)]
        marks = []
        for name in names:
            try:
                status = Path(name).stat()
                marks.append((name, status.st_mtime_ns, status.st_size))
            except FileNotFoundError:
                marks.append((name, 0, -1))
        return tuple(marks)

    @property
    def active(self) -> int:
        """How many rules run."""
        return len(self.program.rules)

    def _read(self) -> tuple[GuardConfig, RuleSet, Program]:
        config = load_guard(self.path, self._env)
        rules = load_rules(config)
        return config, rules, compile_rules(rules)

    async def reload(self) -> Program | None:
        """Read everything anew; returns the new program, None where it is broken or nothing changed."""
        self._seen = self._fingerprint()
        try:
            config, rules, program = await asyncio.to_thread(self._read)
        except ConfigurationError as error:
            self.problem = str(error)[:_PROBLEM_MAX]
            _log.error("rules are broken, the last good ones run on", problem=self.problem)
            return None
        self.config = config
        changed = self._without_rules(config) != self._started_with
        self.problem = "guard.yaml changed beyond its rules: restart guard to apply that" if changed else None
        if program.hash == self.program.hash:
            return None
        await asyncio.to_thread(self._keep, rules)
        self.program = program
        return program

    async def watch(self, clock: Clock, changed: Callable[[Program | None, str | None], None]) -> None:
        """Look for changed files every second; `changed` gets the new program, or None and what is wrong."""
        while True:
            await clock.sleep(_LOOK_S)
            if self._fingerprint() == self._seen:
                continue
            before = self.problem
            program = await self.reload()
            if program is not None or self.problem != before:
                changed(program, self.problem)
