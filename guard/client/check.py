"""The question a bot asks before each order."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from guard import __version__
from guard.client.answer import Answer, Question, answer, intent_of, policy_of, standing_blocks
from guard.client.bypass import Bypass, published_bypass, read_bypass
from guard.client.clock import MACHINE, Clocks
from guard.client.layout import HEADER_BYTES, HOW_TO_REWRITE, Word
from guard.client.places import locate
from guard.client.policies import bot_policy, stray_name
from guard.client.ready import Key, Ready
from guard.client.reports import Reports
from guard.client.snapshot import Sight, SnapshotFollower
from guard.client.watch import Watch, watched
from guard.errors import NotRunning
from guard.model.clearance import Clearance, Intent, Mode
from guard.model.market import Market

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from guard.client.payload import PublishedBlock

__all__ = ["Guard"]

# How long an answer is given without asking whether the file still has its bytes, and without reading the bypass.
_TRUST_NS = 1_000_000
# How long one answer is given with the age that it was made with, and how often the bypass is read.
_RENEW_NS = 250_000_000
_BYPASS_NS = 500_000_000
_ANSWERS_MAX = 65_536
_LOOKS_MAX = 16
_GENERATION = int(Word.GENERATION)
_HEARTBEAT = int(Word.HEARTBEAT)
_AGE = Clearance._fields.index("age_ms")
_AFTER_AGE = _AGE + 1
_make = partial(tuple.__new__, Clearance)
_seek = os.lseek
# Finished answers and how long they are given: until when without a look at anything but the generation, until when that may be
# renewed by a look at the live header, the header, the generation, the answers, and what they were made from. A plain tuple, for
# it is made anew all the time.
_Window = tuple[int, int, memoryview, int, dict[Key, Clearance], "Ready"]


_BLIND = Ready(Sight(None, 0, None, 0, None, 0, is_foreign=False, problem=""), None)
_CLOSED: _Window = (0, 0, memoryview(bytes(HEADER_BYTES)).cast("Q"), 0, {}, _BLIND)


class Guard:
    """Ask guard whether an order may go out.

    Parameters
    ----------
    path
        State folder or snapshot file of the guard. None: the environment's ``GUARD_STATE``, else ``.guard`` beside the nearest
        ``guard.yaml`` from the working folder upwards, else ``./.guard``.
    bot
        Name of this bot under ``bots:`` in guard.yaml, for its own policy. None, and a name that is not there, take that of ``*``.
    strict
        Raise instead of answering by policy: NotRunning where guard is silent and the policy refuses, ValueError for an unknown
        intent. Off by default: an exception in the order path approves the order in some bots and stops the exit in others.
    tells
        Write one line to the log, as the warning of ``logging.getLogger("guard.client")``, where `problem` is not None at the
        start. `check` never writes anything.
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
        tells: bool = True,
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
        self._reports = Reports(self.places.snapshot, bot, __version__)
        self._window = _CLOSED
        self._ready = Ready(self._follower.look(), None)
        self._watches: list[Watch] = []
        if tells and (problem := self.problem) is not None:
            _warn(problem)

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
        until_ns, renewed_ns, words, generation, given, ready = self._window
        now_ns = self._boot_ns()
        try:
            if now_ns < until_ns:
                if words[2] == generation:
                    return given[exchange, symbol, side, intent]
            elif (
                now_ns < renewed_ns
                and _seek(ready.descriptor, 0, 2) >= ready.bytes_min
                and words[2] == generation
                and 0 <= now_ns - words[3] <= ready.lease_ns
            ):
                self._window = (now_ns + _TRUST_NS, renewed_ns, words, generation, given, ready)
                return given[exchange, symbol, side, intent]
        except (KeyError, TypeError, OSError):
            pass
        return self._ask(exchange, symbol, side, intent)

    def blocks(self, exchange: str | None = None) -> tuple[PublishedBlock, ...]:
        """Return what is held now, of every bot: each reason that has not ended, also while guard is silent.

        `exchange` leaves out what holds nothing there; a symbol or a base asset is held on all exchanges.
        """
        sight = self._look()[0]
        if sight.snapshot is None:
            return ()
        question = self._question(sight, self._ready.bypass, Market(exchange or "", ""), Intent.OPEN, None)
        return standing_blocks(sight.snapshot, question, exchange)

    def on_change(self, markets: Iterable[str | Market] | None, callback: Callable[[Market, Clearance], object]) -> Watch:
        """Call `callback` with a market and its clearance for opening whenever that changes, within 50 ms.

        For bots that must pull quotes: it is called, too, when guard falls silent and when a block ends by itself. At the start it
        is called for each market that is not plainly permitted.

        Parameters
        ----------
        markets
            As ``exchange:SYMBOL``, at most 10,000; None: all that guard watches or held at a time.
        callback
            In asyncio it is called in the running event loop, and awaited where it returns something to await; elsewhere in a
            thread of its own. What it raises is counted in `Watch.failures` and ends nothing. While it runs, changes are coalesced:
            the next call has the newest state.

        Returns
        -------
        Watch
            Its `close` ends it. It ends with a fork: call this again in the child.
        """
        watch = Watch(self, markets, callback)
        self._watches = [each for each in self._watches if each.is_alive] + [watch]
        watch.start()
        return watch

    async def wait_change(
        self, markets: Iterable[str | Market] | None = None, *, timeout_s: float | None = None
    ) -> tuple[tuple[Market, Clearance], ...]:
        """Wait until the clearance of one of `markets` changes and return all that changed; empty after `timeout_s`."""
        changes = watched(self, markets, timeout_s=timeout_s, tells_first=False)
        try:
            async for found in changes:
                return found
            return ()
        finally:
            await changes.aclose()

    def changes(self, markets: Iterable[str | Market] | None = None) -> AsyncIterator[tuple[tuple[Market, Clearance], ...]]:
        """Iterate over changes for ever, ``async for changed in guard.changes([...])``; begins like `on_change`."""
        return watched(self, markets, timeout_s=None, tells_first=True)

    @property
    def problem(self) -> str | None:
        """What keeps guard from answering, and how to mend it, in one sentence; None where all is well."""
        sight = self._look()[0]
        stray = None if sight.snapshot is None else stray_name(self._bot, sight.snapshot.bots)
        lost = next((each.problem for each in self._watches if each.problem), None)
        return sight.problem or self._fault or self._bypass_problem or lost or stray

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
        return self._look()[1].bypass

    def report(self, *, bot_kind: str | None = None, positions: Mapping[str, Any] | None = None) -> None:
        """Tell guard what kind of bot this is and what it holds (signed amounts by ``exchange:SYMBOL``).

        Call it from the bot's loop; a datagram goes out at most every ten seconds and is never waited for. Once a bot has given
        its positions, guard tells people when it falls silent.
        """
        self._reports.report(self._boot_ns(), kind=bot_kind, positions=positions)

    def count(self, exchange: str, symbol: str, what: str) -> None:
        """Count what became of an order, for guard's reports: one of `guard.client.reports.COUNTS`. Adapters call it."""
        self._reports.count(exchange, symbol, what, self._boot_ns())

    def goodbye(self) -> None:
        """Tell guard that this bot ends by itself. A process that ends by itself does so without being asked."""
        self._reports.goodbye()

    def _ask(self, exchange: str, symbol: str, side: str | None, intent: str | None) -> Clearance:
        try:
            return self._known(exchange, symbol, side, intent) or self._answer(exchange, symbol, side, intent)
        except NotRunning:
            raise
        except Exception as error:
            if self._strict:
                raise
            # Nothing may reach a bot's order path: some bots take an exception for a yes. `problem` tells.
            self._fault = f"guard's client failed on {exchange!r}, {symbol!r}, {side!r}, {intent!r}: {error!r}"
            return self._blind(symbol, side, intent)

    def _known(self, exchange: str, symbol: str, side: str | None, intent: str | None) -> Clearance | None:
        """Return an answer that was worked out before and still holds; None where more has to be looked at."""
        until_ns, renewed_ns, words, generation, given, ready = self._window
        now_ns = self._boot_ns()
        if now_ns >= self._bypass_due_ns or ready.mapping is None or not ready.mapping.is_whole:
            return None
        proof_ns = words[_HEARTBEAT]
        if words[_GENERATION] != generation or not 0 <= now_ns - proof_ns <= ready.lease_ns:
            return None
        known = ready.answers.get((exchange, symbol, side, intent))
        if known is None or now_ns >= known.expires_ns:
            return None
        if now_ns >= until_ns or now_ns >= renewed_ns:
            self._open_window(ready, words, now_ns, proof_ns)
            _, renewed_ns, _, _, given, _ = self._window
        clearance = known.clearance
        answered: Clearance = _make((*clearance[:_AGE], (now_ns - proof_ns) / 1e6, *clearance[_AFTER_AGE:]))
        if known.expires_ns > renewed_ns + _TRUST_NS and len(given) < _ANSWERS_MAX:
            given[exchange, symbol, side, intent] = answered
        return answered

    def _open_window(self, ready: Ready, words: memoryview, now_ns: int, proof_ns: int) -> None:
        """Begin to give finished answers, for a millisecond at a time, renewed within guard's lease as it is known now."""
        renewed_ns = min(now_ns + _RENEW_NS, proof_ns + ready.lease_ns, self._bypass_due_ns) - _TRUST_NS + 1
        self._window = (min(now_ns + _TRUST_NS, proof_ns + ready.lease_ns + 1), renewed_ns, words, ready.generation, {}, ready)

    def _look(self) -> tuple[Sight, Ready]:
        now_ns = self._boot_ns()
        if now_ns >= self._bypass_due_ns:
            self._bypass_due_ns = now_ns + _BYPASS_NS
            self._bypass, self._bypass_problem = read_bypass(self.places.bypass, self._clocks)
        sight = self._follower.look()
        ready = Ready(sight, self._bypass or published_bypass(sight, self.places.bypass, self._clocks))
        if ready.fits(self._ready):
            ready.answers = self._ready.answers
        self._ready = ready
        proof_ns = sight.proof_ns if sight.is_fresh else None
        if proof_ns is None or ready.lease_ns < 0 or ready.mapping is None:
            self._window = _CLOSED
        else:
            self._open_window(ready, ready.mapping.words, sight.now_ns, proof_ns)
        return sight, ready

    def _answer(self, exchange: str, symbol: str, side: str | None, intent: str | None) -> Clearance:
        market, meant = Market(exchange, symbol), self._intent(symbol, side, intent)
        for attempt in range(_LOOKS_MAX):
            sight, ready = self._look()
            known = ready.answers.get((exchange, symbol, side, intent)) if sight.is_fresh else None
            if known is not None and sight.now_ns < known.expires_ns:
                found = known
                break
            if attempt == 0:
                self._reports.asked(exchange, symbol, sight.now_ns)
            try:
                found = answer(sight.snapshot, self._question(sight, ready.bypass, market, meant, side))
                break
            except ValueError as error:
                # Publications overtook this: the next look sees a newer generation, or the file is damaged.
                problem = f"{self.places.snapshot} is damaged: {error}; {HOW_TO_REWRITE}"
        else:
            self._fault = problem
            # Blocks are known and stand; of all else guard says nothing that can be read.
            sight = sight._replace(problem=problem)
            found = answer(sight.snapshot, self._question(sight, ready.bypass, market, meant, side))
        if sight.is_fresh and found is not known and len(ready.answers) < _ANSWERS_MAX:
            ready.answers[exchange, symbol, side, intent] = found
        clearance = found.clearance._replace(age_ms=sight.age_ms)
        if self._strict and clearance.reason == "guard_silent" and not clearance.permitted:
            raise NotRunning(sight.problem or "guard is silent")
        return clearance

    def _question(self, sight: Sight, bypass: Bypass | None, market: Market, intent: Intent, side: str | None) -> Question:
        snapshot = sight.snapshot
        return Question(
            market=market,
            intent=intent,
            now_ns=sight.now_ns,
            wall_us=self._clocks.wall_us(),
            is_fresh=sight.is_fresh,
            compares_clocks=snapshot is not None and not sight.is_foreign and snapshot.boot_id == self._clocks.boot_id,
            policy=policy_of(snapshot, self._bot),
            bypass_end_ns=0 if bypass is None else bypass.end_ns(self._clocks),
            bot=bot_policy(snapshot, self._bot),
            side=side,
        )

    def _states(self, markets: Iterable[Market]) -> dict[Market, Answer]:
        """Return what is said of each market for opening, all of one look."""
        sight, ready = self._look()
        question = self._question(sight, ready.bypass, Market("", ""), Intent.OPEN, None)
        found: dict[Market, Answer] = {}
        for market in markets:
            try:
                found[market] = answer(sight.snapshot, question._replace(market=market))
            except ValueError:
                # Overtaken or damaged: the ordinary question finds out.
                found[market] = Answer(self._ask(market.exchange, market.symbol, None, "open"), 0)
        return found

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
        return clearance if is_binding and self._ready.bypass is None else clearance._replace(permitted=True)


def _warn(problem: str) -> None:
    import logging  # noqa: PLC0415 - a bot that is well pays nothing for it

    logging.getLogger("guard.client").warning("%s", problem)
