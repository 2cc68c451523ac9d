"""Keeps what guard learnt for the next start, and gives it back: copied in slices, never across a hole in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import structlog

from guard import __version__
from guard.errors import GuardError, StateError
from guard.model import Batch, Channel, Kind, Level, RuleMode, Status
from guard.runtime import checkpoint
from guard.runtime.checkpoint import Entry, Header, Kept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from guard.dsl import Rule
    from guard.engine.episode import Episode
    from guard.engine.watched import Watched
    from guard.features.tables import Leaf
    from guard.model import Market
    from guard.model.ports import Clock
    from guard.pipeline import Pipeline

__all__ = ["Keeper", "KeeperHealth", "Rows", "longest_us"]

_log = structlog.get_logger(__name__)
_FIRST_S, _PERIOD_S = 10.0, 60.0
_SLICE_US = 400
_SECOND_US = 1_000_000
# Behind the hash of a rule: the level of the market's group.
_GROUP = ".group"


@runtime_checkable
class Rows(Protocol):
    """A kernel whose markets can be copied one by one."""

    layout_version: int

    def version(self, row: int) -> int:
        """Return a number that changes whenever anything of the market's row did."""

    def sections(self, row: int) -> list[tuple[str, bytes]]:
        """Return copies of what is known of a market, by names that tell what lies where."""

    def take(self, row: int, sections: Mapping[str, bytes]) -> None:
        """Put `sections` in place of what is known; what is missing, or unknown by its name, starts cold, and all does for ``{}``.

        Raises StateError for a section of the wrong size.
        """


class KeeperHealth(NamedTuple):
    """How keeping fares: what was given back at the start, and what is kept now."""

    restored: int
    restored_age_us: int | None
    refused: str | None
    markets: int
    bytes: int
    written_us: int | None
    failures: int
    pause_max_us: int


def longest_us(leaves: Iterable[Leaf]) -> int:
    """Return the longest duration, microseconds, that `leaves` name; 0 where they name none."""
    durations = (
        int(value) for leaf in leaves for value in leaf.arguments if isinstance(value, int | float) and value >= _SECOND_US
    )
    return max(durations, default=0)


