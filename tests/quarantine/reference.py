"""A quarantine by the letter of the rules, one minute at a time: slow, small, and written without looking at guard's."""

from __future__ import annotations

from dataclasses import dataclass

NORMAL, QUARANTINED, PROBATION = "normal", "quarantined", "probation"
# After its longest time nobody has seen it calm: it is let go in two steps, whatever the rule says.
UNCALM_MIN = 30


@dataclass
class Ask:
    """What a rule asks for; minutes."""

    for_min: int
    max_min: int
    release_min: int | None
    probation_min: int
    factor: int = 2
    forget_min: int = 300


class Reference:
    """One rule on one target."""

    def __init__(self) -> None:
        self.state = NORMAL
        self.now = 0
        self.told: list[tuple[int, str]] = []
        self.ask: Ask | None = None
        self.began = self.floor = self.leaves = self.held = self.repetition = self.grace = 0
        self.word: bool | None = None
        self.ended: int | None = None

    def go(self, now: int) -> None:
        while self.now < now:
            if self.state == QUARANTINED and self.word and self.now >= self.floor:
                self.held += 1
            self.now += 1
            self.look()

    def look(self) -> None:
        if self.state == PROBATION and self.now >= self.leaves:
            self.become(NORMAL)
        if self.state != QUARANTINED:
            return
        release = self.ask.release_min
        is_over = self.now >= self.floor if release is None else self.word and self.now >= self.floor and self.held >= release
        if is_over or self.now >= self.began + self.ask.max_min:
            probation = self.ask.probation_min or (0 if is_over else UNCALM_MIN)
            self.leaves = self.now + probation
            self.become(PROBATION if probation else NORMAL)

    def become(self, state: str) -> None:
        self.state = state
        self.told.append((self.now, state))
        if state == NORMAL:
            self.ended = self.now

    def offend(self, ask: Ask) -> None:
        if self.now < self.grace:
            return
        self.held = 0
        if self.state == QUARANTINED:
            self.ask.for_min = max(self.ask.for_min, ask.for_min)
            self.ask.max_min = max(self.ask.max_min, ask.max_min)
            return
        if self.state == PROBATION:
            self.repetition += 1
            ask = Ask(max(ask.for_min, self.ask.for_min), max(ask.max_min, self.ask.max_min), ask.release_min, ask.probation_min)
        else:
            is_repeated = self.ended is not None and self.now - self.ended < ask.forget_min
            self.repetition = self.repetition + 1 if is_repeated else 0
            self.word = None
            ask = Ask(ask.for_min, ask.max_min, ask.release_min, ask.probation_min)
        self.ask = ask
        self.began = self.now
        self.floor = self.now + min(ask.for_min * ask.factor**self.repetition, ask.max_min)
        self.become(QUARANTINED)

    def hear(self, word: bool | None) -> None:  # noqa: FBT001 a word, not a switch
        self.word = word
        if word is False:
            self.held = 0

    def release(self, grace: int) -> None:
        self.become(NORMAL)
        self.grace = self.now + grace

    def restart(self) -> None:
        self.word, self.held = None, 0
