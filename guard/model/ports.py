"""Every Protocol that joins two floors: what is injected, and what others may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from guard.model.action import ActionEvent
    from guard.model.alert import Delivery
    from guard.model.allow import AllowEntry
    from guard.model.decision import Decision
    from guard.model.market import Market, MarketFacts
    from guard.model.quarantine import Quarantine

__all__ = [
    "Action",
    "Clock",
    "Connector",
    "ConnectorContext",
    "ConnectorHealth",
    "LedgerState",
    "Notifier",
    "Outcome",
    "Probe",
    "Random",
    "Sink",
    "Store",
]


class Clock(Protocol):
    """The machine's clocks."""

    def now_us(self) -> int:
        """Return wall time, microseconds since 1970."""
        ...

    def monotonic_us(self) -> int:
        """Return microseconds of a clock that never jumps and counts suspended time."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Random(Protocol):
    """A seeded source of chance, for back-off and jitter."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...


class Sink(Protocol):
    """Where a connector puts its rows; the columns are described at `guard.model.batch.Kind`.

    A sink may have more, as guard's own does (`guard.runtime.inlet.Inlet`): `put` takes a row by place, a fifth cheaper, `levels` a
    book message of several rows as a whole. Ask for them with `getattr` where there are thousands of rows a second.
    """

    def append(
        self,
        kind: int,
        market: int,
        *,
        at_us: int,
        received_us: int,
        price: float = 0.0,
        amount: float = 0.0,
        side: int = 0,
        key: int = 0,
        flags: int = 0,
    ) -> None:
        """Take one row. Never blocks and never fails; a full batch is flushed at once."""
        ...


class ConnectorContext(NamedTuple):
    """What a connector is given: its name in guard.yaml, its options, the clock, chance and a place for its caches.

    `report` tells people about something that a connector lives with (a parked symbol, a degraded tap): it is shown and counted.
    """

    name: str
    options: Mapping[str, Any]
    streams: frozenset[str]
    clock: Clock
    random: Random
    cache_folder: str
    report: Callable[[str], None]


class ConnectorHealth(NamedTuple):
    """How a connector fares.

    `received` counts rows handed over, `rejected` those the gate refused by reason, `reconnects` and `gaps` count; `gap_seconds`
    sums the holes; `connections` maps each socket to ``live``, ``connecting`` or ``lost``; `notes` are lines for a person.
    """

    received: int
    rejected: Mapping[str, int]
    bad_frames: int
    reconnects: int
    gaps: int
    gap_seconds: float
    connections: Mapping[str, str]
    last_event_us: int | None
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] | None = None


class Probe(NamedTuple):
    """One thing that was tried: what, whether it went well, what was found, and what to do where it did not."""

    what: str
    is_well: bool
    found: str
    mend: str = ""


class Connector(Protocol):
    """One source of markets and events: a live exchange or the embedded one. Built from a `ConnectorContext`."""

    async def open(self) -> Sequence[MarketFacts]:
        """Connect and return every market on offer. Raises Disconnected or ConfigurationError."""
        ...

    async def markets(self) -> Sequence[MarketFacts]:
        """Return every market on offer as it is known now, asked for once a minute while `stream` runs.

        Answers from what it has (turnover, new listings, special treatment); asks the exchange as rarely as its limits need. Raises
        Unavailable.
        """
        ...

    async def history(self, market: Market, row: int, sink: Sink, *, since_us: int) -> None:
        """Put what happened between `since_us` and now into `sink`, oldest first, as BACKFILL rows. Raises Unavailable."""
        ...

    async def stream(self, markets: Mapping[Market, int], sink: Sink) -> None:
        """Subscribe to `markets` (with their row numbers) and deliver until cancelled; reconnects by itself."""
        ...

    def follow(self, markets: Mapping[Market, int]) -> None:
        """From now on stream these markets, with their rows: new ones are subscribed, trades first, missing ones are let go.

        A market let go ends with STATUS LOST on each of its streams; one that comes with another row is let go and subscribed.
        Takes effect while `stream` runs, which began with markets of its own. Never blocks.
        """
        ...

    def resync(self, market: Market) -> None:
        """Show the whole book of `market`, which streams, as a message with SNAPSHOT: at once, or as soon as it can be had.

        Asked where guard dropped rows of that book; until then it is unknown. Never blocks; a market without a book is ignored.
        """
        ...

    async def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        ...

    def health(self) -> ConnectorHealth:
        """Return the counters as they stand."""
        ...


