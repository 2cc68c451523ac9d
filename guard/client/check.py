"""The question a bot asks before each order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from guard.client.answer import Answer, Question, answer, intent_of, policy_of
from guard.client.bypass import Bypass, read_bypass
from guard.client.clock import MACHINE, Clocks
from guard.client.layout import HEADER_BYTES, Word
from guard.client.places import locate
from guard.client.reports import Reports
from guard.client.snapshot import Sight, SnapshotFollower
from guard.errors import NotRunning
from guard.model.clearance import Clearance, Intent, Mode
from guard.model.market import Market

if TYPE_CHECKING:
    import os

__all__ = ["Guard"]

# How long an answer is given without asking whether the file still has its bytes, and without reading the bypass.
_TRUST_NS = 1_000_000
_BYPASS_NS = 250_000_000
_ANSWERS_MAX = 65_536
_GENERATION = int(Word.GENERATION)
_HEARTBEAT = int(Word.HEARTBEAT)
_AGE = Clearance._fields.index("age_ms")
_make = partial(tuple.__new__, Clearance)
_Key = tuple[str, str, str | None, str | None]


class _Window(NamedTuple):
    """A moment in which finished answers are given while the generation stands: a millisecond, within guard's lease."""

    until_ns: int
    words: memoryview
    generation: int
    given: dict[_Key, Clearance]
    proof_ns: int
    ready: _Ready | None


class _Ready:
    """The answers of one generation, under one bypass: replaced as a whole, so that none outlives what it was built from."""

    __slots__ = ("answers", "bypass", "generation", "is_foreign", "lease_ns", "mapping")

    def __init__(self, sight: Sight, bypass: Bypass | None) -> None:
        self.mapping = sight.mapping
        self.generation = sight.generation
        self.lease_ns = sight.lease_ns if sight.is_fresh else -1
        self.is_foreign = sight.is_foreign
        self.bypass = bypass
        self.answers: dict[_Key, Answer] = {}

    def fits(self, other: _Ready) -> bool:
        """Whether both were built from the same."""
        return (
            self.mapping is other.mapping
            and self.generation == other.generation
            and self.lease_ns == other.lease_ns
            and self.is_foreign == other.is_foreign
            and self.bypass == other.bypass
        )

    def window(self, now_ns: int, proof_ns: int) -> _Window:
        """Open a window, where guard proved to live at `proof_ns`."""
        assert self.mapping is not None
        until_ns = min(now_ns + _TRUST_NS, proof_ns + self.lease_ns + 1)
        return _Window(until_ns, self.mapping.words, self.generation, {}, proof_ns, self)

    def renew(self, now_ns: int) -> _Window | None:
        """Look at the live file again: another window, or None where more than the heartbeat may have changed."""
        mapping = self.mapping
        if mapping is None or self.is_foreign or not mapping.is_whole:
            return None
        proof_ns = mapping.words[_HEARTBEAT]
        if mapping.words[_GENERATION] != self.generation or not 0 <= now_ns - proof_ns <= self.lease_ns:
            return None
        return self.window(now_ns, proof_ns)


_CLOSED = _Window(0, memoryview(bytes(HEADER_BYTES)).cast("Q"), 0, {}, 0, None)


def _give(window: _Window, key: _Key, known: Answer, now_ns: int) -> Clearance:
    clearance = known.clearance
    given = _make((*clearance[:_AGE], (now_ns - window.proof_ns) / 1e6, clearance[_AGE + 1]))
    if known.expires_ns > window.until_ns and len(window.given) < _ANSWERS_MAX:
        window.given[key] = given
    return given


