"""The pure join of engine, quarantine and alert routing: one path for live, replay, rule tests and simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.alerts.manager import AlertManager
from guard.alerts.orders import OrderDesk
from guard.engine import Engine, Windows, can_tell, hold_of, outside, why
from guard.engine.renewal import renew
from guard.model import (
    AddAllow,
    AddQuarantine,
    ApplyList,
    ExtendQuarantine,
    Image,
    IsolationState,
    Level,
    Market,
    MarketView,
    ReleaseQuarantine,
    RemoveAllow,
    RuleMode,
    Transition,
    Verdict,
)
from guard.model.bot import listed_until
from guard.model.decision import NOTHING, Decision
from guard.pipeline_holds import HoldDesk
from guard.pipeline_settings import Settings
from guard.quarantine import MARKET_WIDE_RULE, OPERATOR_RULE, IsolationManager, is_listed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from guard.dsl import Program, Rule
    from guard.engine.verdicts import Answer
    from guard.model import AllowChange, Batch, Command, Delivery, Hold, MarketFacts, Quarantine
    from guard.model.ports import LedgerState

__all__ = ["Pipeline", "Settings"]


class Pipeline:
    """Events in, decisions out; no clock, no I/O.

    Parameters
    ----------
    program
        The compiled rules.
    settings
        What guard.yaml says about decisions.
    jit
        Whether the kernel runs compiled, which needs numba; the decisions are the same.
    engine
        A fresh engine of the program that watches more than others do.

    Notes
    -----
    Every due deadline fires at its own due time, before the event that passes it. The decisions of a sequence of events do not
    depend on how it is cut into batches.
    """

    def __init__(
        self, program: Program, settings: Settings | None = None, *, jit: bool = False, engine: Engine | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.engine = Engine(program, jit=jit) if engine is None else engine
        self.isolation = IsolationManager(aliases=self.settings.aliases)
        self.isolation.allow(self.settings.allow)
        self.engine.groups.aliases = self.settings.aliases
        self.desk = HoldDesk(self.engine, self.isolation, self.settings.brake)
        self.alerts = AlertManager(self.settings.alerts)
        self.orders = OrderDesk(self.settings.mode, repeat_us=self.settings.alerts.repeat_us)
        self.windows = Windows()
        self.now_us = 0
        self._log: list[Verdict | Transition] = []
        self._deliveries: list[Delivery] = []
        self._allows: list[AllowChange] = []

    def open(self, facts: MarketFacts) -> int:
        """Watch a market and return its row number."""
        if self.settings.has_peers and "book" in facts.streams:
            facts = facts._replace(streams=facts.streams | {"peers"})
        row = self.engine.open(facts, reference=self.settings.references.get(facts.market.exchange))
        self._hold(row)
        if self.engine.watched[row].is_held:
            # Of what was held before a restart it is known only now whether its rule still looks at this market.
            self._let_run_out()
        self._follow_windows(only=row)
        return row

    def process(self, batch: Batch) -> Decision:
        """Take a batch of events, in order, and return what follows from it."""
        due_us = self._next_outside_us()
        answer = self.engine.start(batch, self.now_us, due_us)
        self.now_us = self.engine.kernel.now_us
        if answer is not None or due_us is not None:
            self._go_on(answer, due_us, 0)
        return self._decision() if self._log or self._deliveries else NOTHING

    def advance(self, now_us: int) -> Decision:
        """Let time pass up to `now_us` and return what became due."""
        self._fire(now_us)
        return self._decision()

    def operate(self, command: Command, now_us: int) -> Decision:
        """Carry out a person's order. Raises OperationRefused."""
        self._fire(now_us)
        if isinstance(command, AddQuarantine | ReleaseQuarantine | ExtendQuarantine | ApplyList):
            transitions = self.isolation.operate(command, self.now_us)
            self.desk.released(transitions)
            self._tell((), transitions)
        elif isinstance(command, AddAllow | RemoveAllow):
            self._allows += self.isolation.allowed.operate(command, self.now_us)
            # What an entry kept from holding is looked at again at once.
            self.desk.hasten(self.now_us)
            self._fire(self.now_us)
        else:
            self.windows.operate(command, self.now_us)
            self._follow_windows()
        return self._decision()

    def announced(self, saved: Sequence[Mapping[str, Any]], now_us: int) -> None:
        """Take over windows of maintenance that an earlier run kept. Raises KeyError, TypeError or ValueError."""
        self.now_us = max(self.now_us, now_us)
        self.windows.restore(saved)
        self._follow_windows()

    def _follow_windows(self, *, only: int | None = None) -> None:
        if self.windows.follow(self.engine, self.now_us, only=only):
            due_us = self._next_outside_us()
            self._go_on(self.engine.run(due_us), due_us, self.now_us)

    def load(self, program: Program, now_us: int) -> Decision:
        """Swap the rules; those whose levels are decided as before keep timers and open episodes.

        A level that stands is acted on at once where its rule may do more than before. What a rule holds that holds nothing any
        more (it is gone, renamed, out of scope, or in a lower mode) stays held until its announced end, without waiting for calm.
        """
        self._fire(now_us)
        before = {rule.id: rule for rule in self.engine.program.rules}
        told = self.engine.load(program, self.now_us)
        self._let_run_out()
        for row, verdicts in told:
            self._take(row, verdicts, before)
        return self._decision()

    def treat(self, market: Market, tags: frozenset[str], listing_risk: float | None, now_us: int) -> Decision:
        """Take what the exchange says of an open market from now on; its rules are chosen anew by it, the rest of its facts stays.

        What a rule that leaves the market holds there stays held until its announced end.
        """
        self._fire(now_us)
        row = self.engine.markets[market]
        facts = self.engine.watched[row].facts._replace(tags=tags, listing_risk=listing_risk)
        verdicts = renew(self.engine, row, facts, self.now_us)
        self._let_run_out()
        self._take(row, verdicts)
        return self._decision()

    def _let_run_out(self) -> None:
        if transitions := self.isolation.let_run_out(self.desk.attends, self.now_us):
            self._tell((), transitions)

    def unattended(self) -> tuple[Quarantine, ...]:
        """Return what rules hold that hold nothing any more: each ends as announced."""
        held = (each for each in self.isolation.active() if each.state is IsolationState.QUARANTINED)
        own = {OPERATOR_RULE, MARKET_WIDE_RULE}
        timed = (each for each in held if each.hold.release_for_us is None)
        return tuple(each for each in timed if each.hold.rule not in own and not is_listed(each))

    def accelerate(self) -> None:
        """Run the kernel compiled from now on; the decisions stay the same. Raises as `Kernel.accelerate` does."""
        self.engine.accelerate()

    def native_screens(self) -> Callable[[], Any] | None:
        """Return what makes machine code of the rules, in seconds; any thread may call it. None where there is nothing to make."""
        return self.engine.kernel.native_screens()

    def take_native_screens(self, made: Any) -> None:  # noqa: ANN401 - known to the compiled kernel
        """Judge by what `native_screens` made from now on; the decisions stay the same."""
        self.engine.kernel.take_native_screens(made)

    def announce(self, key: str, title: str, body: str, level: Level, now_us: int) -> Decision:
        """Tell people about guard itself: a feed that died, rules that are broken, a ledger that cannot be written."""
        self._fire(now_us)
        self._deliveries += self.alerts.system(key, title, body, level, self.now_us)
        return self._decision()

    def recall(self, ledger: LedgerState, now_us: int) -> None:
        """Take over what the ledger remembers, before the first event."""
        self.now_us = max(self.now_us, now_us)
        self.isolation.restore(ledger.quarantines, self.now_us)
        self.isolation.allowed.restore(ledger.allows, self.now_us)
        self.alerts.restore((*ledger.recent_deliveries, *ledger.pending), ledger.quarantines)
        self.orders.restore((*ledger.recent_deliveries, *ledger.pending))
        self._let_run_out()
        for row in range(len(self.engine.watched)):
            self._hold(row)

    @property
    def next_deadline_us(self) -> int | None:
        """When something is due next."""
        dues = (self.engine.next_deadline_us, self._next_outside_us())
        return min((due for due in dues if due is not None), default=None)

    def _fire(self, until_us: int) -> None:
        """Let time pass up to `until_us`."""
        due_us = self._next_outside_us()
        self._go_on(self.engine.start(None, self.now_us, due_us, limit_us=until_us), due_us, until_us)
        self.now_us = max(self.now_us, until_us)

    def _go_on(self, answer: Answer, due_us: int | None, limit_us: int) -> None:
        """Take what the engine answers, and what is due outside of it, until events are used up and time is `limit_us`."""
        engine = self.engine
        while True:
            if engine.kernel.now_us > self.now_us:  # noqa: PLR1730 - `max` costs a call for each batch
                self.now_us = engine.kernel.now_us
            if answer is not None:
                self._take(*answer)
            elif due_us is None or (due_us > limit_us and engine.is_done):
                return
            else:
                self.now_us = max(self.now_us, due_us)
                self._fire_outside(due_us)
            due_us = self._next_outside_us()
            answer = engine.run(due_us)

    def _next_outside_us(self) -> int | None:
        """Return when quarantine or alerts are due next."""
        dues = self.windows.due_us, self.isolation.next_deadline_us, self.desk.next_due_us, self.alerts.next_deadline_us
        return None if dues == (None, None, None, None) else min(due for due in dues if due is not None)

    def _fire_outside(self, due_us: int) -> None:
        if due_us == self.windows.due_us:
            self.windows.follow(self.engine, due_us)
        elif due_us == self.isolation.next_deadline_us:
            self._tell((), self.isolation.advance(due_us))
        elif due_us == self.desk.next_due_us:
            transitions, again = self.desk.advance(due_us)
            for hold, row in again:
                transitions += self._quarantine(row, hold)
            self._tell((), transitions)
        else:
            self._deliveries += self.alerts.advance(due_us)

    def _take(self, row: int, verdicts: Sequence[Verdict], before: Mapping[str, Rule] = {}) -> None:
        """Act on the verdicts of a market; `before` are the rules that were just replaced: what they held is not ordered again."""
        transitions: list[Transition] = []
        watched = self.engine.watched[row]
        if watched.is_held:
            for rule, is_calm in self.engine.releases(row):
                held = self.isolation.held_by(rule.id, watched.facts.market)
                if held and rule.quorum is None:
                    transitions += self.isolation.calm(rule.id, watched.facts.market, self.now_us, is_calm)
                elif held:
                    group = self.engine.groups.of(rule, watched.facts.market)
                    group.hear(row, is_calm=is_calm, is_ready=watched.health.is_ready(self.now_us))
                    transitions += self._calm_together(rule, held)
        for verdict in verdicts:
            if (hold := hold_of(self.engine.program, verdict, before.get(verdict.rule))) is not None:
                transitions += self._quarantine(row, hold)
        if verdicts or transitions:
            self._tell(verdicts, transitions)

    def _quarantine(self, row: int, hold: Hold) -> tuple[Transition, ...]:
        """Hold a target as a rule orders."""
        rule = next(rule for rule in self.engine.program.rules if rule.id == hold.rule)
        market = self.engine.watched[row].facts.market
        is_held = self.isolation.holds(hold.rule, market)
        transitions = self.desk.order(row, rule, hold, self.now_us)
        # The hold waits for a first word, though its rule may say nothing new from now on.
        self.engine.ask(row)
        if rule.quorum is None:
            return transitions
        if not is_held:
            self.engine.ask_groups(rule, hold.target)
        return (*transitions, *self._calm_together(rule, self.isolation.held_by(rule.id, market)))

    def _calm_together(self, rule: Rule, held: Sequence[Quarantine]) -> tuple[Transition, ...]:
        """Tell quarantines of groups whether the groups are calm; unknown while the market that tipped one is not open again."""
        transitions: list[Transition] = []
        for quarantine in held:
            target, tipped = quarantine.target, quarantine.hold.market
            word = self.engine.groups.calm(rule, target, self.now_us) if tipped in self.engine.markets else None
            transitions += self.isolation.calm(rule.id, target, self.now_us, word)
        return tuple(transitions)

    def _tell(self, verdicts: Sequence[Verdict], transitions: Sequence[Transition]) -> None:
        self._log += (*verdicts, *transitions)
        # Of a list people are told once for each reading, not once for each coin.
        told = [each for each in transitions if not is_listed(each.quarantine)]
        self._deliveries += self.alerts.process(
            verdicts=verdicts, transitions=told, at_us=self.now_us, is_led=self._is_led if self.desk.wide.states else None
        )
        for news in self.desk.news:
            self._deliveries += self.alerts.system(*news, self.now_us)
        self.desk.news.clear()
        self._deliveries += self.orders.process(verdicts, told, held=self.isolation.covering, at_us=self.now_us)
        if transitions:
            begun = [each.quarantine.target for each in transitions if each.quarantine.state is IsolationState.QUARANTINED]
            for row, watched in enumerate(self.engine.watched):
                self._hold(row)
                if any(target.covers(watched.facts.market, self.settings.aliases) for target in begun):
                    self.engine.ask(row)

    def _is_led(self, verdict: Verdict) -> bool:
        """Whether the move of a whole exchange explains a verdict, so that people are told of that alone."""
        rule = next(rule for rule in self.engine.program.rules if rule.id == verdict.rule)
        return self.desk.is_led(self.engine.markets[verdict.market], rule, self.now_us)

    def _hold(self, row: int) -> None:
        state = self.isolation.state_of(self.engine.watched[row].facts.market)
        self.engine.hold(row, is_held=state is IsolationState.QUARANTINED, now_us=self.now_us)

    def _decision(self) -> Decision:
        if not self._log and not self._deliveries and not self._allows:
            return Decision(self.now_us)
        decision = Decision(
            at_us=self.now_us,
            verdicts=tuple(entry for entry in self._log if isinstance(entry, Verdict)),
            transitions=tuple(entry for entry in self._log if isinstance(entry, Transition)),
            deliveries=tuple(self._deliveries),
            log=tuple(self._log),
            allows=tuple(self._allows),
        )
        self._allows.clear()
        self._log.clear()
        self._deliveries.clear()
        return decision

    def image(self, *, is_running: bool = True, let_go: Collection[Market] = (), look: bool = True) -> Image:
        """Return what bots may see now; nothing of markets that were let go. Without `look` scores are those looked at last."""
        return Image(
            mode=self.settings.mode,
            at_us=self.now_us,
            markets={str(market): self.view(row, look=look) for market, row in self.engine.markets.items() if market not in let_go},
            blocks=self.isolation.active(),
            on_unknown=self.settings.on_unknown,
            is_running=is_running,
            aliases=self.settings.aliases,
        )

    def view(self, row: int, *, look: bool = True) -> MarketView:
        """Return what bots may see of one market; without `look` its score is the one looked at last."""
        if look:
            self.engine.look(row, self.now_us)
        watched = self.engine.watched[row]
        rules = [self.engine.program.rules[index] for index in watched.binding.rules]
        expected = [e for rule, e in zip(rules, watched.episodes, strict=True) if rule.mode != RuleMode.SHADOW]
        return MarketView(
            data=self.engine.data_state(row, self.now_us),
            level=str(self.engine.level(row)),
            score=max((o.score for o in watched.outcomes if o.score is not None), default=None),
            rules_active=sum(not episode.is_unknown(self.now_us) for episode in expected),
            rules_expected=len(expected),
            listed_until_us=listed_until(watched.facts.listed_us, self.now_us),
        )

    def can_tell(self, rule: str, market: str) -> bool:
        """Whether a rule watches a market and has seen enough to judge it."""
        return can_tell(self.engine, rule, market)

    def why(self, row: int) -> dict[str, Any]:
        """Return why a market stands where it stands, JSON-able."""
        market = self.engine.watched[row].facts.market
        return {
            "market": str(market),
            "state": str(self.isolation.state_of(market)),
            "data": str(self.engine.data_state(row, self.now_us)),
            "holds": self.isolation.covering(market),
            "rules": why(self.engine, row, self.now_us),
            "outside": outside(self.engine, row, self.now_us),
        }

    def save(self) -> dict[str, Any]:
        """Return the state as JSON-able values; a pipeline with the same rules and markets goes on from it with equal decisions."""
        return {
            "now_us": self.now_us,
            "engine": self.engine.save(),
            "isolation": self.isolation.save(self.now_us),
            "desk": self.desk.save(),
            "alerts": self.alerts.save(),
            "orders": self.orders.save(),
            "windows": self.windows.save(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `save` returned; the markets are opened before, in the same order."""
        self.now_us = state["now_us"]
        self.engine.restore(state["engine"])
        self.isolation.load(state["isolation"])
        if "desk" in state:
            self.desk.load(state["desk"])
        self.alerts.load(state["alerts"])
        self.orders.load(state["orders"])
        self.windows.restore(state.get("windows", ()))
        self._follow_windows()
