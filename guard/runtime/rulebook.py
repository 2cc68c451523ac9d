"""The rules that run: loaded, and replaced only by ones without a mistake."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any, Final

import structlog

from guard.dsl import compile_rules, load_guard, load_rules
from guard.dsl.includes import shown_path
from guard.errors import ConfigurationError, Problem, RuleError
from guard.features.kernel import Kernel
from guard.model import ActionKind
from guard.runtime.reloading import Reload, ReloadCounts, ReloadState, changes, problem_at, problems_of, where_of
from guard.runtime.rule_files import stamp_of, stamps_of
from guard.runtime.rule_texts import rule_texts
from guard.runtime.trial import failing_tests
from guard.runtime.upgrade import Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from guard.dsl import GuardConfig, Program, RuleSet
    from guard.dsl.includes import Include
    from guard.model import MarketFacts, RuleMode
    from guard.runtime.rule_files import Stamp

__all__ = ["Rulebook"]

_log = structlog.get_logger(__name__)
_PROBLEM_MAX = 500
_READS_MAX = 3
# Whoever needs these asks the configuration anew.
_TAKEN_OVER: Final[Any] = {
    "rules": True,
    "override": True,
    "reload": True,
    "alerts": {"digest_us": True, "channels": {"__all__": {"digest"}}},
}


class Rulebook:
    """Holds the compiled rules of guard.yaml, and the last ones that were good.

    Parameters
    ----------
    path, env
        guard.yaml and the environment that fills its references.
    last_good
        Folder of the copy of the rules that last loaded without a mistake, overrides included.
    now_us
        Tells the time.

    Notes
    -----
    A first start with broken rules raises; a later one takes the copy, and `problem` says why. A reload with broken rules leaves
    the running ones alone. Rules are reloaded, after what time a bot is missed (`silent_after`), how often a digest is sent, and
    where to: other changes of guard.yaml need a restart, and `problem` says so. With
    ``reload: {require_tests: true}`` a reload also plays the packs' tests; a start does not, for bots wait for it.

    All is read off the loop, and read again where a file changed meanwhile: what runs stood on the disk at one moment.
    """

    def __init__(self, path: Path, env: Mapping[str, str], *, last_good: Path, now_us: Callable[[], int] = int) -> None:
        self.path = path
        self.problem: str | None = None
        self.problems: tuple[Problem, ...] = ()
        self.counts = ReloadCounts()
        # How changes are noticed, told by whoever watches.
        self.way: Callable[[], str] = lambda: "off"
        self._env = env
        self._last_good = last_good
        self._replaced = last_good.with_suffix(".old")
        self._reading = asyncio.Lock()
        self._facts: Callable[[], Sequence[MarketFacts]] = tuple
        self._changed: Callable[[Program | None, str | None], None] | None = None
        self._needs_screens: Callable[[], bool] = lambda: True
        self._follow: Callable[[Mapping[str, int | None]], None] = lambda _silent_after: None
        self._now_us: Callable[[], int] = now_us
        self.config: GuardConfig = load_guard(path, env, now_us=now_us())
        self._started_with = self._without_rules(self.config)
        self._webhooks = frozenset(self.config.webhooks)
        self.upgrade = Upgrade(last_good.with_name("shipped-rules.json"))
        # What the packs include.
        self.includes: frozenset[Include] = frozenset()
        # How the files stood when they were read last.
        self.seen = self.look()
        self._warned = frozenset(self.config.warnings)
        self.rules, self.program = self._first_rules()
        self._warn(self.config, self.rules)

    def connect(
        self,
        *,
        facts: Callable[[], Sequence[MarketFacts]],
        changed: Callable[[Program | None, str | None], None],
        needs_screens: Callable[[], bool] = lambda: True,
        follow: Callable[[Mapping[str, int | None]], None] = lambda _silent_after: None,
    ) -> None:
        """Say which markets are open, who takes over new rules, whether the kernel needs screens, and who misses silent bots.

        `facts` returns the open markets: new rules are bound to all of them in a thread, so that the swap only looks them up.
        `changed` gets the new program, or None, and what is wrong.
        """
        self._facts, self._changed, self._needs_screens, self._follow = facts, changed, needs_screens, follow

    @staticmethod
    def _without_rules(config: GuardConfig) -> dict[str, object]:
        found = config.model_dump(exclude=_TAKEN_OVER)
        for bot in found["bots"].values():
            del bot["silent_after_us"]
        return found

    def _load(self, config: GuardConfig, ran: Callable[[], Mapping[str, RuleMode]]) -> RuleSet:
        """Read the packs; what they include is watched from then on, also where it is what is broken."""
        included: set[Include] = set()
        try:
            return self.upgrade.take(config, load_rules(config, seen=included), ran)
        finally:
            self.includes = frozenset(included)

    def _kept_modes(self) -> dict[str, RuleMode]:
        """Return in which mode each rule ran before this start, as far as the copy tells."""
        try:
            return _modes(self._last_good_rules(ConfigurationError())[1])
        except (ConfigurationError, OSError):
            return {}

    def _first_rules(self) -> tuple[RuleSet, Program]:
        try:
            rules = self._load(self.config, self._kept_modes)
            if self.includes:
                # Nobody looked at these files before they were read.
                self.seen = self.look()
                rules = self._load(self.config, self._kept_modes)
            program = compile_rules(rules)
        except ConfigurationError as error:
            found = self._last_good_rules(error)
            self._blame(error)
            _log.error("rules are broken, the last good ones run", problem=self.problem)
            return found
        try:
            self._keep(rules)
        except OSError as error:
            _log.error("no copy of the rules is kept: a restart with broken rules would not start", error=str(error))
        return rules, program

    def _last_good_rules(self, broken: ConfigurationError) -> tuple[RuleSet, Program]:
        """Return what the copy says; raises `broken` where there is none, or none that this version understands."""
        for folder in (self._last_good, self._replaced):
            if folder.is_dir():
                try:
                    rules = load_rules([folder])
                    return rules, compile_rules(rules)
                except ConfigurationError as error:
                    _log.error("the last good rules cannot be used", folder=str(folder), problem=_short(error))
        raise broken

    def _keep(self, rules: RuleSet) -> None:
        """Copy the rules, as resolved, into a new folder that then takes the place of the old one; note the shipped ones."""
        self.upgrade.keep()
        fresh = self._last_good.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for number, (rule_id, text) in enumerate(rule_texts(rules)):
            (fresh / f"{number:04d}_{rule_id}.yaml").write_text(text, encoding="utf-8")
        # Whenever the machine stops here, one of the two folders is whole.
        shutil.rmtree(self._replaced, ignore_errors=True)
        if self._last_good.is_dir():
            self._last_good.rename(self._replaced)
        fresh.rename(self._last_good)
        shutil.rmtree(self._replaced, ignore_errors=True)

    @property
    def active(self) -> int:
        """How many rules run."""
        return len(self.program.rules)

    def look(self) -> tuple[Stamp, ...]:
        """Return how the files stand now; any thread may ask, and a slow disk is slow."""
        return stamps_of(self.config, self.includes)

    async def reload(self) -> Reload:
        """Read everything anew, hand over what changed, and return what came of it."""
        async with self._reading:
            began_us, before = self._now_us(), (self.problem, self.problems)
            outcome = await self._reload()
            if self._changed is not None and (outcome.program is not None or (self.problem, self.problems) != before):
                self._changed(outcome.program, self.problem)
            now_us = self._now_us()
            self.counts.take(outcome, at_us=now_us, took_us=now_us - began_us)
            return outcome

    def complain(self, problem: Problem) -> None:
        """Tell of what keeps the rules from being read at all; the next reload that works ends it."""
        if self.problems != (problem,):
            self._blame(ConfigurationError(problem))
            if self._changed is not None:
                self._changed(None, self.problem)

    async def _reload(self) -> Reload:
        try:
            reading = await asyncio.to_thread(self._read, self._facts())
            self.seen = reading.seen
            if reading.error is None:
                await self._try(reading)
        except Exception as error:  # noqa: BLE001 - rules must never end a guard that runs, a mistake of the compiler included
            _log.exception("guard failed to read the rules")
            # Not again before something changes: it would fail each second.
            self.seen = await asyncio.to_thread(self.look)
            return self._stay(ConfigurationError(problem_at(self.path, "E094", f"a mistake of guard: {_short(error)}")))
        if reading.error is not None:
            return self._stay(reading.error)
        assert reading.config is not None
        assert reading.rules is not None
        assert reading.program is not None
        taken = self._take_over(reading.config)
        self._praise()
        self._warn(reading.config, reading.rules)
        if reading.program.hash == self.program.hash:
            return Reload(ReloadState.UNCHANGED, problem=self.problem, problems=self.problems, settings=taken)
        try:
            await asyncio.to_thread(self._keep, reading.rules)
        except OSError as error:
            self.problem = f"the rules run, but no copy of them is kept for a restart: {error}"
            _log.error("no copy of the rules is kept", error=str(error))
        what = changes(self.program, reading.program)
        self.rules, self.program = reading.rules, reading.program
        _log.info("new rules run", active=self.active, **{name: ids for name, ids in what.items() if ids})
        return Reload(ReloadState.TAKEN_OVER, self.program, self.problem, self.problems, settings=taken, **what)

    def _take_over(self, config: GuardConfig) -> tuple[str, ...]:
        """Let what need not wait for a restart hold from now on, and return the keys that changed."""
        before, after = self.config.silent_after(), config.silent_after()
        self.config = config
        names = [name for name in sorted(before.keys() | after.keys()) if before.get(name, 0) != after.get(name, 0)]
        if names:
            self._follow(after)
            _log.info("silent_after is taken over", bots=names)
        return tuple(f"bots.{name}.silent_after" for name in names)

    def _warn(self, config: GuardConfig, rules: RuleSet) -> None:
        """Log what forbids nothing but was not told yet: of guard.yaml itself, and names in it that no rule has."""
        found = (*config.warnings, *(problem for problem in rules.report.problems if problem.file == shown_path(config.path)))
        for problem in found:
            if problem.severity == "warning" and problem not in self._warned:
                _log.warning(problem.message, **where_of(problem))
        self._warned = frozenset(found)

    def _praise(self) -> None:
        """Forget what was wrong; what stays is a change that this guard cannot take over."""
        self.problem, self.problems = None, ()
        now = self._without_rules(self.config)
        changed = [name for name in now if now[name] != self._started_with[name]]
        if changed:
            self.problem = f"guard.yaml changed beyond its rules ({', '.join(changed)}): restart guard to apply that"

    def _blame(self, error: Exception) -> None:
        self.problem, self.problems = _short(error), problems_of(error)

    def _stay(self, error: Exception) -> Reload:
        self._blame(error)
        _log.error("rules are broken, the last good ones run on", problem=self.problem)
        return Reload(ReloadState.BROKEN, None, self.problem, self.problems)

    def _read(self, facts: Iterable[MarketFacts]) -> _Reading:
        """Read the files as they stood at one moment."""
        for _ in range(_READS_MAX):
            began = stamp_of(self.path)
            reading = self._read_once()
            if reading.seen == stamps_of(reading.config or self.config, self.includes) and began == stamp_of(self.path):
                break
        else:
            restless = problem_at(self.path, "E093", f"the rule files changed while they were read, {_READS_MAX} times over")
            # Nothing stands like this: whoever watches looks again.
            return _Reading((), error=ConfigurationError(restless))
        if reading.program is not None and reading.program.hash != self.program.hash:
            Kernel.prepare(reading.program.leaves)
            reading.program.prepare(facts, needs_screens=self._needs_screens())
        return reading

    def _read_once(self) -> _Reading:
        config, seen = None, stamps_of(self.config, self.includes)
        try:
            config = load_guard(self.path, self._env, now_us=self._now_us())
            # Where other files turn out to be included, this is read once more.
            seen = stamps_of(config, self.includes)
            rules = self._load(config, lambda: _modes(self.program))
            program = compile_rules(rules)
            _refuse_late_webhooks(program, self._webhooks, str(self.path))
            return _Reading(seen, config, rules, program)
        except (ConfigurationError, OSError) as error:
            return _Reading(seen, config, error=error)

    async def _try(self, reading: _Reading) -> None:
        """Play the tests where they are asked for; what fails becomes the reading's error."""
        assert reading.config is not None
        assert reading.program is not None
        if not reading.config.reload.require_tests or reading.program.hash == self.program.hash:
            return
        problems = await failing_tests(self.path, self._env)
        if await asyncio.to_thread(stamps_of, reading.config, self.includes) != reading.seen:
            problems = (problem_at(self.path, "E093", "the rule files changed while their tests were played; they are read again"),)
            self.seen = ()
        if problems:
            reading.error = ConfigurationError(*problems)


