"""Events in, verdicts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.dsl.signature import FREE, TURNED, freed, signature, unknown_since
from guard.engine.closing import Closing, freeze
from guard.engine.groups import Groups
from guard.engine.handover import Handover
from guard.engine.references import join_references
from guard.engine.swap import ended_groups, follow_groups, restated
from guard.engine.verdicts import candidate_level, ended_verdicts, of_group, verdict_of
from guard.engine.watched import Watched
from guard.features.kernel import DONE, TOLD, Bound, Kernel
from guard.model import Channel, Control, DataState, Kind, Level, Market, RuleMode, Status, event_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from guard.dsl import Outcome, Program, Rule
    from guard.engine.episode import Episode
    from guard.engine.verdicts import Answer
    from guard.model import Batch, MarketFacts, Target, Verdict

__all__ = ["Engine"]

# After other rules came, or a quarantine began, a market is looked at this soon.
_BIN_US = 50_000
_NOT_OURS = frozenset(Control) - {Control.DEMOTE_DETECTOR}
# No rule's signature: the next evaluation is done here.
_ANEW = -1
_CALM = signature(Level.NORMAL, None, None, is_open=False, is_held=False)


class Engine:
    """Every market's features, rules and levels; the same verdicts for the same events, however they are cut into batches.

    Parameters
    ----------
    program
        The compiled rules.
    jit
        Whether the kernel runs compiled, which needs numba; the verdicts are the same.
    kernel
        Another kernel than one of the program's leaves.

    Notes
    -----
    The kernel folds events in and finds the evaluations in which a rule says something new; only those are done here. Time is the
    local time of arrival (`received_us`); windows roll by exchange time.

    Calls of plain detectors, and whether they are switched off, belong to the program: one that has some serves one engine.
    """

    def __init__(self, program: Program, *, jit: bool = False, kernel: Kernel | None = None) -> None:
        self.program = program
        self.kernel = Kernel(program.leaves, jit=jit) if kernel is None else kernel
        self.markets: dict[Market, int] = {}
        self.watched: list[Watched] = []
        self.groups = Groups()
        self._references: dict[str, str] = {}
        self.batch: Batch | None = None
        self.closing = Closing(self)
        self._limit_us = 0
        self.controls_unknown = 0
        self._code_length = -1
        self._switch_off(())

    def open(self, facts: MarketFacts, *, reference: str | None = None) -> int:
        """Watch a market and return its row. `reference` is the symbol that leads its exchange."""
        row = self.kernel.open(facts)
        assert row == len(self.watched)
        self.markets[facts.market] = row
        self.watched.append(Watched(facts, self.program))
        self._join_groups(row)
        self._bind(row)
        self.ask(row)
        if reference:
            self._references[facts.market.exchange] = reference
        join_references(self.kernel, self.markets, self._references, facts.market)
        return row

    def _join_groups(self, row: int) -> None:
        """Let a market belong to the groups of its rules."""
        grouped, watched = self.program.grouped, self.watched[row]
        for number in watched.binding.rules if grouped else ():
            if number in grouped:
                self.groups.join(self.program.rules[number], row, watched.facts.market)

    def _bind(self, row: int) -> None:
        """Give the kernel a market's rules."""
        binding = self.watched[row].binding
        # Code grows with what asks where it begins.
        begins = binding.program
        self._load_code()
        screens = (binding.make_screen, binding.make_open_screen) if self.kernel.needs_screens else None
        self.kernel.bind(row, begins, screens, looks=binding.looks_at_age)

    def _load_code(self) -> None:
        """Let the kernel have the program's code where it grew, or is another one."""
        program = self.program
        if len(program.code) != self._code_length:
            self._code_length = len(program.code)
            self.kernel.load(program.code, program.constants, program.registers, len(program.rules))

    def ask(self, row: int) -> None:
        """Let the next evaluation of a market be done here, whatever its rules say."""
        self.sync(row)
        self.kernel.sign(row, [_ANEW] * len(self.watched[row].binding.rules))

    @property
    def now_us(self) -> int:
        """The engine's time."""
        return self.kernel.now_us

    @property
    def evaluations(self) -> int:
        """How often the rules of a market were looked at."""
        return self.kernel.evaluations

    @property
    def next_deadline_us(self) -> int | None:
        """When something is due next."""
        return self.kernel.next_due_us

    def start(self, batch: Batch | None, now_us: int, until_us: int | None, *, limit_us: int = 0) -> Answer:
        """Begin with a batch of events, or, without one, let time pass up to `limit_us`, and go on as `run` does."""
        if self.closing.rows:
            batch = self.closing.begin(batch, max(now_us, self.now_us))
        self.batch, self._limit_us = batch, limit_us
        self.kernel.start(batch, now_us=now_us, limit_us=limit_us)
        reason = self.kernel.run(until_us)
        return None if reason == DONE else self._answer(reason, until_us)

    def go_on(self, batch: Batch) -> None:
        """Go on with other rows than are left of the batch."""
        self.batch = batch
        self.kernel.start(batch, now_us=self.now_us, limit_us=self._limit_us)

    @property
    def is_done(self) -> bool:
        """Whether all events of the batch were taken."""
        return self.batch is None or self.kernel.position == len(self.batch)

    def run(self, until_us: int | None) -> Answer:
        """Go on; returns a market with its verdicts where levels changed or a quarantine waits for its word.

        None means that the batch, or the time, is used up, or that something outside is due at `until_us` first. Every due time
        fires before the event that passes it.
        """
        return self._answer(self.kernel.run(until_us), until_us)

    def _answer(self, reason: int, until_us: int | None) -> Answer:
        """Look at what the kernel stopped for, and let it go on until there is something to tell."""
        kernel = self.kernel
        while reason != DONE:
            if reason != TOLD or self._told(kernel.position - 1):
                row = kernel.row
                verdicts = self.evaluate(row, kernel.now_us)
                if verdicts or self.watched[row].is_held:
                    return row, verdicts
            reason = kernel.run(until_us)
        return None

    def accelerate(self) -> None:
        """Run the kernel compiled from now on; the verdicts stay the same. Raises as `Kernel.accelerate` does."""
        self.kernel.accelerate()

    def _told(self, number: int) -> bool:
        """Take a STATUS or CONTROL row in; returns whether it speaks of a market."""
        batch = self.batch
        assert batch is not None
        if batch.kind[number] == Kind.STATUS:
            self.closing.tell(batch.market[number], Channel(batch.side[number]), Status(batch.key[number]))
            return True
        if batch.side[number] == Control.DEMOTE_DETECTOR:
            self._demote(batch.key[number])
        elif batch.side[number] not in _NOT_OURS:
            self.controls_unknown += 1
        return False

    @property
    def demoted(self) -> tuple[str, ...]:
        """The names of the plain detectors that are switched off, sorted."""
        return tuple(sorted({call.name for call in self.program.plain_detectors if call.is_off}))

    def _demote(self, key: int) -> None:
        """Switch off the plain detector whose name has this `event_key`, if the rules use it, and look at its markets again."""
        found = {call.name for call in self.program.plain_detectors if not call.is_off and event_key(call.name) == key}
        if not found:
            return
        self._switch_off((*self.demoted, *found))
        for row, watched in enumerate(self.watched):
            rules = (self.program.rules[number] for number in watched.binding.rules)
            if any(used.name in found for rule in rules for used in rule.detectors):
                watched.version = -1
                self._wake(row, self.kernel.now_us)

    def _switch_off(self, names: Collection[str]) -> None:
        """Let the plain detectors of these names be asked no more, and all others be asked."""
        for call in self.program.plain_detectors:
            call.is_off = call.name in names

    def evaluate(self, row: int, now_us: int) -> tuple[Verdict, ...]:
        """Run the rules of one market on what is known now and return the levels that changed."""
        watched = self.watched[row]
        self.sync(row)
        if watched.health.is_frozen(now_us):
            return freeze(self, row, now_us, _ANEW)
        watched.is_judged = True
        self._compute(row, now_us)
        verdicts: list[Verdict] = []
        signatures: list[int] = []
        is_held, rules = watched.is_held, self.program.rules
        for outcome, episode in zip(watched.outcomes, watched.episodes, strict=True):
            rule = rules[outcome.rule]
            is_alone = rule.quorum is None
            if outcome.fires is False and episode.is_idle:
                told = signature(Level.NORMAL, None, outcome.releases, is_open=False, is_held=True) if is_held else _CALM
                signatures.append(told | FREE if is_alone else told)
                continue
            before = episode.level
            candidate = candidate_level(rule, outcome)
            is_changed = episode.update(now_us, candidate, clears=outcome.clears)
            if not is_alone:
                verdicts += self._tip(row, now_us, outcome, episode, candidate)
            elif is_changed:
                verdicts.append(verdict_of(self.program, watched, rule, outcome, episode, before=before, at_us=now_us))
            if candidate and not episode.is_open:
                # It fires and was clear at once: it begins anew with the next evaluation, though it says the same.
                signatures.append(_ANEW)
                continue
            is_open = episode.level is not Level.NORMAL
            told = signature(candidate, outcome.clears, outcome.releases, is_open=is_open, is_held=is_held)
            is_free = is_alone and not candidate and episode.is_free
            signatures.append(freed(told, episode.unknown_since_us) if is_free else told)
        is_open = watched.is_open
        self.kernel.sign(row, signatures)
        self.kernel.schedule(row, is_open=is_open, deadline_us=watched.due_us(now_us) if is_open else None)
        return tuple(verdicts)

    def sync(self, row: int) -> None:
        """Let the episodes of a market know which rules turned unknown, or known, while the kernel settled its evaluations."""
        # Signatures of markets that were not looked at yet may be more than its rules.
        for told, episode in zip(self.kernel.signatures(row), self.watched[row].episodes, strict=False):
            if told >= 0 and told & TURNED:
                episode.turn(unknown_since(told))

    def _tip(self, row: int, now_us: int, outcome: Outcome, episode: Episode, candidate: Level | None) -> Iterator[Verdict]:
        """Tell a market's group where the market stands, and yield a verdict where that changes the group's level."""
        watched, rule = self.watched[row], self.program.rules[outcome.rule]
        group = self.groups.of(rule, watched.facts.market)
        before = group.update(row, now_us, episode.level, candidate, may_clear=outcome.clears is not None)
        if before is not None:
            own = verdict_of(self.program, watched, rule, outcome, episode, before=before, at_us=now_us)
            yield of_group(own, rule, group, self.watched, before=before)

    def leader_of(self, row: int) -> int | None:
        """Return the row of the market that leads a market's exchange; None where it is not watched."""
        exchange = self.watched[row].facts.market.exchange
        return self.markets.get(Market(exchange, self._references.get(exchange, "")))

    def look(self, row: int, now_us: int) -> None:
        """Bring `values`, `outcomes` and episodes of a market up to date; nothing else changes."""
        self.sync(row)
        watched = self.watched[row]
        version = self.kernel.version(row)
        if version and (version != watched.version or watched.looks_at_age):
            self._compute(row, now_us)

    def _compute(self, row: int, now_us: int) -> None:
        watched = self.watched[row]
        watched.version = self.kernel.version(row)
        watched.values = self.kernel.values(row, now_us)
        watched.outcomes = watched.binding.evaluate(watched.values)
        watched.spent = None

    def releases(self, row: int) -> Iterator[tuple[Rule, bool | None]]:
        """Yield each rule of a market with what its release condition said last; unknown while its data is not ready."""
        watched = self.watched[row]
        if not watched.health.is_ready(self.now_us):
            # Also of rules that came while nothing could be told of them.
            yield from ((self.program.rules[number], None) for number in watched.binding.rules)
            return
        for outcome in watched.outcomes:
            yield self.program.rules[outcome.rule], outcome.releases

    def level(self, row: int) -> Level:
        """Return the worst level that rules give a market: their own there, or that of its group."""
        watched, rules = self.watched[row], self.program.rules
        if not self.program.grouped:
            return max((episode.level for episode in watched.episodes), default=Level.NORMAL)
        pairs = zip(watched.binding.rules, watched.episodes, strict=True)
        levels = (self.groups.level(rules[number], watched.facts.market, episode.level) for number, episode in pairs)
        return max(levels, default=Level.NORMAL)

    def ask_groups(self, rule: Rule, target: Target) -> None:
        """Ask every market of a rule's groups within a target anew whether it is calm."""
        for group in self.groups.under(rule, target):
            group.ask()
            for row in group.rows:
                self._wake(row, self.kernel.now_us)

    def hold(self, row: int, *, is_held: bool, now_us: int) -> None:
        """Keep looking at a market because a quarantine waits for calm there, or stop doing so."""
        watched = self.watched[row]
        if watched.is_held != is_held:
            watched.is_held = is_held
            self._wake(row, now_us if watched.is_open or watched.looks_at_age else None)

    def data_state(self, row: int, now_us: int) -> DataState:
        """Return how good the data of a market is."""
        self.sync(row)
        watched = self.watched[row]
        return watched.health.state(
            now_us,
            is_covered=self.kernel.data_ready(row),
            is_degraded=any(
                episode.is_unknown(now_us)
                for number, episode in zip(watched.binding.rules, watched.episodes, strict=True)
                if self.program.rules[number].mode is not RuleMode.SHADOW
            ),
        )

    def load(self, program: Program, now_us: int) -> list[tuple[int, tuple[Verdict, ...]]]:
        """Swap the rules; those whose levels are decided as before keep their episodes and timers.

        Returns markets with verdicts: levels of rules that are gone or decide otherwise end, and a level that stands is told anew,
        as if it had just been reached, where its rule tells people or holds from now on and did not before.

        A plain detector that is switched off stays so while its class is the same.
        """
        for row in self.kernel.turned():
            self.sync(row)
        told: list[tuple[int, tuple[Verdict, ...]]] = []
        edited: list[tuple[int, Handover]] = []
        if program.leaves != self.kernel.leaves:
            self.kernel.adopt(program.leaves)
        old, self.program = self.program, program
        off = {(call.name, call.kind) for call in old.plain_detectors if call.is_off}
        self._switch_off({call.name for call in program.plain_detectors if (call.name, call.kind) in off})
        self._code_length = -1
        bindings = [program.bind(watched.facts) for watched in self.watched]
        handovers: dict[tuple[tuple[int, ...], tuple[int, ...]], Handover] = {}
        for row, (watched, binding) in enumerate(zip(self.watched, bindings, strict=True)):
            pair = (watched.binding.rules, binding.rules)
            handover = handovers.get(pair)
            if handover is None:
                handover = handovers[pair] = Handover(old, program, *pair)
            if handover.ended and (over := ended_verdicts(watched, handover.ended, now_us)):
                told.append((row, over))
            watched.bind(binding, handover.episodes(watched.episodes), program.unknown)
            if handover.edited:
                edited.append((row, handover))
        grouped = {program.rules[number].level_hash for number in program.grouped}
        told += ended_groups(self, old, grouped, now_us)
        before = {(old.rules[number].id, old.rules[number].per): self.groups.named(old.rules[number]) for number in old.grouped}
        if not self.groups.keep(grouped):
            for row in range(len(self.watched)):
                self._join_groups(row)
            follow_groups(self, before)
        # Code grows with what asks where it begins.
        begins = [binding.program for binding in bindings]
        self._load_code()
        screens = [(each.make_screen, each.make_open_screen) for each in bindings] if self.kernel.needs_screens else None
        looks = [binding.looks_at_age for binding in bindings]
        opens = [watched.is_open for watched in self.watched]
        self.kernel.rebind(Bound(begins, screens, looks, opens, now_us + _BIN_US, len(program.rules)))
        return told + restated(self, edited, now_us)

    def _wake(self, row: int, now_us: int | None) -> None:
        """Run the rules of a market soon, whatever they say; None where time alone no longer changes anything."""
        self.ask(row)
        self.kernel.wake(row, is_open=self.watched[row].is_open, deadline_us=None if now_us is None else now_us + _BIN_US)

    def save(self) -> dict[str, Any]:
        """Return the state as JSON-able values; `restore` takes it back into an engine with the same markets."""
        for row in self.kernel.turned():
            self.sync(row)
        return {
            "kernel": self.kernel.save(),
            "demoted": list(self.demoted),
            "groups": self.groups.save(),
            "markets": [watched.save(self.program) for watched in self.watched],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `save` returned; a rule that was not there then starts with a fresh episode."""
        self.kernel.restore(state["kernel"])
        self._switch_off(state.get("demoted", ()))
        for row, (watched, saved) in enumerate(zip(self.watched, state["markets"], strict=True)):
            watched.restore(saved, self.program)
            self._join_groups(row)
        self.groups.restore(state.get("groups", {}))
        self._code_length = -1
        for row in range(len(self.watched)):
            self.closing.note(row)
            self._bind(row)
            self.ask(row)
