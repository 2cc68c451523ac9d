"""The rules that run: loaded, watched for changes, and replaced only by ones without a mistake."""

from __future__ import annotations

import asyncio
import glob
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import yaml

from guard.dsl import compile_rules, load_guard, load_rules
from guard.dsl.document import plain
from guard.errors import ConfigurationError, Problem, RuleError
from guard.features.kernel import Kernel
from guard.model import ActionKind
from guard.runtime.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guard.dsl import GuardConfig, Program, RuleSet
    from guard.dsl.includes import Include
    from guard.model import MarketFacts
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
        self._replaced = last_good.with_suffix(".old")
        self._reading = asyncio.Lock()
        self._facts: Callable[[], Sequence[MarketFacts]] = tuple
        self._changed: Callable[[Program | None, str | None], None] | None = None
        self.config: GuardConfig = load_guard(path, env)
        self._started_with = self._without_rules(self.config)
        self._webhooks = frozenset(self.config.webhooks)
        self.upgrade = Upgrade(last_good.with_name("shipped-rules.json"))
        self._includes: set[Include] = set()
        self._seen = self._fingerprint()
        self.program = self._first_program()

    def connect(self, *, facts: Callable[[], Sequence[MarketFacts]], changed: Callable[[Program | None, str | None], None]) -> None:
        """Say which markets are open, and who takes over new rules.

        `facts` returns the open markets: new rules are bound to all of them in a thread, so that the swap only looks them up.
        `changed` gets the new program, or None, and what is wrong.
        """
        self._facts, self._changed = facts, changed

    @staticmethod
    def _without_rules(config: GuardConfig) -> dict[str, object]:
        return config.model_dump(exclude={"rules", "override"})

    def _first_program(self) -> Program:
        try:
            rules = self._load(self.config)
            program = compile_rules(rules)
        except ConfigurationError as error:
            program = self._last_good_program(error)
            self.problem = _short(error)
            _log.error("rules are broken, the last good ones run", problem=self.problem)
            return program
        try:
            self._keep(rules)
        except OSError as error:
            _log.error("no copy of the rules is kept: a restart with broken rules would not start", error=str(error))
        return program

    def _last_good_program(self, broken: ConfigurationError) -> Program:
        """Return what the copy says; raises `broken` where there is none, or none that this version understands."""
        for folder in (self._last_good, self._replaced):
            if folder.is_dir():
                try:
                    return compile_rules(load_rules([folder]))
                except ConfigurationError as error:
                    _log.error("the last good rules cannot be used", folder=str(folder), problem=_short(error))
        raise broken

    def _keep(self, rules: RuleSet) -> None:
        """Copy the rules, as resolved, into a new folder that then takes the place of the old one; note the shipped ones."""
        self.upgrade.keep()
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
        # Whenever the machine stops here, one of the two folders is whole.
        shutil.rmtree(self._replaced, ignore_errors=True)
        if self._last_good.is_dir():
            self._last_good.rename(self._replaced)
        fresh.rename(self._last_good)
        shutil.rmtree(self._replaced, ignore_errors=True)

    def _load(self, config: GuardConfig) -> RuleSet:
        """Read the packs; what they include is watched from then on, also where it is what is broken."""
        seen: set[Include] = set()
        with suppress(ConfigurationError):
            rules = load_rules(config, seen=seen)
            if seen == self._includes:
                return self.upgrade.take(config, rules)
        if seen != self._includes:
            # Nobody looked at these files before they were read: read once more what is watched now.
            self._includes, self._seen = seen, self._fingerprint()
        return self.upgrade.take(config, load_rules(config))

    def _fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        names = [str(self.path)]
        wanted = [(self.config.folder, pattern) for pattern in self.config.rules]
        for folder, pattern in [*wanted, *sorted(self._includes)]:
            # pathlib's own glob refuses absolute patterns, and a container mounts its rules outside the folder.
            found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - for that reason
            names += [str(folder / name) for name in sorted(found)]
        marks = []
        for name in names:
            try:
                status = Path(name).stat()
                marks.append((name, status.st_mtime_ns, status.st_size))
            except OSError as error:
                # Whatever keeps the file from being read, `reload` will tell of it.
                marks.append((name, 0, -(error.errno or 1)))
        return tuple(marks)

    @property
    def active(self) -> int:
        """How many rules run."""
        return len(self.program.rules)

    def _read(self, facts: Iterable[MarketFacts]) -> tuple[GuardConfig, RuleSet, Program]:
        config = load_guard(self.path, self._env)
        rules = self._load(config)
        program = compile_rules(rules)
        _refuse_late_webhooks(program, self._webhooks, str(self.path))
        if program.hash != self.program.hash:
            Kernel.prepare(program.leaves)
            program.prepare(facts)
        return config, rules, program

    async def reload(self) -> Program | None:
        """Read everything anew and hand over what changed; returns the new program, None where it is broken or the same."""
        async with self._reading:
            before = self.problem
            program = await self._reload()
            if self._changed is not None and (program is not None or self.problem != before):
                self._changed(program, self.problem)
            return program

    async def _reload(self) -> Program | None:
        self._seen = self._fingerprint()
        try:
            config, rules, program = await asyncio.to_thread(self._read, self._facts())
        except (ConfigurationError, OSError) as error:
            self._stay(_short(error))
            return None
        except Exception as error:  # noqa: BLE001 - rules must never end a guard that runs, a mistake of the compiler included
            _log.exception("guard failed to compile the rules")
            self._stay(f"guard failed to compile the rules, a mistake of guard: {_short(error)}")
            return None
        self.config = config
        changed = self._without_rules(config) != self._started_with
        self.problem = "guard.yaml changed beyond its rules: restart guard to apply that" if changed else None
        if program.hash == self.program.hash:
            return None
        try:
            await asyncio.to_thread(self._keep, rules)
        except OSError as error:
            self.problem = f"the rules run, but no copy of them is kept for a restart: {error}"
            _log.error("no copy of the rules is kept", error=str(error))
        self.program = program
        return program

    def _stay(self, problem: str) -> None:
        self.problem = problem
        _log.error("rules are broken, the last good ones run on", problem=problem)

    async def watch(self, clock: Clock) -> None:
        """Look for changed files every second, until cancelled."""
        while True:
            await clock.sleep(_LOOK_S)
            if self._fingerprint() != self._seen:
                await self.reload()


def _refuse_late_webhooks(program: Program, known: frozenset[str], file: str) -> None:
    """Raise RuleError where a rule posts to a webhook that this run has no address of."""
    ordered = {order for rule in program.rules for actions in rule.actions.values() for order in actions.orders}
    late = sorted({order.name for order in ordered if order.kind is ActionKind.WEBHOOK} - known)
    if late:
        message = f"guard.yaml had no webhook {late[0]!r} when guard started"
        raise RuleError(Problem(file, 1, 1, "E070", "unknown-webhook", "error", message, "restart guard before rules use it"))


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_PROBLEM_MAX]
