"""Tells systemd that guard is up, and that its loop turns: the protocol of ``Type=notify`` and ``WatchdogSec=``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guard.model.ports import Clock

__all__ = ["Supervisor"]

_BEAT_MAX_S: Final = 5.0


class Supervisor:
    """Talks to whoever started guard, where that listens.

    Parameters
    ----------
    env
        The environment: ``NOTIFY_SOCKET`` names the socket, ``WATCHDOG_USEC`` how long guard may be silent.

    Notes
    -----
    It is the loop itself that beats: one that hangs for the watchdog's time is started again. What is wrong outside, a dead
    exchange or a full disk, is no reason to start again; bots and people learn of it otherwise.

    Examples
    --------
    >>> Supervisor({}).tell("READY=1")
    False
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        path = env.get("NOTIFY_SOCKET", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        usec = env.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(usec) / 1e6 if usec.isascii() and usec.isdigit() else 0.0

    def tell(self, state: str) -> bool:
        """Send a state (``READY=1``, ``STOPPING=1``) and return whether anybody took it; never blocks, never raises."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(0)
                out.sendto(state.encode(), self._address)
        except OSError:
            return False
        return True

    async def run(self, clock: Clock) -> None:
        """Say that guard is up, then that its loop turns, until cancelled."""
        self.tell("READY=1")
        wait_s = min(_BEAT_MAX_S, self._watchdog_s / 3) if self._watchdog_s else _BEAT_MAX_S
        try:
            while True:
                self.tell("WATCHDOG=1")
                await clock.sleep(wait_s)
        finally:
            self.tell("STOPPING=1")
