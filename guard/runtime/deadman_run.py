"""The watcher: looks at heartbeats from outside guard, and reaches people by channels of its own."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import structlog

from guard.client.clock import MACHINE
from guard.client.places import locate
from guard.model import Delivery
from guard.model.moments import stamp
from guard.runtime.deadman import Glance, Silence
from guard.runtime.proof import HeartbeatUnreadable, read_heartbeat
from guard.runtime.state import HEARTBEAT_FILE
from guard.runtime.whole_file import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.dsl.deadman import DeadmanConfig, WatchedGuard
    from guard.model.ports import Clock, Notifier
    from guard.runtime.deadman import Notice

__all__ = ["Deadman", "glance_at_file"]

_log = structlog.get_logger(__name__)
_HTTP_S = 5.0
_BYTES_MAX = 1 << 20
_ANCHOR_MAX = 90
_TTL_US = 86_400_000_000
_PAUSE_FIRST_US, _PAUSE_MAX_US = 5_000_000, 120_000_000


class Deadman:
    """Watch guards and tell people when one is silent.

    Parameters
    ----------
    config
        The watcher's file.
    notifier
        Carries messages to the channels of that file.
    clock
        The machine's clock.

    Notes
    -----
    A message counts as told once one channel took it; until then each is tried again, after 5 s to 2 min. What was told outlives
    a restart, in the file `memory`, whose time is also the watcher's own sign of life. Everything it needs of a guard is read anew
    at each look: a guard that is started again is found under the same name.
    """

    def __init__(self, config: DeadmanConfig, notifier: Notifier, clock: Clock) -> None:
        self._config = config
        self._notifier = notifier
        self._clock = clock
        kept = _kept(config.memory_path)
        now_us = clock.now_us()
        self.silences = {
            name: Silence(name, after_us=config.after_us, repeat_us=config.repeat_us, now_us=now_us, memory=kept.get(name))
            for name in config.watch
        }
        self._again_us: dict[str, tuple[int, int]] = {}
        self.seen: dict[str, Glance] = {}

    async def look(self) -> bool:
        """Look at each guard once, tell what is to be told, and return whether all live."""
        glances = await asyncio.gather(*map(self._glance, self._config.watch.values()))
        for name, glance in zip(self._config.watch, glances, strict=True):
            self.seen[name] = glance
            await self._judge(name, glance)
        self._keep()
        return not any(silence.is_silent for silence in self.silences.values())

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(self._config.every_us / 1e6)

    async def _judge(self, name: str, glance: Glance) -> None:
        silence, now_us = self.silences[name], self._clock.now_us()
        notice = silence.look(now_us, glance)
        if notice is None:
            return
        if notice.is_back and not self._config.back:
            silence.told(now_us)
            return
        not_before_us, pause_us = self._again_us.get(name, (0, _PAUSE_FIRST_US))
        if now_us < not_before_us:
            return
        if await self._tell(notice, now_us):
            silence.told(self._clock.now_us())
            self._again_us.pop(name, None)
        else:
            self._again_us[name] = (now_us + pause_us, min(2 * pause_us, _PAUSE_MAX_US))

    async def _tell(self, notice: Notice, now_us: int) -> bool:
        """Send to every channel, and return whether one took it."""
        outcomes = await asyncio.gather(
            *(self._notifier.send(_delivery(notice, channel, now_us)) for channel in self._config.channels), return_exceptions=True
        )
        taken = 0
        for channel, outcome in zip(self._config.channels, outcomes, strict=True):
            if not isinstance(outcome, BaseException) and outcome.is_delivered:
                taken += 1
            else:
                error = str(outcome) if isinstance(outcome, BaseException) else outcome.error
                _log.error("a message did not get through", channel=channel, title=notice.title, error=error)
        return taken > 0

    async def _glance(self, guard: WatchedGuard) -> Glance:
        if guard.url is not None:
            async with aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=_HTTP_S)
            ) as session:
                return await self._glance_at_url(guard, session)
        assert guard.state is not None
        snapshot = Path(locate(self._config.folder / guard.state).snapshot)
        return await asyncio.to_thread(glance_at_file, snapshot.with_name(HEARTBEAT_FILE), self._clock)

    async def _glance_at_url(self, guard: WatchedGuard, session: aiohttp.ClientSession) -> Glance:
        headers = {} if guard.token is None else {"Authorization": f"Bearer {guard.token.get_secret_value()}"}
        try:
            assert guard.url is not None
            async with session.get(guard.url, headers=headers, allow_redirects=False) as answer:
                if answer.status == 200:  # noqa: PLR2004 - HTTP's own number
                    now_us = self._clock.now_us()
                    return Glance(str(now_us), 0, f"it answers 200 at {stamp(now_us)}")
                said = (await answer.content.read(200)).decode(errors="replace")
                return Glance(None, None, f"it answers {answer.status}: {' '.join(said.split())}")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return Glance(None, None, f"no answer: {type(error).__name__} {error}")

    def _keep(self) -> None:
        document = {name: silence.memory() for name, silence in self.silences.items()}
        text = json.dumps({"version": 1, "at_us": self._clock.now_us(), "guards": document}).encode()
        try:
            replace_file(self._config.memory_path, [text])
        except OSError as error:
            _log.error("what was told cannot be kept for a restart", file=str(self._config.memory_path), error=str(error))


def glance_at_file(path: Path, clock: Clock) -> Glance:
    """Return what a guard's heartbeat file says. Blocks; call it in a thread."""
    try:
        told = read_heartbeat(path)
    except HeartbeatUnreadable as error:
        return Glance(None, None, str(error))
    about = told.document
    proved = "never proved to work" if told.proved_us is None else f"last proved to work {stamp(told.proved_us)}"
    parts = [f"{told.state}, {proved}, process {about.get('pid')}, epoch {about.get('epoch')}, entry {about.get('seq')}"]
    parts.append(f"{about.get('held')} held, {about.get('watched')} watched, durable {about.get('durable')}")
    if about.get("anchor"):
        parts.append(f"ledger {str(about['anchor'])[:_ANCHOR_MAX]}")
    if told.missing:
        parts.append(f"not seen to work: {', '.join(told.missing)}")
    if about.get("silent"):
        parts.append(f"silent to bots: {about['silent']}")
    words = "; ".join(parts)
    if told.proved_us is None:
        return Glance(None, None, words)
    age_us = None
    if told.proved_boot_ns is not None and told.boot_id and told.boot_id == MACHINE.boot_id:
        age_us = clock.monotonic_us() - told.proved_boot_ns // 1000
    # A guard that was stopped on purpose is as silent as one that died.
    return Glance(f"{told.boot_id}:{told.proved_boot_ns}", age_us, words)


def _kept(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_BYTES_MAX))
        guards = document["guards"]
        return {name: dict(kept) for name, kept in guards.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.error("what an earlier run told cannot be read", file=str(path), error=repr(error)[:200])
        return {}


def _delivery(notice: Notice, channel: str, now_us: int) -> Delivery:
    identity = sha256(f"{notice.title}|{channel}|{now_us}".encode()).hexdigest()[:16]
    level = f"[{'OVER' if notice.is_back else 'CRITICAL'}]"
    return Delivery(
        identity,
        identity,
        channel,
        "release" if notice.is_back else "system",
        notice.level,
        f"{level} {notice.title}",
        notice.body,
        created_us=now_us,
        due_us=now_us,
        expires_us=now_us + _TTL_US,
    )
