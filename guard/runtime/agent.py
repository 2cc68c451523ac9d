"""``guard agent``: follows a guard on another host and writes the snapshot that bots of this host read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp
import structlog

from guard.api.following import Events, Followed, OutOfStep
from guard.client.snapshot import SnapshotUnusable, read_snapshot
from guard.errors import Disconnected, GuardError
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

    from guard.api.following import Beat
    from guard.model.ports import Clock, Random

__all__ = ["LEASE_NS", "Agent", "AgentHealth", "Uplink"]

_log = structlog.get_logger(__name__)
LEASE_NS: Final = 5_000_000_000
_SILENT_S: Final = 5.0
_CONNECT_S: Final = 5.0
_PAUSE_FIRST_S: Final = 0.2
_PAUSE_MAX_S: Final = 10.0
# A connection may have been long in the making, and its beats would look as old.
_ANCHOR_FIRST_S: Final = 1.0
_ANCHOR_S: Final = 60.0
_ANCHOR_OLD_US: Final = 300_000_000
_STEADY_US: Final = 10_000_000


class Uplink(NamedTuple):
    """Where the other guard is: its address, what returns the token (read anew for each connection), and whom to trust."""

    url: str
    token: Callable[[], str]
    trust: ssl.SSLContext | None = None


class AgentHealth(NamedTuple):
    """How an agent fares. `age_ms` is how old guard's last proof of life is, None where none came yet."""

    connected: bool
    epoch: int
    seq: int
    markets: int
    blocks: int
    age_ms: float | None
    connects: int
    failures: int
    resyncs: int
    problem: str | None

    def record(self) -> dict[str, Any]:
        """Return it as the health line shows it."""
        return {"type": "agent", **self._asdict()}


class _FollowedClock:
    """The boot clock of this host, with the wall clock of the guard that is followed: its ends count from that."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead_us: int | None = None
        self.sleep = clock.sleep
        self.monotonic_us = clock.monotonic_us

    def now_us(self) -> int:
        return self._clock.now_us() if self.ahead_us is None else self._clock.monotonic_us() + self.ahead_us

    def hear(self, wall_us: int, monotonic_us: int) -> None:
        """Learn guard's wall time; of several the one that came with the least delay is the best."""
        ahead_us = wall_us - monotonic_us
        self.ahead_us = ahead_us if self.ahead_us is None else max(ahead_us, self.ahead_us)


