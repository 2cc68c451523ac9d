"""Between a verdict and a quarantine: what a person allowed, what the leader of the exchange explains, and what waits meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guard.engine.residual import leans_on_price, stray_of
from guard.model import IsolationState, Level, Market, RuleMode, Target, TargetKind
from guard.quarantine import MARKET_WIDE_RULE
from guard.quarantine.deferred import Deferred
from guard.quarantine.market_wide import BrakePolicy, MarketWide, Mass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guard.dsl import Rule
    from guard.engine import Engine
    from guard.engine.residual import Stray
    from guard.model import Hold, Transition
    from guard.quarantine import IsolationManager
    from guard.quarantine.market_wide import MassChange

__all__ = ["HoldDesk", "News"]

_AGAIN_US: Final = 5_000_000
_NAMED_MAX: Final = 8


class News(NamedTuple):
    """Something that people are told about an exchange: `level` NORMAL takes it back."""

    key: str
    title: str
    body: str
    level: Level


class HoldDesk:
    """Lets rules hold, or wait. Pure: time comes in with each call.

    Attributes
    ----------
    next_due_us
        When `advance` has something to do, None while nothing waits. Asked for each batch, so it is kept, not searched.

    Notes
    -----
    A hold that an allow entry or a grace suppresses waits until that ends, and holds then if its rule still has the level.

    A finding that the leader's move explains does not hold by itself: it begins, or goes into, the market-wide state of its
    exchange, and is looked at again every 5 s. Once it is not explained, or nothing can tell, it holds at once. What was held
    before stays held. `news` is what people are to be told beside the quarantines themselves.
    """

    def __init__(self, engine: Engine, isolation: IsolationManager, policy: BrakePolicy) -> None:
        self._engine = engine
        self._isolation = isolation
        self._policy = policy
        self.deferred = Deferred()
        self.wide = MarketWide(policy)
        self.mass = Mass(policy)
        self.news: list[News] = []
        self.next_due_us: int | None = None

    def is_led(self, row: int, rule: Rule, now_us: int) -> bool:
        """Whether a market-wide state holds where a market is, and explains what a rule sees there."""
        exchange = self._engine.watched[row].facts.market.exchange
        return exchange in self.wide.states and self._led_by(row, rule, now_us) is not None

    def order(self, row: int, rule: Rule, hold: Hold, now_us: int) -> tuple[Transition, ...]:
        """Hold as a rule orders, or let it wait."""
        transitions = self._order(row, rule, hold, now_us)
        self._find_due()
        return transitions

    def _find_due(self) -> None:
        """Find when something is due next after anything has changed."""
        dues = (self.deferred.next_due_us, self.wide.next_due_us, self.mass.next_due_us)
        self.next_due_us = min((due for due in dues if due is not None), default=None)

    def _order(self, row: int, rule: Rule, hold: Hold, now_us: int) -> tuple[Transition, ...]:
        hold = self._isolation.aimed(hold)
        until_us = self._isolation.suppressed_until_us(hold, now_us)
        if until_us is not None:
            self.deferred.put(hold, until_us)
            return ()
        exchange = self._engine.watched[row].facts.market.exchange
        stray = None
        if hold.target.kind is not TargetKind.EXCHANGE and not self._is_held(hold) and self.wide.may_take(exchange, now_us):
            stray = self._led_by(row, rule, now_us)
        if stray is not None:
            self.deferred.put(hold, now_us + _AGAIN_US, is_led=True)
            return self._go_wide(exchange, hold, stray, now_us, is_new=True)
        return self._hold(exchange, hold, now_us)

    def advance(self, now_us: int) -> tuple[tuple[Transition, ...], list[tuple[Hold, int]]]:
        """Do what is due; returns transitions, and holds that are to be ordered anew, each with the row of its market."""
        transitions: list[Transition] = []
        again: list[tuple[Hold, int]] = []
        for waiting in self.deferred.take(now_us):
            hold = waiting.hold
            assert hold.market is not None
            row, rule = self._engine.markets.get(hold.market), self._rule(hold.rule)
            if row is None or rule is None or not self._still_orders(rule, row, hold):
                continue
            stray = self._led_by(row, rule, now_us) if waiting.is_led else None
            if stray is not None and self.wide.may_take(hold.market.exchange, now_us):
                self.deferred.put(hold, now_us + _AGAIN_US, is_led=True)
                transitions += self._go_wide(hold.market.exchange, hold, stray, now_us, is_new=False)
            else:
                again.append((hold, row))
        for exchange in self.wide.ended(now_us):
            if self._policy.pause_us is None:
                self.news.append(News(f"market_wide:{exchange}", f"{exchange} moves as a whole no more", "", Level.NORMAL))
        self.news += map(_mass_news, self.mass.advance(now_us))
        self._find_due()
        return tuple(transitions), again

    def hasten(self, now_us: int) -> None:
        """Look at all that waits again now: what kept it may be gone."""
        self.deferred.hasten(now_us)
        self._find_due()

    def released(self, transitions: Iterable[Transition]) -> None:
        """Look again, when grace is over, at what a person released: its rule may still have the level, on any of the markets."""
        for each in transitions:
            after = each.quarantine
            rule = self._rule(after.hold.rule)
            if rule is None or after.state is not IsolationState.NORMAL or after.grace_until_us <= each.at_us:
                continue
            for market, row in self._engine.markets.items():
                hold = after.hold._replace(market=market)
                if hold.target.covers(market, self._isolation.aliases) and self._still_orders(rule, row, hold):
                    self.deferred.put(hold, after.grace_until_us)
        self._find_due()

    def attends(self, hold: Hold, market: str) -> bool:
        """Whether a hold's rule may hold and is asked about a market, "" for any; of one that is not open only the former is known.

        A rule that judges markets together tells nothing of targets that leave some of them out.
        """
        rules = self._engine.program.rules
        rule = next((rule for rule in rules if rule.id == hold.rule), None)
        if rule is None or not rule.may_hold or not rule.per.is_covered_by(hold.target.kind):
            return False
        asked = Market.parse(market) if market else hold.market
        if asked is None or asked not in self._engine.markets:
            return True
        if market and rule.quorum is None:
            return self._watches(rule, asked)
        return any(hold.target.covers(each, self._isolation.aliases) and self._watches(rule, each) for each in self._engine.markets)

    def _watches(self, rule: Rule, market: Market) -> bool:
        return rule.number in self._engine.watched[self._engine.markets[market]].binding.rules

    def _hold(self, exchange: str, hold: Hold, now_us: int) -> tuple[Transition, ...]:
        self.deferred.drop(hold)
        is_wide = exchange in self.wide.states or self.mass.is_on(exchange)
        marks = (f"exchange {exchange}",) if is_wide else ()
        transitions = self._isolation.quarantine(hold, now_us, marks=marks)
        for each in transitions:
            if each.cause in {"rule", "reoffence"} and each.previous is not IsolationState.QUARANTINED:
                markets = sum(market.exchange == exchange for market in self._engine.markets)
                change = self.mass.add(exchange, str(hold.target), now_us, markets=markets)
                # Of an exchange that moves as a whole people know already.
                self.news += () if change is None or exchange in self.wide.states else (_mass_news(change),)
        return transitions

    def _is_held(self, hold: Hold) -> bool:
        """Whether the rule holds the target already: then it is reminded, whatever explains it."""
        held = self._isolation.held_by_target(hold.rule, hold.target)
        return held is not None and held.state is IsolationState.QUARANTINED

    def _led_by(self, row: int, rule: Rule, now_us: int) -> Stray | None:
        """Return how the leader's move explains what a rule sees, None where it does not or nobody knows."""
        if not leans_on_price(rule) or not self._engine.watched[row].health.is_ready(now_us):
            return None
        stray = stray_of(self._engine, row)
        return stray if stray is not None and stray.is_explained else None

    def _go_wide(self, exchange: str, hold: Hold, stray: Stray, now_us: int, *, is_new: bool) -> tuple[Transition, ...]:
        begins = self.wide.take(exchange, now_us, is_new=is_new)
        reason = (
            f"{exchange} moves as a whole: {stray.leader} {_percent(stray.leader_gap)} from its average of 10 min, "
            f"which explains {hold.rule} on {hold.market} ({_percent(stray.gap)})"
        )
        pause_us = self._policy.pause_us
        if pause_us is None:
            if begins:
                body = f"{reason}.\nWhat it explains is not held one by one; entries stay allowed.\nguard status"
                self.news.append(News(f"market_wide:{exchange}", f"{exchange} moves as a whole", body, Level.DANGER))
            return ()
        paused = Target(TargetKind.EXCHANGE, exchange)
        held = self._isolation.held_by_target(MARKET_WIDE_RULE, paused)
        if held is None or held.state is not IsolationState.QUARANTINED:
            wide = self.wide.hold(exchange, max(hold.level, Level.DANGER), reason, pause_us=pause_us)
            return self._isolation.quarantine(wide, now_us, marks=(f"exchange {exchange}",))
        if held.until_us - now_us > pause_us // 2:
            return ()
        return self._isolation.prolong(MARKET_WIDE_RULE, paused, self.wide.states[exchange].until_us, now_us, reason)

    def _rule(self, name: str) -> Rule | None:
        return next((rule for rule in self._engine.program.rules if rule.id == name), None)

    def _still_orders(self, rule: Rule, row: int, hold: Hold) -> bool:
        """Whether a rule still has a level at which it holds."""
        watched = self._engine.watched[row]
        if rule.mode is not RuleMode.ENFORCE or rule.number not in watched.binding.rules:
            return False
        own = watched.episodes[watched.binding.rules.index(rule.number)].level
        level = self._engine.groups.level(rule, watched.facts.market, own)
        order = rule.actions[level].quarantine if level is not Level.NORMAL else None
        return order is not None and hold.market is not None

    def save(self) -> dict[str, Any]:
        """Return the state, ready for JSON."""
        return {"deferred": self.deferred.save(), "wide": self.wide.save(), "mass": self.mass.save()}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take over what `save` returned."""
        self.deferred.load(saved["deferred"])
        self.wide.load(saved["wide"])
        self.mass.load(saved["mass"])
        self._find_due()

    def records(self) -> list[dict[str, Any]]:
        """Return the market-wide states for people and programs."""
        found = []
        for exchange, state in sorted(self.wide.states.items()):
            led: Sequence[Market] = self.deferred.led(exchange)
            found.append(
                {
                    "exchange": exchange,
                    "began_us": state.began_us,
                    "until_us": state.until_us,
                    "findings": state.findings,
                    "explained": [str(market) for market in led[:_NAMED_MAX]],
                    "explained_more": max(0, len(led) - _NAMED_MAX),
                }
            )
        return found


def _mass_news(change: MassChange) -> News:
    key, exchange = f"mass:{change.exchange}", change.exchange
    if not change.is_on:
        return News(key, f"no more masses of quarantines on {exchange}", "", Level.NORMAL)
    body = (
        f"{change.held} quarantines of its {change.markets} markets began within 10 min.\n"
        "Suspect the exchange's data, or the market as a whole, before any single coin: guard exchanges ls, guard status.\n"
        "Nothing is released by this; each stays held on its own evidence until it is calm."
    )
    return News(key, f"many markets of {exchange} are held at once", body, Level.DANGER)


def _percent(ratio: float) -> str:
    return f"{100 * ratio:+.1f} %"
