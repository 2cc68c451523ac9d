"""Every so many of the points of `make ledger-points`, and of the states of `make power-loss`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from faults import ledger_points, power_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes single system calls fail; it is not installed")


@pytest.mark.parametrize("start", ledger_points.STARTS)
def test_no_single_call_that_fails_or_kills_loses_tears_or_frees(tmp_path: Path, start: str) -> None:
    chosen = [*ledger_points.points(tmp_path, start)]
    assert len(chosen) > 300
    found = [(point, ledger_points.strike(tmp_path, point)) for point in chosen[7 :: len(chosen) // 5]]
    assert [each for each in found if each[1].problem] == []
    # The faults did strike: not every run came to its end.
    assert min(each.acknowledged for _, each in found) < 12


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=power_loss.memory()) as name:
        yield Path(name)


def test_power_loss_at_any_moment_loses_nothing_acknowledged(memory: Path) -> None:
    assert power_loss.campaign(memory, 150) == []


def test_the_simulation_can_fail_a_ledger_that_does_not_sync_loses(memory: Path) -> None:
    assert len(power_loss.campaign(memory, 60, synchronous="NORMAL")) > 10