class Outcome(NamedTuple):
    """How an attempt to deliver ended. `retry_after_s` is what the other side asked for.

    `is_final`: another attempt would end the same, so there is none. `output` is what a delivered action answered, a short text.
    """

    is_delivered: bool
    error: str = ""
    retry_after_s: float | None = None
    is_final: bool = False
    output: str = ""


class Notifier(Protocol):
    """Carries one message to one channel."""

    async def send(self, delivery: Delivery) -> Outcome:
        """Try once, within a deadline; never raises for a failed delivery."""
        ...


class Action(Protocol):
    """Code of another package that a rule may call, found by the entry point group ``guard.actions``.

    `Parameters` is a frozen pydantic model that refuses unknown keys; a rule's ``args`` are checked against it before guard starts.
    `examples` are args that a rule may give, at least one.
    The class is made anew for each run, with its Parameters. `run` does the work, in a thread of its own, sync or async, and may
    return a short text for the record. It must end by itself: after the rule's timeout a coroutine is cancelled and a thread is
    left alone, and both are tried again. It may run more than once for one event, which then has the same id. An exception is a
    failed attempt.
    """

    Parameters: ClassVar[type[Any]]
    examples: ClassVar[Sequence[Mapping[str, Any]]]

    def __init__(self, parameters: Any) -> None:  # noqa: ANN401 - its own Parameters
        """Take the parameters of one run."""

    def run(self, event: ActionEvent) -> Awaitable[str | None] | str | None:
        """Do it."""
        ...


class LedgerState(NamedTuple):
    """What a store remembers.

    `quarantines` that still matter (active, and ended ones not yet forgotten), deliveries `pending` in the outbox, those of the
    last day, the last sequence number and the epoch of this opening. `allows` are the allow entries that people ordered.
    """

    epoch: int
    seq: int
    quarantines: tuple[Quarantine, ...]
    pending: tuple[Delivery, ...]
    recent_deliveries: tuple[Delivery, ...] = ()
    allows: tuple[AllowEntry, ...] = ()


class Store(Protocol):
    """The truth: transitions, audit and outbox. One contract suite runs over all implementations."""

    async def open(self) -> LedgerState:
        """Take the ledger, with a new epoch, and return what it remembers. Raises StateError."""
        ...

    async def close(self) -> None:
        """Let go of it. Safe to call twice."""
        ...

    async def commit(self, decisions: Sequence[Decision], *, epoch: int) -> int:
        """Write transitions, audit and outbox rows of `decisions` as one transaction and return the new sequence number.

        Raises StateError where `epoch` is no longer the newest. Nothing is written when it raises.
        """
        ...

    async def load(self) -> LedgerState:
        """Return what it remembers, without a new epoch."""
        ...

    async def changes(self, since: int) -> Sequence[tuple[int, Mapping[str, Any]]]:
        """Return the audit rows with a sequence number above `since`, oldest first."""
        ...

    async def audit(self, *, target: str | None = None, limit: int = 100) -> Sequence[Mapping[str, Any]]:
        """Return the newest audit rows, of one target if given."""
        ...

    async def due(self, channel: str, *, now_us: int) -> Delivery | None:
        """Return the oldest pending delivery of `channel` whose time has come."""
        ...

    async def settle(self, delivery: Delivery) -> None:
        """Record how an attempt ended: `delivery` with its new state, attempts, due time and error."""
        ...

    async def outbox(self) -> Mapping[str, Mapping[str, int]]:
        """Return counts of deliveries by channel and state."""
        ...

    async def actions(self, *, limit: int = 20) -> Sequence[Delivery]:
        """Return the newest webhooks and calls, newest first, whatever became of them."""
        ...
