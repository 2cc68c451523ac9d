"""The HTTP interface of a guard that cannot have its address, and one whose status is dear: guard goes on in both."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from runtime.test_live import bench as live_bench
from runtime.test_live import until

from guard.dsl import load_guard
from guard.runtime.http import Http
from guard.runtime.state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any


class Asked:
    """What the interface needs of the operator's desk: a status that counts how often it was made."""

    def __init__(self) -> None:
        self.made = 0

    def handlers(self) -> dict[str, Any]:
        return {}

    async def status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        self.made += 1
        await asyncio.sleep(0.05)
        return {"n": self.made}

    async def figures(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return await self.status(_)


async def test_a_taken_port_is_told_and_tried_again_and_guard_goes_on(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    (tmp_path / "guard.yaml").write_text(f'exchanges: {{x: {{}}}}\nhttp: {{listen: "127.0.0.1:{port}"}}\n')
    config = load_guard(tmp_path / "guard.yaml", {})
    state = StateFolder(tmp_path / "state").open()
    async with live_bench(tmp_path) as at_work:
        pauses: list[float] = []
        again = asyncio.Event()

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            if again.is_set():
                await real.sleep(seconds)
            await again.wait()

        real = at_work.live.clock
        asked: Any = Asked()
        http = Http(config, state, at_work.live, asked, is_ruled=lambda: True)
        at_work.live.clock = type(
            "Waiting", (), {"sleep": staticmethod(sleep), "now_us": real.now_us, "monotonic_us": real.monotonic_us}
        )()
        running = asyncio.create_task(http.run())
        await until(lambda: pauses)
        assert "in use" in str(http.record()["problem"])
        assert [delivery.title for decision, _ in at_work.live.committer._waiting for delivery in decision.deliveries] == [
            "[DANGER] guard: the HTTP interface cannot be opened"
        ]
        taken.close()
        again.set()
        await until(lambda: http.addresses)
        assert http.record()["problem"] is None
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        # However many ask at once: it is made once a second.
        answers = await asyncio.gather(*(http._status.get() for _ in range(50)))
        assert {answer["n"] for answer in answers} == {1}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert http.addresses == ()
    state.close()
