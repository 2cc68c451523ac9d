from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from client.images import Machine
from client.order_server import ANSWERS, OrderServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    built = Machine(tmp_path)
    yield built
    built.publisher.stop()


@pytest.fixture
def serve() -> Iterator[Callable[[str], OrderServer]]:
    open_servers: list[OrderServer] = []

    def start(name: str) -> OrderServer:
        open_servers.append(OrderServer(ANSWERS[name]))
        return open_servers[-1]

    yield start
    for server in open_servers:
        server.close()