class Keeper:
    """Writes the state of all markets to a file now and then, and warms markets with it after a restart.

    Parameters
    ----------
    pipeline
        Whose markets are kept.
    rows
        Its kernel.
    path
        The file. Beside it lie ``.taken``, while a start has not proved itself yet, and ``.refused``, for a person to look at.
    committed
        Waits until the ledger has all that was decided, and returns whether it has.
    on_warm
        Told of each market that is given what was kept: its row, that, the layout of the rows, and the time.

    Notes
    -----
    Only markets that changed are copied, for at most 0.4 ms (and one market) in a turn of the loop, and packed in a thread. Nothing
    is written before the ledger has all that was decided: a level that only the file knows would never be told again.

    What happened between the copy and now is unknown. So the streams of a warmed market count as lost since the copy: short windows
    are unknown until they are covered again, longer ones lack that time, no baseline is fed with it. Stopwatches stand still over
    it. A level comes back only where the ledger still holds the quarantine that it ordered; without it the rule must fire anew.
    So it is with the level of a group, which is kept with each of its members.
    A market copied longer ago than the longest window of the rules, or in the future, starts cold.

    A file that is damaged or of another layout is refused with a message. So is one whose last start ended within ten seconds:
    what is in it may be what ended it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        rows: Rows,
        path: Path,
        *,
        clock: Clock,
        committed: Callable[[], Awaitable[bool]],
        on_warm: Callable[[int, Entry, int, int], None] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._rows = rows
        self._path = path
        self._taken = path.with_suffix(".taken")
        self._refused = path.with_suffix(".refused")
        self._clock = clock
        self._committed = committed
        self._on_warm = on_warm
        self._entries: dict[str, Entry] = {}
        self._versions: dict[int, tuple[int, dict[str, Any]]] = {}
        self._writing = asyncio.Lock()
        self._is_discarded = False
        self._is_due = True
        self._waiting: set[str] = set()
        self._restored = 0
        self._oldest_us: int | None = None
        self._problem: str | None = None
        self._bytes = 0
        self._written_us: int | None = None
        self._failures = 0
        self._pause_max_us = 0

    @property
    def health(self) -> KeeperHealth:
        """The counters as they stand."""
        return KeeperHealth(
            self._restored,
            self._oldest_us,
            self._problem,
            len(self._entries),
            self._bytes,
            self._written_us,
            self._failures,
            self._pause_max_us,
        )

    def open(self) -> None:
        """Read what the last run kept; whatever is wrong with it is told and means a cold start. It blocks for the disk."""
        try:
            if self._taken.exists():
                self._taken.replace(self._refused)
                if not self._path.exists():
                    self._refuse("the last start ended soon after it took the kept state over; see " + self._refused.name)
                    return
            self._path.replace(self._taken)
            _, self._entries = checkpoint.read(self._taken, layout=self._rows.layout_version)
        except FileNotFoundError:
            return
        except (OSError, StateError) as error:
            self._refuse(str(error))
        self._waiting = set(self._entries)

    def _refuse(self, problem: str) -> None:
        self._problem = problem
        _log.warning("the kept state is not used, baselines start cold", problem=problem)

    def warm(self, row: int) -> bool:
        """Give a market that was just opened what was kept of it; returns whether there was anything of use."""
        watched = self._pipeline.engine.watched[row]
        name = str(watched.facts.market)
        if name not in self._waiting:
            return False
        self._waiting.discard(name)
        return self.give(row, self._entries[name], self._clock.now_us())

    def give(self, row: int, entry: Entry, now_us: int) -> bool:
        """Give a market that was just opened what was kept of it; returns whether there was anything of use at `now_us`."""
        age_us = now_us - entry.copied_us
        if not 0 <= age_us <= self._useful_us():
            return False
        if self._on_warm is not None:
            self._on_warm(row, entry, self._rows.layout_version, now_us)
        watched = self._pipeline.engine.watched[row]
        name = str(watched.facts.market)
        try:
            kept = checkpoint.unpack(entry.body)
            self._rows.take(row, kept.sections)
        except Exception as error:  # noqa: BLE001 - whatever lies in a file must not keep guard from starting
            self._rows.take(row, {})
            self._refuse(f"{name}: {error}")
            return False
        self._tear(row, entry.copied_us)
        for rule, episode in self._episodes(watched):
            group = kept.episodes.get(rule.hash + _GROUP)
            if rule.quorum is not None and group is not None and not self._resume_group(rule, watched.facts.market, group, now_us):
                continue
            if rule.hash in kept.episodes:
                self._resume(rule, episode, watched.facts.market, kept.episodes[rule.hash], entry.copied_us)
            if rule.quorum is not None:
                self._pipeline.engine.groups.of(rule, watched.facts.market).resume_member(row, episode.level)
        self._restored += 1
        self._oldest_us = max(age_us, self._oldest_us or 0)
        return True

    def _tear(self, row: int, copied_us: int) -> None:
        """Mark the streams as lost since the copy, and let what the exchange tells today stand."""
        kernel, facts = self._pipeline.engine.kernel, self._pipeline.engine.watched[row].facts
        at_us, received_us = kernel.last(row)
        at_us += max(0, copied_us - received_us)
        batch = Batch(3)
        batch.append(Kind.STATUS, row, at_us=at_us, received_us=copied_us, side=Channel.ALL, key=Status.LOST)
        for status, value in ((Status.USD_RATE, facts.usd_rate), (Status.VOLUME_24H, facts.volume_24h_usd)):
            if value is not None:
                batch.append(Kind.STATUS, row, at_us=at_us, received_us=copied_us, price=value, side=Channel.ALL, key=status)
        for number in range(len(batch)):
            kernel.apply(batch, number)

    def _resume_group(self, rule: Rule, market: Market, state: Any, now_us: int) -> bool:  # noqa: ANN401 - JSON
        """Give a group its level back; returns whether it may have it."""
        try:
            if _orders_quarantine(rule, Level(state["level"])) and not self._pipeline.isolation.holds(rule.id, market):
                return False
            self._pipeline.engine.groups.of(rule, market).resume(state, now_us)
        except (ValueError, KeyError, TypeError) as error:
            self._refuse(f"{market}: {rule.id}: {error!r}")
            return False
        return True

    def _resume(self, rule: Rule, episode: Episode, market: Market, state: Any, copied_us: int) -> None:  # noqa: ANN401 - JSON
        fresh = episode.save()
        try:
            episode.restore(state)
        except (ValueError, KeyError, TypeError) as error:
            episode.restore(fresh)
            self._refuse(f"{market}: {rule.id}: {error!r}")
            return
        is_alone = rule.quorum is None
        if is_alone and _orders_quarantine(rule, episode.level) and not self._pipeline.isolation.holds(rule.id, market):
            episode.restore(fresh)
            return
        episode.update(copied_us, None, clears=None)

    async def run(self) -> None:
        """Write now and then until cancelled."""
        await self._clock.sleep(_FIRST_S)
        while True:
            await self.keep()
            await self._clock.sleep(_PERIOD_S)

    async def keep(self) -> None:
        """Copy what changed and write the file; a failure is counted and told, and the file before stays."""
        async with self._writing:
            try:
                if await self._copy_changed():
                    self._is_due = True
                if not self._is_due:
                    return
                if not await self._committed() or self._is_discarded:
                    return
                now_us, useful_us = self._clock.now_us(), self._useful_us()
                self._entries = {name: entry for name, entry in self._entries.items() if now_us - entry.copied_us <= useful_us}
                header = Header(self._rows.layout_version, __version__, now_us)
                self._bytes = await asyncio.to_thread(self._write, header, dict(self._entries))
                self._written_us, self._is_due = now_us, False
            except Exception as error:  # noqa: BLE001 - what is kept for later must not stop what protects now
                self._failures += 1
                if self._failures == 1:
                    _log.warning(
                        "what guard learnt is not kept for a restart; further failures are only counted",
                        error=str(error),
                        exc_info=not isinstance(error, OSError | GuardError),
                    )

    def _write(self, header: Header, entries: Mapping[str, Entry]) -> int:
        size = checkpoint.write(self._path, header, entries)
        self._taken.unlink(missing_ok=True)
        return size

    def discard(self) -> None:
        """Put the file aside: what is in it may be what ended guard."""
        self._is_discarded = True
        for path in (self._path, self._taken):
            try:
                path.replace(self._refused)
            except FileNotFoundError:
                continue
            except OSError as error:
                _log.error("the kept state cannot be put aside", path=str(path), error=str(error))

    async def _copy_changed(self) -> int:
        """Copy the markets that changed, and return how many did."""
        changed = 0
        for copies in self._slices():
            bodies = await asyncio.to_thread(_packed, [kept for _, _, kept in copies])
            for (name, copied_us, _), body in zip(copies, bodies, strict=True):
                self._entries[name] = Entry(copied_us, body)
            changed += len(copies)
        return changed

    def _slices(self) -> Iterator[list[tuple[str, int, Kept]]]:
        """Yield copies of markets that changed, as many at once as may be copied in one turn."""
        copies: list[tuple[str, int, Kept]] = []
        began_us = self._clock.monotonic_us()
        for row in range(len(self._pipeline.engine.watched)):
            copy = self._copy(row)
            if copy is not None:
                copies.append(copy)
            paused_us = self._clock.monotonic_us() - began_us
            self._pause_max_us = max(self._pause_max_us, paused_us)
            if paused_us >= _SLICE_US:
                yield copies
                copies = []
                began_us = self._clock.monotonic_us()
        yield copies

    def _copy(self, row: int) -> tuple[str, int, Kept] | None:
        watched = self._pipeline.engine.watched[row]
        episodes = {rule.hash: state for rule, episode in self._episodes(watched) if _is_open(state := episode.save())}
        for rule, _ in self._episodes(watched) if self._pipeline.engine.program.grouped else ():
            if rule.quorum is not None:
                group = self._pipeline.engine.groups.of(rule, watched.facts.market)
                if group.level is not Level.NORMAL:
                    episodes[rule.hash + _GROUP] = group.saved_level()
        stamp = (self._rows.version(row), episodes)
        if self._versions.get(row) == stamp or self._pipeline.engine.kernel.last(row)[1] == 0:
            return None
        self._versions[row] = stamp
        return str(watched.facts.market), self._pipeline.now_us, Kept(episodes, dict(self._rows.sections(row)))

    def _episodes(self, watched: Watched) -> Iterator[tuple[Rule, Episode]]:
        rules = self._pipeline.engine.program.rules
        return zip((rules[number] for number in watched.binding.rules), watched.episodes, strict=True)

    def _useful_us(self) -> int:
        return longest_us(self._pipeline.engine.kernel.leaves)


def _packed(copies: list[Kept]) -> list[bytes]:
    return [checkpoint.pack(kept) for kept in copies]


def _is_open(state: Mapping[str, Any]) -> bool:
    """Whether an episode stands otherwise than a fresh one."""
    return state["level"] != Level.NORMAL or any(elapsed or truth for elapsed, _, truth in state["rising"])


def _orders_quarantine(rule: Rule, level: Level) -> bool:
    return rule.mode is RuleMode.ENFORCE and any(
        actions.quarantine is not None for reached, actions in rule.actions.items() if reached <= level
    )
