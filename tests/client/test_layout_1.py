"""What the guard before this one has published, in the bytes it wrote: a client may be updated first."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from client.images import Machine, image, quarantine

from guard.client import ClearanceStatus
from guard.client.layout import VERSION, Word
from guard.client.snapshot import Mapping

if TYPE_CHECKING:
    from guard.client import Guard

FILE = Path(__file__).parent / "data" / "layout1.snapshot.gz"


@pytest.fixture
def guard(machine: Machine) -> Guard:
    machine.publisher.path.write_bytes(gzip.decompress(FILE.read_bytes()))
    return machine.guard("brave")


def test_fixture_is_of_the_layout_before(machine: Machine, guard: Guard) -> None:
    del guard
    assert Mapping(str(machine.publisher.path)).words[Word.VERSION] == VERSION - 1


def test_blocks_markets_and_policies_are_read(machine: Machine, guard: Guard) -> None:
    blocked = guard.check("sim", "X/USDT")
    assert (blocked.status, blocked.rule, blocked.permitted) == (ClearanceStatus.BLOCKED, "pump_dump", False)
    assert guard.check("sim", "Y/USDT")[:2] == (ClearanceStatus.ALLOWED, True)
    assert guard.check("sim", "S/USDT").reason == "feed_stale"
    assert guard.check("okx", "X/EUR").status is ClearanceStatus.SHRINK
    assert [machine.guard(name).check("sim", "Z/USDT").permitted for name in ("brave", "other")] == [True, False]
    assert guard.problem is None
    assert {block.source for block in guard.blocks()} == {"rule"}
    machine.clock.pass_time(3)
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.BLOCKED
    assert guard.check("sim", "Y/USDT").permitted


def test_bot_goes_over_to_the_new_layout_when_guard_is_updated(machine: Machine, guard: Guard) -> None:
    assert guard.check("sim", "Y/USDT").permitted
    machine.publisher = machine.writer()
    machine.publish(image(quarantine("sim:Y/USDT")))
    machine.pass_time(0.75)
    assert guard.check("sim", "Y/USDT").status is ClearanceStatus.BLOCKED
    assert guard.check("sim", "X/USDT").status is ClearanceStatus.ALLOWED
