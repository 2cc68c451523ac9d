"""Who is held back: the state machine of all quarantines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.errors import OperationRefused
from guard.model.assets import NO_ALIASES, asset_in
from guard.model.command import AddQuarantine, ApplyList, ExtendQuarantine, ReleaseQuarantine
from guard.model.quarantine import Block, Hold, IsolationState, Quarantine, Target, TargetKind, Transition, quarantine_id
from guard.quarantine import commands, lists, opening, saving
from guard.quarantine.allow import AllowList
from guard.quarantine.calm import EVERYWHERE, CalmClock
from guard.quarantine.cases import Case, Cases
from guard.quarantine.history import History
from guard.quarantine.incidents import Incidents, marks_of
from guard.quarantine.recovery import RecoveryHandler, ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guard.model.allow import AllowEntry
    from guard.model.market import Market

__all__ = ["FOREVER_US", "IsolationManager"]

FOREVER_US = 1 << 62

_RANK = {IsolationState.NORMAL: 0, IsolationState.PROBATION: 1, IsolationState.QUARANTINED: 2}


class IsolationManager:
    """Hold targets back, let them recover, and remember who did it again. Pure: time comes in with each call.

    Parameters
    ----------
    recovery
        Decides about extension, probation and release.
    aliases
        Which asset a base is, as in guard.yaml; see `guard.model.assets`.

    Notes
    -----
    A quarantine is one rule holding one target; several rules may hold the same target. States go normal -> quarantined ->
    probation -> normal; a rule that asks again in probation leads back to quarantined with its floor escalated.

    Time never goes backwards: an earlier `at_us` counts as the latest one seen. Every deadline up to `at_us` fires at its own
    due time before the call does its work, and the call returns those transitions first. Where `operate` refuses, they come with
    the next call, and `next_deadline_us` says so. None is ever lost.

    Ends and floors are absolute. Within one stay the announced end (`until_us`) only moves later, and always before it passes. A
    rule holds for 24 h at most in one stay, whatever it asks for; only a person holds, or extends, beyond that.

    What a rule holds belongs to an incident, its `zone`; see `Incidents`.

    Examples
    --------
    >>> from guard.model import Level, TargetKind
    >>> manager, target = IsolationManager(), Target(TargetKind.MARKET, "sim:X/USDT")
    >>> hold = Hold("pump_dump", None, target, Level.DANGER, "up 9 % in 20 s", for_us=60, max_us=300)
    >>> [transition.cause for transition in manager.quarantine(hold, 100)], manager.next_deadline_us
    (['rule'], 160)
    >>> [(transition.cause, transition.at_us) for transition in manager.advance(1_000)]
    [('floor', 160)]
    """

    def __init__(self, recovery: RecoveryHandler | None = None, *, aliases: Mapping[str, str] = NO_ALIASES) -> None:
        self._recovery = recovery or RecoveryHandler()
        self.aliases = aliases
        self.allowed = AllowList(aliases)
        self._reset(now_us=0)

    @property
    def recovery(self) -> RecoveryHandler:
        """Who decides how a quarantine ends, and what is done where one does not reach its readers."""
        return self._recovery

    def allow(self, entries: Iterable[AllowEntry]) -> None:
        """Replace the allow entries of guard.yaml. They suppress new holds; what is held already stays until it is released."""
        self.allowed.write(entries)

    def quarantine(self, hold: Hold, at_us: int, *, actor: str = "guard", marks: tuple[str, ...] = ()) -> tuple[Transition, ...]:
        """Hold a target because a rule asks for it; `marks` make it belong to further incidents.

        Nothing happens during grace after a manual release or under an allow entry. A rule that asks again while it holds resets
        the calm clock and leaves the end as it is, its worse level is remembered; only a stronger block makes a transition. A
        rule that asks in probation leads back to quarantined (cause ``reoffence``).
        """
        at_us = self._catch_up(at_us)
        hold = self.aimed(hold)
        if actor == "guard":
            hold = opening.bounded(hold)
        case = self._cases.get(hold.rule, hold.target)
        if self.suppressed_until_us(hold, at_us) is not None:
            return self._take()
        if case is None or case.quarantine.state is IsolationState.PROBATION:
            hold = self._zoned(hold, marks, at_us)
        if case is None:
            self._open(hold, at_us, actor=actor, cause="rule")
        elif case.quarantine.state is IsolationState.PROBATION:
            case.calm.offend("" if hold.market is None else str(hold.market), at_us=at_us)
            again = opening.reopened(case.quarantine, hold, at_us, self._recovery)
            self._move(case, again, at_us, "reoffence", actor=actor, reason=hold.reason)
        else:
            self._remind(case, hold, at_us, actor=actor)
        return self._take()

    def calm(self, rule: str, subject: Target | Market, at_us: int, is_calm: bool | None) -> tuple[Transition, ...]:  # noqa: FBT001 it is data
        """Take the word of `rule`'s release condition: True calm, False not, None unknown (data not ready).

        The word stands until the next one: whoever feeds must say None the moment data ceases to be ready. `subject` is the held
        target, or a market whose offence led to holds; a target held for several markets is calm when all of them are.
        """
        at_us = self._catch_up(at_us)
        if isinstance(subject, Target):
            case = self._cases.get(rule, subject)
            self._hear(() if case is None else (case,), EVERYWHERE, at_us, is_calm=is_calm)
        else:
            self._hear(self._cases.of_rule_over(rule, subject), str(subject), at_us, is_calm=is_calm)
        return self._take()

    def let_run_out(self, attends: Callable[[Hold, str], bool], at_us: int) -> tuple[Transition, ...]:
        """Wait for calm no longer where nobody will tell of it: such a quarantine ends at its announced end (cause ``rule_gone``).

        `attends` says whether the rule of a hold still tells of calm for it on a market, given in its written form; an empty one
        asks whether the rule does so anywhere. A target held for several markets waits for those that are left.
        """
        at_us = self._catch_up(at_us)
        for case in tuple(self._cases):
            quarantine = case.quarantine
            hold = quarantine.hold
            if hold.release_for_us is None or quarantine.state is not IsolationState.QUARANTINED:
                continue
            sources = case.calm.sources or (EVERYWHERE,)
            lost = [source for source in sources if not attends(hold, source)]
            if len(lost) == len(sources):
                timed = quarantine._replace(hold=hold._replace(release_for_us=None))
                self._move(case, timed, at_us, "rule_gone", actor="guard", reason=hold.reason)
            elif lost:
                for source in lost:
                    case.calm.forget(source, at_us=at_us, floor_us=quarantine.floor_us)
                self._cases.schedule(case, self._due_us(case, at_us))
        return self._take()

    def advance(self, now_us: int) -> tuple[Transition, ...]:
        """Fire every deadline up to `now_us`, each at its own due time, and return the transitions in that order."""
        self._catch_up(now_us)
        return self._take()

    def prolong(self, rule: str, target: Target, until_us: int, at_us: int, reason: str) -> tuple[Transition, ...]:
        """Move the end of what `rule` holds by time alone to `until_us`, within the longest stay (cause ``extend``)."""
        at_us = self._catch_up(at_us)
        case = self._cases.get(rule, target)
        if case is not None and case.quarantine.state is IsolationState.QUARANTINED:
            before = case.quarantine
            until_us = min(until_us, before.last_end_us)
            if until_us > before.until_us:
                longer = before._replace(floor_us=until_us, until_us=until_us)
                self._move(case, longer, at_us, "extend", actor="guard", reason=reason)
        return self._take()

    def operate(
        self, command: AddQuarantine | ReleaseQuarantine | ExtendQuarantine | ApplyList, at_us: int
    ) -> tuple[Transition, ...]:
        """Carry out a person's command; raises OperationRefused, with nothing changed, where it makes no sense."""
        at_us = self._catch_up(at_us)
        if isinstance(command, AddQuarantine):
            self._add(command, at_us)
        elif isinstance(command, ApplyList):
            self._apply(command, at_us)
        elif isinstance(command, ExtendQuarantine):
            longer = [(case, commands.extended(case.quarantine, command, at_us, self._recovery)) for case in self._named(command)]
            for case, after in longer:
                case.calm.offend("", at_us=at_us)
                self._move(case, after, at_us, "operator", actor=command.actor, reason=command.reason)
        else:
            for case in self._named(command):
                over = ended(case.quarantine, at_us=at_us, grace_us=command.grace_us)
                self._move(case, over, at_us, "operator", actor=command.actor, reason=command.reason)
        return self._take()

    def active(self) -> tuple[Quarantine, ...]:
        """Return what is quarantined or in probation, sorted by target, then rule."""
        return tuple(sorted((case.quarantine for case in self._cases), key=lambda each: (str(each.target), each.hold.rule)))

    def covering(self, market: Market) -> tuple[Quarantine, ...]:
        """Return all that holds `market`: strongest block first, then latest end. The first one is what counts."""
        found = [case.quarantine for case in self._cases.over(market)]
        return tuple(sorted(found, key=lambda each: (each.block is not Block.ENTRIES, -each.until_us, each.id)))

    def calm_of(self, held: Quarantine, at_us: int) -> tuple[int, int | None]:
        """Return how much calm has counted for a quarantine at `at_us`, and when it will be enough; None while it is not calm."""
        case = self._cases.get(held.hold.rule, held.target)
        if case is None or held.hold.release_for_us is None:
            return 0, None
        due_us = case.calm.due_us(need_us=held.hold.release_for_us, floor_us=held.floor_us)
        return case.calm.held_us(at_us=at_us, floor_us=held.floor_us), due_us

    def state_of(self, market: Market) -> IsolationState:
        """Return the strongest state over all targets that cover `market`."""
        states = (case.quarantine.state for case in self._cases.over(market))
        return max(states, key=_RANK.__getitem__, default=IsolationState.NORMAL)

    def holds(self, rule: str, market: Market) -> bool:
        """Whether `rule` has a target quarantined that covers `market`; probation does not count."""
        return bool(self.held_by(rule, market))

    def held_by(self, rule: str, market: Market) -> tuple[Quarantine, ...]:
        """Return what `rule` has quarantined that covers `market`; probation does not count."""
        cases = self._cases.of_rule_over(rule, market)
        return tuple(case.quarantine for case in cases if case.quarantine.state is IsolationState.QUARANTINED)

    def held_by_target(self, rule: str, target: Target) -> Quarantine | None:
        """Return what `rule` holds by exactly `target`, quarantined or on probation."""
        case = self._cases.get(rule, target)
        return None if case is None else case.quarantine

    def grace_until_us(self, rule: str, target: Target) -> int | None:
        """Return until when `rule` may only alert about `target`, None outside a grace."""
        last = self._history.last(rule, target)
        return last.grace_until_us if last is not None and last.grace_until_us > self._now_us else None

    def suppressed_until_us(self, hold: Hold, at_us: int) -> int | None:
        """Return until when grace or an allow entry keeps `hold` from holding, `FOREVER_US` for an entry without an end.

        None where nothing does.
        """
        self._move_on(at_us)
        grace_us = self.grace_until_us(hold.rule, hold.target)
        entry = self.allowed.over(hold, at_us)
        if entry is None:
            return grace_us
        return max(grace_us or 0, FOREVER_US if entry.until_us is None else entry.until_us)

    def aimed(self, hold: Hold) -> Hold:
        """Return `hold` with its target by the asset's own name."""
        target = hold.target.canonical(hold.market, self.aliases)
        return hold if target == hold.target else hold._replace(target=target)

    def restore(self, quarantines: Iterable[Quarantine], now_us: int) -> None:
        """Take over what the ledger remembers, in place of the present state; allow entries stay.

        Absolute ends survive; what ended meanwhile is processed by the next `advance`, extensions once, at `now_us`. Calm starts
        anew, as unknown. Where the clock stands before a stay began, the stay moves so that no remaining time grows.
        """
        self._reset(now_us)
        late = (saving.on_time(each, now_us) for each in quarantines)
        # What another guard, or other aliases, spelled otherwise comes last, and keeps its spelling where its place is taken.
        for remembered in sorted(late, key=lambda each: (self._is_respelled(each), each.until_us, each.id)):
            quarantine = remembered
            hold = self.aimed(quarantine.hold)
            if self._cases.get(hold.rule, hold.target) is None:
                quarantine = quarantine._replace(hold=hold)
            if quarantine.state is IsolationState.NORMAL:
                self._history.remember(quarantine)
                continue
            self._cases.enter(case := Case(quarantine, _fresh_calm(quarantine.hold)))
            due_us = self._recovery.due_us(quarantine, case.calm)
            if due_us < quarantine.until_us:
                due_us = min(max(due_us, now_us), quarantine.last_end_us)
            self._cases.schedule(case, due_us)
        self._find_due()
        zoned = sorted((each for each in self.active() if each.hold.zone), key=lambda each: (each.opened_us, each.id))
        self._incidents.restore((each.hold.zone, self._marks(each.hold), each.opened_us) for each in zoned)

    def save(self, now_us: int = 0) -> dict[str, Any]:
        """Return the whole state but guard.yaml's entries, ready for JSON; as of `now_us`, up to which everything due has fired."""
        self._move_on(now_us)
        parts = saving.Saved(self._cases, self._history, self._waiting, self._now_us, self._incidents)
        return {**saving.save(parts), "allowed": self.allowed.save()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Continue where `save` was called. Raises ValueError where `saved` has another layout."""
        self._take_over(saving.load(saved, self.aliases))
        self.allowed.load(saved.get("allowed", ()))

    def _reset(self, now_us: int) -> None:
        self._take_over(saving.Saved(Cases(self.aliases), History(), [], now_us, Incidents()))

    def _take_over(self, parts: saving.Saved) -> None:
        self._cases, self._history, self._waiting, self._now_us, self._incidents = parts
        self._find_due()

    def _find_due(self) -> None:
        """Find when `advance` has to be called next, after anything has changed; it is asked for each batch."""
        self.next_deadline_us = self._waiting[0].at_us if self._waiting else self._cases.next_due_us()

    def _is_respelled(self, each: Quarantine) -> bool:
        return each.state is not IsolationState.NORMAL and self.aimed(each.hold) != each.hold

    def _move_on(self, at_us: int) -> None:
        self._now_us = max(self._now_us, at_us)
        self._history.forget(self._now_us)

    def _catch_up(self, at_us: int) -> int:
        self._now_us = max(self._now_us, at_us)
        while (case := self._cases.pop_due(self._now_us)) is not None:
            step = self._recovery.step(case.quarantine, case.calm, at_us=case.due_us)
            self._move(case, step.quarantine, case.due_us, step.cause, actor="guard", reason=case.quarantine.hold.reason)
        self._history.forget(self._now_us)
        self._find_due()
        return self._now_us

    def _take(self) -> tuple[Transition, ...]:
        transitions = tuple(self._waiting)
        self._waiting.clear()
        self._find_due()
        return transitions

    def _zoned(self, hold: Hold, marks: tuple[str, ...], at_us: int) -> Hold:
        own = quarantine_id(hold.rule, hold.target, at_us)
        return hold._replace(zone=self._incidents.join(own, [*self._marks(hold), *marks], at_us))

    def _marks(self, hold: Hold) -> list[str]:
        if hold.market is not None:
            return marks_of(hold, asset_in(hold.market.exchange, hold.market.base, self.aliases))
        is_wide = hold.target.kind is TargetKind.EXCHANGE
        return marks_of(hold, "" if is_wide else hold.target.name.partition("/")[0])

    def _open(self, hold: Hold, at_us: int, *, actor: str, cause: str) -> None:
        previous = self._history.last(hold.rule, hold.target)
        quarantine = opening.opened(hold, at_us, self._recovery, actor=actor, previous=previous)
        case = Case(quarantine, _fresh_calm(hold))
        self._cases.enter(case)
        self._cases.schedule(case, self._due_us(case, at_us))
        self._tell(quarantine, IsolationState.NORMAL, at_us, cause, actor=actor, reason=hold.reason)

    def _remind(self, case: Case, hold: Hold, at_us: int, *, actor: str) -> None:
        before = case.quarantine
        case.calm.offend("" if hold.market is None else str(hold.market), at_us=at_us)
        case.quarantine = opening.reminded(before, hold)
        is_attended = before.hold.release_for_us is None is not case.quarantine.hold.release_for_us
        if case.quarantine.block is not before.block or is_attended:
            self._tell(case.quarantine, before.state, at_us, "rule", actor=actor, reason=hold.reason)
        self._cases.schedule(case, self._due_us(case, at_us))

    def _hear(self, cases: tuple[Case, ...], source: str, at_us: int, *, is_calm: bool | None) -> None:
        for case in cases:
            if case.calm.hears(source):
                case.calm.feed(source, at_us=at_us, floor_us=case.quarantine.floor_us, is_calm=is_calm)
                self._cases.schedule(case, self._due_us(case, at_us))

    def _add(self, command: AddQuarantine, at_us: int) -> None:
        hold = commands.manual_hold(command, self.aliases)
        case = self._cases.get(hold.rule, hold.target)
        if case is None:
            self._open(hold, at_us, actor=command.actor, cause="operator")
            return
        longer = commands.lengthened(case.quarantine, hold, at_us)
        self._move(case, longer, at_us, "operator", actor=command.actor, reason=command.reason)

    def _apply(self, command: ApplyList, at_us: int) -> None:
        rule = lists.list_rule(command.name)
        for target in command.gone:
            case = self._cases.get(rule, target)
            if case is not None and not lists.is_extended(case.quarantine):
                self._move(case, ended(case.quarantine, at_us=at_us), at_us, "list", actor=command.actor, reason=command.reason)
        for entry in command.entries:
            hold = self.aimed(lists.listed_hold(command, entry, at_us))
            case = self._cases.get(rule, hold.target)
            if self.suppressed_until_us(hold, at_us) is not None:
                continue
            if case is None:
                self._open(hold, at_us, actor=command.actor, cause="list")
            else:
                longer = lists.renewed(case.quarantine, hold, at_us)
                self._move(case, longer, at_us, "list", actor=command.actor, reason=hold.reason)

    def _named(self, command: ReleaseQuarantine | ExtendQuarantine) -> tuple[Case, ...]:
        if command.target is None and command.id is None:
            raise OperationRefused("what is meant is named by target or id, found neither")
        cases: tuple[Case, ...] = tuple(self._cases)
        if command.target is not None:
            meant = command.target.canonical(aliases=self.aliases)
            also = () if meant == command.target else self._cases.on(command.target)
            cases = (*self._cases.on(meant), *also)
        found = tuple(case for case in cases if command.id in (None, case.quarantine.id))
        if not found:
            raise OperationRefused(commands.nothing_held(command, self.active()))
        return found

    def _move(self, case: Case, after: Quarantine, at_us: int, cause: str, *, actor: str, reason: str) -> None:
        previous = case.quarantine.state
        case.quarantine = after
        if after.state is IsolationState.NORMAL:
            self._cases.leave(case)
            self._history.remember(after)
        else:
            self._cases.schedule(case, self._due_us(case, at_us))
        self._tell(after, previous, at_us, cause, actor=actor, reason=reason)

    def _tell(self, after: Quarantine, previous: IsolationState, at_us: int, cause: str, *, actor: str, reason: str) -> None:
        self._waiting.append(Transition(at_us, after, previous, cause, actor, reason))

    def _due_us(self, case: Case, at_us: int) -> int:
        return max(at_us, self._recovery.due_us(case.quarantine, case.calm))


def _fresh_calm(hold: Hold) -> CalmClock:
    return CalmClock({} if hold.market is None else {str(hold.market): None})