class Guard:
    """Ask guard whether an order may go out.

    Parameters
    ----------
    path
        State folder or snapshot file of the guard. None: the environment's ``GUARD_STATE``, else ``.guard`` beside the nearest
        ``guard.yaml`` from the working folder upwards, else ``./.guard``.
    bot
        Name of this bot in guard.yaml, for its own ``on_unknown`` policy. None takes the policy of all.
    strict
        Raise instead of answering by policy: NotRunning where guard is silent and the policy refuses, ValueError for an unknown
        intent. Off by default: an exception in the order path approves the order in some bots and stops the exit in others.
    clocks
        The machine's clocks; tests give their own.

    Notes
    -----
    `check` reads memory that a running guard writes: no network, no waiting, half a microsecond. Asyncio needs nothing special,
    call it like any function. Threads may share one Guard, and a fork may inherit it. Without a guard it answers at once, too:
    unexpired blocks stay blocked, all else is unknown, and `problem` says what to mend.

    Examples
    --------
    >>> clearance = Guard("/nowhere/.guard").check("binance", "PEPE/USDT", side="buy")
    >>> clearance.permitted, clearance.reason
    (False, 'guard_silent')
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        bot: str | None = None,
        *,
        strict: bool = False,
        clocks: Clocks = MACHINE,
    ) -> None:
        self.places = locate(path)
        self._bot = bot
        self._strict = strict
        self._clocks = clocks
        self._boot_ns = clocks.boot_ns
        self._follower = SnapshotFollower(self.places.snapshot, clocks)
        self._bypass_due_ns = 0
        self._bypass: Bypass | None = None
        self._bypass_problem: str | None = None
        self._fault: str | None = None
        self._reports = Reports(self.places.snapshot, bot)
        self._window = _CLOSED
        self._ready = _Ready(self._follower.look(), None)

    def check(self, exchange: str, symbol: str, side: str | None = None, intent: str | None = None) -> Clearance:
        """Return what guard says of one order.

        Parameters
        ----------
        exchange, symbol
            The market: exchange as named in guard.yaml, symbol in ccxt's unified form.
        side
            ``buy`` or ``sell``.
        intent
            ``open``, ``increase``, ``reduce``, ``close`` or ``hedge``; the last three are always permitted. None: selling spot
            closes, everything else opens. A word that is none of them counts as ``open``.

        Returns
        -------
        Clearance
            Act on `permitted` (and on `max_fraction`, which is below 1.0 while a market is on probation).
        """
        until_ns, words, generation, given, _, _ = self._window
        if self._boot_ns() < until_ns and words[2] == generation:
            try:
                return given[exchange, symbol, side, intent]
            except (KeyError, TypeError):
                pass
        return self._ask(exchange, symbol, side, intent)

    @property
    def problem(self) -> str | None:
        """What keeps guard from answering, and how to mend it, in one sentence; None where all is well."""
        return self._look()[0].problem or self._fault or self._bypass_problem

    @property
    def mode(self) -> Mode | None:
        """The ceiling of guard.yaml as last published; None where nothing was ever read."""
        snapshot = self._look()[0].snapshot
        return None if snapshot is None else snapshot.mode

    @property
    def exchanges(self) -> frozenset[str]:
        """The names of the exchanges that guard watches, as last published."""
        snapshot = self._look()[0].snapshot
        if snapshot is None:
            return frozenset()
        return frozenset(market.partition(":")[0] for market in snapshot.markets) | frozenset(snapshot.unreached)

    @property
    def bypass(self) -> Bypass | None:
        """The bypass in force, None where there is none."""
        self._look()
        return self._bypass

    def _ask(self, exchange: str, symbol: str, side: str | None, intent: str | None) -> Clearance:
        try:
            return self._renewed(exchange, symbol, side, intent) or self._answer(exchange, symbol, side, intent)
        except NotRunning:
            raise
        except Exception as error:
            if self._strict:
                raise
            # Nothing may reach a bot's order path: some bots take an exception for a yes. `problem` tells.
            self._fault = f"guard's client failed on {exchange!r}, {symbol!r}, {side!r}, {intent!r}: {error!r}"
            return self._blind(symbol, side, intent)

    def _renewed(self, exchange: str, symbol: str, side: str | None, intent: str | None) -> Clearance | None:
        window = self._window
        ready = window.ready
        now_ns = self._boot_ns()
        if ready is None:
            return None
        if now_ns >= window.until_ns or window.words[_GENERATION] != window.generation:
            renewed = ready.renew(now_ns) if now_ns < self._bypass_due_ns else None
            if renewed is None:
                return None
            self._window = window = renewed
        key = (exchange, symbol, side, intent)
        known = ready.answers.get(key)
        if known is None or now_ns >= known.expires_ns:
            return None
        return _give(window, key, known, now_ns)

    def _look(self) -> tuple[Sight, _Ready]:
        now_ns = self._boot_ns()
        if now_ns >= self._bypass_due_ns:
            self._bypass_due_ns = now_ns + _BYPASS_NS
            self._bypass, self._bypass_problem = read_bypass(self.places.bypass, self._clocks)
        sight = self._follower.look()
        ready = _Ready(sight, self._bypass)
        if ready.fits(self._ready):
            ready = self._ready
        self._ready = ready
        proof_ns = sight.proof_ns if sight.is_fresh else None
        self._window = _CLOSED if proof_ns is None else ready.window(sight.now_ns, proof_ns)
        return sight, ready

    def _answer(self, exchange: str, symbol: str, side: str | None, intent: str | None) -> Clearance:
        sight, ready = self._look()
        self._reports.asked(exchange, symbol, sight.now_ns)
        snapshot, bypass = sight.snapshot, ready.bypass
        question = Question(
            market=Market(exchange, symbol),
            intent=self._intent(symbol, side, intent),
            now_ns=sight.now_ns,
            wall_us=self._clocks.wall_us(),
            is_fresh=sight.is_fresh,
            compares_clocks=snapshot is not None and not sight.is_foreign and snapshot.boot_id == self._clocks.boot_id,
            policy=policy_of(snapshot, self._bot),
            bypass_end_ns=0 if bypass is None else bypass.end_ns(self._clocks),
        )
        found = answer(snapshot, question)
        if sight.is_fresh and len(ready.answers) < _ANSWERS_MAX:
            ready.answers[exchange, symbol, side, intent] = found
        clearance = found.clearance._replace(age_ms=sight.age_ms)
        if self._strict and clearance.reason == "guard_silent" and not clearance.permitted:
            raise NotRunning(sight.problem or "guard is silent")
        return clearance

    def _intent(self, symbol: str, side: str | None, intent: str | None) -> Intent:
        try:
            return intent_of(symbol, side, intent)
        except ValueError:
            if self._strict:
                raise
            self._fault = f"intent {intent!r} counts as open; allowed are {', '.join(Intent)}"
            return Intent.OPEN

    def _blind(self, symbol: str, side: str | None, intent: str | None) -> Clearance:
        try:
            known = intent_of(symbol, side, intent)
        except (ValueError, TypeError, AttributeError):
            known = Intent.OPEN
        question = Question(Market("", ""), known, 0, 0, is_fresh=False, compares_clocks=False, policy=policy_of(None, None))
        clearance = answer(None, question).clearance
        snapshot = self._follower.look().snapshot
        is_binding = snapshot is None or snapshot.mode is Mode.ENFORCE
        return clearance if is_binding and self._bypass is None else clearance._replace(permitted=True)
