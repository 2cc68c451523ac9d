"""A ``guard agent``, as on another host, and the road between it and its guard, which can be lost."""

from __future__ import annotations

import json
import selectors
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from freqtrade_processes import Process, free_port, wait_for, wall_of

if TYPE_CHECKING:
    from pathlib import Path

    from freqtrade_support import GuardRun

_READ_BYTES: Final = 65_536
_LOOK_S: Final = 0.05


class Road:
    """Carries TCP to a port of this machine. `state` is ``open``, ``cut`` (reset and refused) or ``lost`` (nothing comes through).

    What was sent while it was lost comes late, as in TCP.
    """

    state = "open"

    def __init__(self, to_port: int) -> None:
        self._to = to_port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)
        for each in (self._door, *self._pairs):
            each.close()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._door, selectors.EVENT_READ)
            while not self._is_over.wait(_LOOK_S if self.state == "lost" else 0):
                if self.state == "cut":
                    for each in list(self._pairs):
                        self._drop(each, selector)
                if self.state != "lost":
                    for key, _ in selector.select(_LOOK_S):
                        self._serve(key.fileobj, selector)

    def _serve(self, ready: Any, selector: selectors.BaseSelector) -> None:
        if ready is self._door:
            near = self._door.accept()[0]
            if self.state != "open":
                near.close()
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to), 5)
            except OSError:
                near.close()
                return
            self._pairs |= {near: far, far: near}
            for each in (near, far):
                selector.register(each, selectors.EVENT_READ)
        elif ready in self._pairs:
            try:
                data = ready.recv(_READ_BYTES)
                self._pairs[ready].sendall(data)
            except OSError:
                data = b""
            if not data:
                self._drop(ready, selector)

    def _drop(self, end: socket.socket, selector: selectors.BaseSelector) -> None:
        for each in (end, self._pairs.get(end)):
            if each is not None and self._pairs.pop(each, None) is not None:
                with suppress(KeyError):
                    selector.unregister(each)
                each.close()


class AgentRun(Process):
    """``guard agent`` with a state folder of its own, at the end of a road to a guard that runs."""

    def __init__(self, folder: Path, guard: GuardRun, road: Road) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.guard, self.road = folder, guard, road
        self.state = folder / ".guard"
        self.snapshot = self.state / "snapshot" / "guard.snapshot"
        self.set_wall("+0")

    def set_wall(self, offset: str) -> None:
        """Set how far the agent's wall clock is from the machine's."""
        (self.folder / "wall").write_text(offset)

    def start(self) -> None:
        token = self.folder / "token"
        if not token.exists():
            token.write_text(json.loads(self.guard.command("--json", "token", "add", "bots"))["token"])
        url = f"http://127.0.0.1:{self.road.port}"
        words = ["agent", url, "--token-file", str(token), "--state", str(self.state)]
        self._run(
            [sys.executable, "-m", "guard", "--json", *words], self.folder / "agent.log", cwd=self.folder, more=wall_of(self.folder)
        )
        if self.guard.process is not None:
            wait_for("the agent follows", self.is_well)

    def is_well(self) -> bool:
        """Whether bots here hear from guard."""
        from guard.client import Guard

        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the agent ended:\n{(self.folder / 'agent.log').read_text()[-3000:]}")
        return Guard(self.state, tells=False).problem is None


def open_http(road_port: int, port: int) -> str:
    """Return what guard.yaml says so that an agent finds guard at `port`, by a road that begins at `road_port`."""
    return f'http: {{listen: "127.0.0.1:{port}", hosts: ["127.0.0.1:{road_port}"]}}\n'


__all__ = ["AgentRun", "Road", "free_port", "open_http"]
