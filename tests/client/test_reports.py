"""A report to guard is worth no order: whatever lies at the socket's place, the bot goes on at once."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from guard.client.reports import SOCKET_NAME, Reports

if TYPE_CHECKING:
    from pathlib import Path

HOUR_NS = 3_600_000_000_000


def test_a_socket_that_nobody_reads_any_more_holds_nobody_up(tmp_path: Path) -> None:
    reports = Reports(str(tmp_path / "snapshot"), "mine")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
        door.bind(str(tmp_path / SOCKET_NAME))
        for number in range(3_000):
            reports.asked("x", f"A{number}/USDT", 1)
        assert json.loads(door.recv(1024)) == {"market": "x:A0/USDT", "bot": "mine"}


@pytest.mark.parametrize("at", ["folder", "file", "nothing", "nul", "long"])
def test_whatever_lies_at_the_place_of_the_socket_raises_nothing(tmp_path: Path, at: str) -> None:
    if at == "folder":
        (tmp_path / SOCKET_NAME).mkdir()
    elif at == "file":
        (tmp_path / SOCKET_NAME).write_text("no socket")
    folder = {"nul": f"{tmp_path}\0/x", "long": str(tmp_path / ("x" * 200))}.get(at, str(tmp_path))
    reports = Reports(folder + "/snapshot", None)
    for symbol in ("A/USDT", "\ud800", "x" * 5_000, "A\0B"):
        reports.asked("x", symbol, 1)
        reports.asked("x", symbol, 2 * HOUR_NS)


def test_no_more_markets_are_noted_than_fit(tmp_path: Path) -> None:
    reports = Reports(str(tmp_path / "snapshot"), None)
    for number in range(5_000):
        reports.asked("x", f"A{number}/USDT", 1)
    assert len(reports._due_ns) == 4_096