class _Reading:
    """What was read, with how the files stood; `error` is what is wrong with it."""

    def __init__(
        self,
        seen: tuple[Stamp, ...],
        config: GuardConfig | None = None,
        rules: RuleSet | None = None,
        program: Program | None = None,
        *,
        error: Exception | None = None,
    ) -> None:
        self.seen = seen
        self.config = config
        self.rules = rules
        self.program = program
        self.error = error


def _refuse_late_webhooks(program: Program, known: frozenset[str], file: str) -> None:
    """Raise RuleError where a rule posts to a webhook that this run has no address of."""
    ordered = {order for rule in program.rules for actions in rule.actions.values() for order in actions.orders}
    late = sorted({order.name for order in ordered if order.kind is ActionKind.WEBHOOK} - known)
    if late:
        message = f"guard.yaml had no webhook {late[0]!r} when guard started"
        raise RuleError(Problem(file, 1, 1, "E070", "unknown-webhook", "error", message, "restart guard before rules use it"))


def _modes(program: Program) -> dict[str, RuleMode]:
    return {rule.id: rule.mode for rule in program.rules}


def _short(error: Exception) -> str:
    """Return what to show of an error; of many mistakes the first ones, each whole."""
    problems = error.problems if isinstance(error, ConfigurationError) else ()
    shown = str(problems[0])[:_PROBLEM_MAX] if problems else (str(error) or type(error).__name__)[:_PROBLEM_MAX]
    for number, problem in enumerate(problems[1:], start=1):
        if len(shown) + len(str(problem)) >= _PROBLEM_MAX:
            return f"{shown}\nand {len(problems) - number} more: guard rules reload shows all"
        shown += f"\n{problem}"
    return shown