class Agent:
    """Follow a guard and publish its state here.

    Parameters
    ----------
    uplink
        Where it is.
    folder
        The snapshot folder, which no guard of this host uses.
    clock, random
        Time, and chance for the back-off.
    group
        Group that may read the snapshot.

    Notes
    -----
    A heartbeat is written only for a beat of guard that vouches for the very state that is published here, and it is as old as
    that beat can be: a request for it was sent before it was made, so what a proxy or a full buffer holds back is never taken for
    fresh. Without beats bots see unknown after 5 s, and blocks stay. Raises StateError where another writes here.
    """

    def __init__(
        self, uplink: Uplink, folder: Path, clock: Clock, random: Random, *, group: str | None = None, lease_ns: int = LEASE_NS
    ) -> None:
        self._uplink = uplink
        self._clock = clock
        self._random = random
        self._guard_clock = _FollowedClock(clock)
        self.publisher = SnapshotPublisher(folder, self._guard_clock, group=group, lease_ns=lease_ns)
        self._told = _told(self.publisher.path)
        self._followed = Followed()
        self._published = ""
        self._anchor: tuple[int, int, int] | None = None
        self._proof_us: int | None = None
        self._connects = self._failures = self._resyncs = 0
        self._is_connected = False
        self._problem: str | None = "not connected yet"

    @property
    def health(self) -> AgentHealth:
        """How it fares now."""
        content: Any = self._followed.content or {}
        age_ms = None if self._proof_us is None else (self._clock.monotonic_us() - self._proof_us) / 1000
        return AgentHealth(
            self._is_connected,
            self._followed.epoch,
            self._followed.seq,
            len(content.get("markets", ())),
            len(content.get("blocks", ())),
            age_ms,
            self._connects,
            self._failures,
            self._resyncs,
            self._problem,
        )

    async def run(self) -> None:
        """Follow until cancelled; whatever goes wrong with the link is tried again."""
        pause_s = _PAUSE_FIRST_S
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
            while True:
                began_us = self._clock.monotonic_us()
                try:
                    await self._follow(session)
                except (aiohttp.ClientError, TimeoutError, OSError, Disconnected, ValueError) as error:
                    self._lost(error)
                if self._clock.monotonic_us() - began_us > _STEADY_US:
                    pause_s = _PAUSE_FIRST_S
                # Many agents lose one guard at one moment: they must not come back at one moment.
                await self._clock.sleep(pause_s * (0.5 + self._random.random()))
                pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    def stop(self) -> None:
        """Tell bots that nobody follows any more. Blocks stand until their end."""
        self.publisher.stop()

    def _lost(self, error: Exception) -> None:
        self._is_connected = False
        self._failures += 1
        if isinstance(error, OutOfStep):
            self._resyncs += 1
            self._followed = Followed()
        problem = str(error) or ("no sign of life" if isinstance(error, TimeoutError) else type(error).__name__)
        if problem != self._problem:
            _log.warning("guard is not followed", url=self._uplink.url, problem=problem)
        self._problem = problem

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        headers = self._headers()
        if self._followed.id:
            headers["Last-Event-ID"] = self._followed.id
        asked_us = self._clock.monotonic_us()
        self._guard_clock.ahead_us, self._anchor = None, None
        async with session.get(
            f"{self._uplink.url}/v1/stream", headers=headers, ssl=self._uplink.trust or True, allow_redirects=False
        ) as response:
            if response.status != 200:  # noqa: PLR2004 - anything else is no stream
                text = (await response.content.read(500)).decode("utf-8", "replace").strip()
                raise Disconnected(f"{response.status}: {text if text.isprintable() else 'no answer of a guard'}")
            self._connects += 1
            anchoring = asyncio.create_task(self._keep_anchored(session))
            try:
                await self._read(response, asked_us)
            finally:
                anchoring.cancel()
                await asyncio.gather(anchoring, return_exceptions=True)

    async def _read(self, response: aiohttp.ClientResponse, asked_us: int) -> None:
        events = Events()
        async for data in response.content.iter_any():
            for event in events.feed(data):
                is_new = self._followed.take(event)
                beat = self._followed.beat(event)
                if beat is not None:
                    if self._anchor is None:
                        self._anchor = (asked_us, beat.monotonic_us, asked_us)
                    self._guard_clock.hear(beat.wall_us, self._clock.monotonic_us())
                    self._vouch(beat)
                elif is_new and self._anchor is not None:
                    self._publish()
                self._is_connected, self._problem = True, None
        raise Disconnected("guard closed the stream")

    def _publish(self) -> None:
        followed = self._followed
        assert followed.content is not None
        mine = (followed.epoch, followed.seq)
        if mine < self._told:
            here = f"{self._told[0]}.{self._told[1]}"
            raise Disconnected(
                f"the guard there is at entry {mine[0]}.{mine[1]}, bots here were told of {here}: it lost a part of its "
                f"ledger, or is another guard. Blocks here stand; stop this agent and move {self.publisher.path} away to follow it"
            )
        self.publisher.relay(followed.content)
        self._told = mine
        self._published = followed.digest

    def _vouch(self, beat: Beat) -> None:
        """Write the heartbeat that `beat` is worth."""
        if self._published != self._followed.digest:
            self._publish()
        assert self._anchor is not None
        asked_us, answered_us, _ = self._anchor
        now_us = self._clock.monotonic_us()
        age_us = max(0, (now_us - asked_us) - (beat.monotonic_us - answered_us)) + max(0, beat.silent_us)
        self._proof_us = now_us - age_us
        self.publisher.beat(age_us=age_us)

    async def _keep_anchored(self, session: aiohttp.ClientSession) -> None:
        """Ask for guard's clock now and then: two clocks drift apart, a second a day and more."""
        wait_s = _ANCHOR_FIRST_S
        while True:
            await self._clock.sleep(wait_s)
            wait_s = _ANCHOR_S
            asked_us = self._clock.monotonic_us()
            try:
                async with asyncio.timeout(_CONNECT_S):
                    url = f"{self._uplink.url}/v1/blocklist"
                    trust = self._uplink.trust or True
                    async with session.head(url, headers=self._headers(), ssl=trust, allow_redirects=False) as response:
                        answered_us = int(response.headers["Guard-Now"].split()[0])
            except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError, GuardError):
                # The stream itself tells whether guard lives.
                continue
            old = self._anchor
            if old is None or asked_us - answered_us >= old[0] - old[1] or asked_us - old[2] > _ANCHOR_OLD_US:
                self._anchor = (asked_us, answered_us, asked_us)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._uplink.token()}", "Accept-Encoding": "identity"}


def _told(path: Path) -> tuple[int, int]:
    try:
        snapshot = read_snapshot(str(path))
    except (SnapshotUnusable, OSError):
        return (0, 0)
    return (0, 0) if snapshot is None else (snapshot.epoch, snapshot.seq)
