"""From verdicts and quarantines to messages: who is told, once, and what waits for the digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guard.alerts.desk import Desk, Subject, episode_id
from guard.alerts.display import display
from guard.alerts.incident import Bounded, SystemNotice, Told, Zone, concerns
from guard.alerts.templates import Messages, about_quarantine, about_risk, about_verdict
from guard.model import IsolationState, Level, RuleMode, Target, TargetKind, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from guard.alerts.policy import AlertPolicy
    from guard.alerts.templates import Message
    from guard.model import Delivery, Market, Quarantine, Verdict

__all__ = ["AlertManager"]

_MEMORY = 4096
_ZONES = 1000
_ACTIVE_MAX = 20_000
_ZONE_SHOWN = 10
_ZONE_MARKETS_MAX = 10_000
_TITLE_KEPT = 100
_LINES_MAX = 20


class AlertManager:
    """Decide what people are told. Pure: time comes with the events.

    Parameters
    ----------
    policy
        Channels, their levels and limits, the ceiling.
    messages
        The templates; the default ones where None.

    Attributes
    ----------
    next_deadline_us
        When `advance` has something to do, None while nothing waits. Asked for each batch, so it is kept, not searched.

    Notes
    -----
    A transition into quarantine is pushed to the channels of its level (danger at least); its ends go to those that got it.
    Openings of one zone in one step are one message; later ones of the zone wait a minute and come as one; when the last of them
    is free again, one message says so. A verdict without a block is pushed once an episode to the channels that list its level, and
    again only when its level rises. Rules in shadow never alert, nor does a rule at a level where it does not list `alert`.
    What is not pushed at once is in the daily digest at 00:00 UTC of event time. After `daily_max` pushes a channel gets one
    summary and then nothing before the digest.

    A delivery's id is a hash of alert, kind and channel: replaying the same events makes the same deliveries. `counts` accounts
    for every event and channel: sent, digested, waiting or suppressed with a reason.

    Examples
    --------
    >>> from guard.alerts.policy import AlertPolicy, ChannelPolicy
    >>> manager = AlertManager(AlertPolicy((ChannelPolicy("slack"),)))
    >>> [sent.title for sent in manager.system("feed:okx", "no data from okx", "since 12:00", Level.DANGER, at_us=5)]
    ['[DANGER] guard: no data from okx']
    >>> manager.system("feed:okx", "no data from okx", "since 12:00", Level.DANGER, at_us=6)
    ()
    """

    def __init__(self, policy: AlertPolicy, messages: Messages | None = None) -> None:
        self.policy = policy
        self._messages = messages or Messages()
        self._desk = Desk(policy, self._messages)
        self._told = Told(_MEMORY)
        self._zones: Bounded[str, Zone] = Bounded(_ZONES)
        self._system: Bounded[str, SystemNotice] = Bounded(_ZONES)
        self._risks: Bounded[str, dict[str, Any]] = Bounded(_MEMORY)
        self._active: Bounded[str, tuple[Target, str]] = Bounded(_ACTIVE_MAX)
        self._pushed: Bounded[str, tuple[int, Level]] = Bounded(_MEMORY)
        self.next_deadline_us: int | None = None

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Where the events of each channel went; see `Tally`."""
        return self._desk.tally.counts()

    def process(
        self,
        *,
        verdicts: Sequence[Verdict],
        transitions: Sequence[Transition],
        at_us: int,
        is_led: Callable[[Verdict], bool] | None = None,
    ) -> tuple[Delivery, ...]:
        """Return what is to be sent because of one step. Deadlines up to `at_us` fire first.

        `is_led` tells which verdicts the move of a whole exchange explains, while there is one: it is told of instead.
        """
        sent = list(self.advance(at_us))
        self._desk.turn(at_us)
        self._desk.tally.arrive(len(verdicts) + len(transitions))
        for verdict in verdicts:
            self._risks[_key(verdict.rule, verdict.market)] = {"episode": episode_id(verdict), **about_risk(verdict)}
        openings = [each for each in transitions if _is_opening(each)]
        sent += self._open(openings, at_us)
        for transition in transitions:
            self._note(transition)
            if not _is_opening(transition):
                sent += self._end(transition, at_us)
        covered = {_key(each.quarantine.hold.rule, each.quarantine.hold.market) for each in openings}
        for verdict in verdicts:
            if _key(verdict.rule, verdict.market) in covered:
                self._desk.tally.count_all("suppressed:covered")
            elif is_led is not None and verdict.level > verdict.previous and is_led(verdict):
                self._desk.tally.count_all("suppressed:market_wide")
            else:
                sent += self._judge(verdict, at_us)
        sent += self._desk.summaries(at_us)
        self._find_due()
        return tuple(sent)

    def advance(self, now_us: int) -> tuple[Delivery, ...]:
        """Return what waited for `now_us` or an earlier moment, each as of its own due time."""
        sent: list[Delivery] = []
        while (due_us := self.next_deadline_us) is not None and due_us <= now_us:
            zones = [(name, zone) for name, zone in self._zones.items() if zone.due_us == due_us]
            for name, zone in zones:
                sent += self._flush(name, zone, due_us)
            sent += self._desk.summaries(due_us) if zones else self._desk.digests(due_us)
            self._find_due()
        return tuple(sent)

    def system(self, key: str, title: str, body: str, level: Level, at_us: int) -> tuple[Delivery, ...]:
        """Return the messages about one of guard's own troubles: one for each `key` until its level or title changes.

        Level NORMAL says that the trouble is over; it goes to the channels that were told of it. Under observe it is pushed too.
        `body` may have 20 lines; what an exchange said belongs into one of them, without its line breaks.
        """
        sent = list(self.advance(at_us))
        title = display(title, limit=_TITLE_KEPT)
        self._desk.turn(at_us)
        self._desk.tally.arrive()
        last = self._system.get(key)
        is_over = level is Level.NORMAL
        if (is_over and last is None) or (last is not None and (last.level, last.title) == (level, title)):
            self._desk.tally.count_all("suppressed:repeat")
            return tuple(sent)
        sent += self._news(key, title, body, level, at_us)
        self._find_due()
        return tuple(sent)

    def report(
        self, names: Collection[str], facts: Mapping[str, Any], *, due_us: int, at_us: int, ttl_us: int
    ) -> tuple[Delivery, ...]:
        """Return the digest of a report for each channel of `names`, the same ones whenever it is made for `due_us`.

        It changes nothing of what decides who is told of markets. `facts` are what its template needs.
        """
        return tuple(self._desk.reports(names, facts, due_us=due_us, at_us=at_us, ttl_us=ttl_us))

    def _news(self, key: str, title: str, body: str, level: Level, at_us: int) -> list[Delivery]:
        last, is_over = self._system.get(key), level is Level.NORMAL
        subject = Subject(f"system:{key}", "system", f"{int(level)}:{title}:{at_us}", level)
        before = last.channels if last is not None else frozenset()
        mine = self._desk.push(
            before if is_over else self.policy.routed(level),
            subject,
            lambda: self._messages.render("system", level=str(level), title=title, lines=body.split("\n")[:_LINES_MAX]),
            at_us,
        )
        if is_over:
            del self._system[key]
        else:
            self._system[key] = SystemNotice(level, title, before | {each.channel for each in mine})
        return [*mine, *self._desk.summaries(at_us)]

    def restore(self, recent_deliveries: Iterable[Delivery], quarantines: Iterable[Quarantine] = ()) -> None:
        """Remember from the ledger what was told in the last day and what is still held, after a start without saved state."""
        once = {each.id: each for each in recent_deliveries}
        for told in sorted(once.values(), key=lambda each: (each.created_us, each.id)):
            if told.channel not in self._desk.books:
                continue
            self._desk.restore(told)
            if told.kind in {"quarantine", "verdict"}:
                self._told.note(told.alert_id, told.channel, told.level)
                self._pushed[f"{told.rule}|{told.market}|{told.channel}"] = (told.created_us, told.level)
            elif told.kind == "system":
                self._restore_system(told)
        for quarantine in quarantines:
            if quarantine.state is IsolationState.NORMAL:
                self._forget_pushed(quarantine)
            else:
                blocked = about_quarantine(_as_found(quarantine), None, mode=self.policy.mode)["blocked"]
                self._active[quarantine.id] = (quarantine.target, blocked)
                if quarantine.hold.zone:
                    self._zones.setdefault(quarantine.hold.zone, Zone()).enter((quarantine.id,))
        self._find_due()

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        return {
            "desk": self._desk.save(),
            "told": self._told.save(),
            "zones": [[name, zone.save()] for name, zone in self._zones.items()],
            "system": [[key, int(each.level), each.title, sorted(each.channels)] for key, each in self._system.items()],
            "risks": [[key, risk] for key, risk in self._risks.items()],
            "active": [[key, target.kind.value, target.name, blocked] for key, (target, blocked) in self._active.items()],
            "pushed": [[key, at_us, int(level)] for key, (at_us, level) in self._pushed.items()],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state that `save` returned. Channels that the policy no longer names are forgotten."""
        self._desk.load(state["desk"])
        self._told.load(state["told"])
        self._zones.refill((name, Zone.loaded(zone)) for name, zone in state["zones"])
        self._system.refill((key, SystemNotice(Level(level), title, frozenset(n))) for key, level, title, n in state["system"])
        self._risks.refill((key, risk) for key, risk in state["risks"])
        self._active.refill((key, (Target(TargetKind(kind), name), blocked)) for key, kind, name, blocked in state["active"])
        self._pushed.refill((key, (at_us, Level(level))) for key, at_us, level in state["pushed"])
        self._find_due()

    def _find_due(self) -> None:
        """Find the next deadline after anything has changed."""
        waiting = [zone.due_us for zone in self._zones.values() if zone.due_us is not None]
        digest = self._desk.digest_due_us
        self.next_deadline_us = min(waiting if digest is None else [*waiting, digest], default=None)

    def _about(self, transition: Transition) -> dict[str, Any]:
        hold = transition.quarantine.hold
        risk = self._risks.get(_key(hold.rule, hold.market)) or {}
        return {"rank": int(hold.level), **about_quarantine(transition, risk, mode=self.policy.mode)}

    def _open(self, openings: Sequence[Transition], at_us: int) -> list[Delivery]:
        """Tell of new quarantines: alone, as one message for a zone, or later together."""
        groups: dict[str, list[Transition]] = {}
        for transition in openings:
            if transition.previous is IsolationState.PROBATION:
                self._leave_zones(transition.quarantine)
            groups.setdefault(transition.quarantine.hold.zone or f"-{transition.quarantine.id}", []).append(transition)
        sent: list[Delivery] = []
        for name, group in groups.items():
            abouts = [self._about(each) for each in group]
            zone = self._zones.get(name)
            if zone is not None:
                zone.wait(abouts, at_us + self.policy.zone_wait_us)
                self._desk.tally.count_all("waiting", len(group))
            else:
                sent += self._tell(name, abouts, at_us)
            if group[0].quarantine.hold.zone:
                zone = zone or Zone()
                self._zones[name] = zone
                zone.enter(each.quarantine.id for each in group[: _ZONE_MARKETS_MAX - len(zone.open)])
        return sent

    def _flush(self, name: str, zone: Zone, due_us: int) -> list[Delivery]:
        """Tell of those that joined a zone later and are still held."""
        self._desk.turn(due_us)
        waiting = zone.take()
        abouts = [about for about in waiting if about["id"] in self._active]
        self._desk.tally.count_all("waiting", -len(waiting))
        self._desk.tally.count_all("suppressed:ended", len(waiting) - len(abouts))
        if not zone.open:
            del self._zones[name]
        return self._tell(name, abouts, due_us, is_more=True) if abouts else []

    def _tell(self, zone: str, abouts: list[dict[str, Any]], at_us: int, *, is_more: bool = False) -> list[Delivery]:
        """Push one message about one or many openings."""
        worst = max(abouts, key=lambda about: (about["rank"], about["score"], about["market"]))
        level = Level(worst["rank"])
        is_one = len(abouts) == 1
        alert_id = worst["id"] if is_one else f"zone:{zone}"
        subject = Subject(alert_id, "quarantine", str(at_us), level, worst["market"], worst["rule"])
        facts = {"zone": zone, "level": str(level), "abouts": abouts, "worst": worst, "shown": _ZONE_SHOWN, "is_more": is_more}
        sent = self._desk.push(
            self.policy.routed(max(level, Level.DANGER)),
            subject,
            lambda: self._messages.render("quarantine", about=worst) if is_one else self._messages.render("zone", **facts),
            at_us,
            count=len(abouts),
        )
        for each in sent:
            self._told.note(subject.alert_id, each.channel, max(level, Level.WARNING))
            for about in abouts:
                if "episode" in about:
                    self._told.note(about["episode"], each.channel, Level(about["rank"]))
                self._pushed[f"{about['rule']}|{about['market']}|{each.channel}"] = (at_us, Level(about["rank"]))
        return sent

    def _end(self, transition: Transition, at_us: int) -> list[Delivery]:
        """Tell of probation and release to those who know of the quarantine; of a zone only when its last market is free."""
        quarantine = transition.quarantine
        if quarantine.state is transition.previous:
            self._desk.tally.count_all("suppressed:extension")
            return []
        about = self._about(transition)
        subject = Subject(
            quarantine.id, "release", f"{quarantine.state}:{at_us}", quarantine.hold.level, about["market"], about["rule"]
        )
        names = self._told.channels(quarantine.id)
        zone_name = quarantine.hold.zone
        zone = self._zones.get(zone_name) if zone_name else None
        if zone is not None and quarantine.state is IsolationState.NORMAL:
            zone.open.discard(quarantine.id)
            if not zone.open and zone.due_us is None:
                del self._zones[zone_name]
                if zone.is_shared:
                    about["summary"] = "free again, the last market of its incident"
                names |= self._told.channels(f"zone:{zone_name}")
        if not names and not self._told.channels(f"zone:{zone_name}"):
            self._desk.tally.count_all("suppressed:not_told")
            return []
        return self._desk.push(names, subject, lambda: self._messages.render("release", about=about), at_us)

    def _leave_zones(self, quarantine: Quarantine) -> None:
        """Let what is held again belong to its new incident alone."""
        for name, zone in tuple(self._zones.items()):
            if name != quarantine.hold.zone and quarantine.id in zone.open:
                zone.open.discard(quarantine.id)
                if not zone.open and zone.due_us is None:
                    del self._zones[name]

    def _note(self, transition: Transition) -> None:
        """Remember what is held now."""
        quarantine = transition.quarantine
        if quarantine.state is IsolationState.NORMAL:
            self._active.pop(quarantine.id, None)
            self._forget_pushed(quarantine)
        else:
            blocked = about_quarantine(transition, None, mode=self.policy.mode)["blocked"]
            self._active[quarantine.id] = (quarantine.target, blocked)

    def _forget_pushed(self, quarantine: Quarantine) -> None:
        """Let a rule alert again that only alerts in the grace of a release, whatever was told before that."""
        if not quarantine.grace_until_us:
            return
        for key, (at_us, _) in tuple(self._pushed.items()):
            rule, market, _ = key.split("|")
            if rule == quarantine.hold.rule and at_us <= quarantine.until_us and concerns(quarantine, market):
                del self._pushed[key]

    def _judge(self, verdict: Verdict, at_us: int) -> list[Delivery]:
        """Tell of a verdict that opened no quarantine."""
        if verdict.mode in {RuleMode.SHADOW, RuleMode.DISABLED} or verdict.level <= verdict.previous:
            place = "cleared" if verdict.mode in {RuleMode.ALERT, RuleMode.ENFORCE} else "shadow"
            self._desk.tally.count_all(f"suppressed:{place}")
            return []
        if not verdict.alert:
            self._desk.tally.count_all("suppressed:no_alert_action")
            return []
        episode, market = episode_id(verdict), verdict.subject
        subject = Subject(episode, "verdict", str(verdict.level), verdict.level, market, verdict.rule)
        names = self.policy.routed(verdict.level) - {
            name
            for name in self._desk.books
            if self._is_repeat(episode, f"{verdict.rule}|{market}|{name}", name, verdict.level, at_us)
        }

        def render() -> Message:
            held = next(
                ((key, blocked) for key, (target, blocked) in self._active.items() if target.covers(verdict.market)), ("", "")
            )
            about = about_verdict(verdict, mode=self.policy.mode, held_by=held[0], blocked=held[1])
            return self._messages.render("verdict", about=about)

        sent = self._desk.push(names, subject, render, at_us)
        for each in sent:
            self._told.note(episode, each.channel, verdict.level)
            self._pushed[f"{verdict.rule}|{market}|{each.channel}"] = (at_us, verdict.level)
        return sent

    def _is_repeat(self, episode: str, key: str, channel: str, level: Level, at_us: int) -> bool:
        """Whether `channel` was told as much of this episode, or of the same rule and market a short while ago."""
        last_us, last = self._pushed.get(key, (0, Level.NORMAL))
        return self._told.level(episode, channel) >= level or (last >= level and at_us - last_us < self.policy.repeat_us)

    def _restore_system(self, told: Delivery) -> None:
        key = told.alert_id.removeprefix("system:")
        if told.level is Level.NORMAL:
            self._system.pop(key, None)
            return
        title = told.title.partition("guard: ")[2]
        last = self._system.get(key)
        channels = {told.channel} | (last.channels if last is not None else set())
        self._system[key] = SystemNotice(told.level, title, frozenset(channels))


def _is_opening(transition: Transition) -> bool:
    return transition.quarantine.state is IsolationState.QUARANTINED and transition.previous is not IsolationState.QUARANTINED


def _key(rule: str, market: Market | None) -> str:
    return f"{rule}|{market}"


def _as_found(quarantine: Quarantine) -> Transition:
    return Transition(quarantine.opened_us, quarantine, quarantine.state, "rule", quarantine.actor, "")
