"""Quarantines by the letter of the rules, one step of 10 seconds at a time: slow, small, written without looking at guard's."""

from __future__ import annotations

from dataclasses import dataclass, replace

NORMAL, QUARANTINED, PROBATION = "normal", "quarantined", "probation"
# After its longest time nobody has seen it calm: it is let go in two steps, whatever the rule says.
UNCALM = 180
# What calm let go and what comes back within 10 minutes stays for a minute at least.
RETURN, DWELL = 60, 6


@dataclass
class Ask:
    """What a rule asks for, in steps."""

    least: int
    longest: int
    release: int | None
    probation: int
    factor: int = 2
    forget: int = 300


class Reference:
    """One rule on one target."""

    def __init__(self) -> None:
        self.state = NORMAL
        self.now = 0
        self.told: list[tuple[int, str]] = []
        self.ask = Ask(0, 0, None, 0)
        self.floor = self.last = self.leaves = self.held = self.repetition = self.grace = 0
        self.speaker = ""
        self.words: dict[str, bool | None] = {}
        self.ended: int | None = None

    @property
    def is_calm(self) -> bool:
        return bool(self.words) and all(word is True for word in self.words.values())

    def go(self, now: int) -> None:
        while self.now < now:
            if self.state == QUARANTINED and self.is_calm and self.now >= self.floor:
                self.held += 1
            self.now += 1
            self.look()

    def look(self) -> None:
        if self.state == PROBATION and self.now >= self.leaves:
            self.become(NORMAL)
        if self.state != QUARANTINED:
            return
        release = self.ask.release
        is_over = self.now >= self.floor and (release is None or (self.is_calm and self.held >= release))
        if is_over or self.now >= self.last:
            probation = self.ask.probation or (0 if is_over else UNCALM)
            self.leaves = self.now + probation
            self.become(PROBATION if probation else NORMAL)

    def become(self, state: str) -> None:
        self.state = state
        self.told.append((self.now, state))
        if state == NORMAL:
            self.ended = self.now

    def offend(self, ask: Ask, market: str) -> None:
        if self.now < self.grace:
            return
        self.held = 0
        if self.state == QUARANTINED:
            self.words.setdefault(market, None)
            self.ask.least = max(self.ask.least, ask.least)
            self.last += max(0, ask.longest - self.ask.longest)
            self.ask.longest = max(self.ask.longest, ask.longest)
            return
        dwell = DWELL if ask.release is not None else 0
        if self.state == PROBATION:
            self.repetition += 1
            self.words.setdefault(market, None)
            ask = replace(ask, least=max(ask.least, self.ask.least), longest=max(ask.longest, self.ask.longest))
        else:
            self.repetition = self.repetition + 1 if self.ended is not None and self.now - self.ended < ask.forget else 0
            dwell = dwell if self.ended is not None and self.now - self.ended < RETURN else 0
            self.words = {market: None}
            ask = replace(ask)
        self.ask, self.speaker = ask, market
        length = max(min(ask.least * ask.factor**self.repetition, ask.longest), dwell)
        ask.longest = max(ask.longest, length)
        self.floor, self.last = self.now + length, self.now + ask.longest
        self.become(QUARANTINED)

    def order(self, length: int) -> bool:
        """Hold because a person says so; False where that would not be longer."""
        end = self.now + length
        if self.state == QUARANTINED:
            if end <= self.last:
                return False
            self.floor = self.last = end
            return True
        self.ask = Ask(length, length, None, 0)
        self.floor = self.last = end
        self.words = {}
        self.become(QUARANTINED)
        return True

    def extend(self, length: int) -> None:
        end = self.now + length
        if self.state == PROBATION:
            self.leaves = end
            return
        self.held = 0
        self.ask.longest += max(0, end - self.last)
        self.floor, self.last = end, max(self.last, end)

    def hear(self, market: str, word: bool | None) -> None:  # noqa: FBT001 a word, not a switch
        if self.state == NORMAL or market not in self.words:
            return
        self.words[market] = word
        if word is False:
            self.held = 0

    def release(self, grace: int) -> None:
        self.become(NORMAL)
        self.grace = self.now + grace

    def restart(self) -> None:
        self.words, self.held = ({self.speaker: None} if self.speaker else {}), 0


@dataclass(frozen=True)
class Allowed:
    """An allow entry: a target, the rules it overrides (none: all), and its end."""

    target: str
    rules: tuple[str, ...]
    until: int
