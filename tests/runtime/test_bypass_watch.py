"""The bypass that guard publishes is the one of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from client.images import ManualClock

from guard.client.bypass import begin_bypass, end_bypass
from guard.runtime.bypass_watch import BypassWatch

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60_000_000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "snapshot").mkdir()
    return tmp_path


def test_bypass_is_shown_from_its_order_to_its_end(state: Path) -> None:
    clock = ManualClock()
    watch = BypassWatch(state / "snapshot" / "guard.snapshot", clock.clocks())
    assert (watch.has_changed(), watch.shown()) == (False, None)
    begin_bypass(str(state / "bypass"), clock.clocks(), for_us=MINUTE, reason="the exchange lies", actor="ann")
    assert watch.has_changed()
    shown = watch.shown()
    assert shown is not None
    assert (shown.reason, shown.until_us) == ("the exchange lies", clock.wall_us + MINUTE)
    assert not watch.has_changed()
    clock.pass_time(61)
    assert watch.has_changed()
    assert watch.shown() is None


def test_bypass_that_is_ended_is_published_no_more(state: Path) -> None:
    clock = ManualClock()
    watch = BypassWatch(state / "snapshot" / "guard.snapshot", clock.clocks())
    begin_bypass(str(state / "bypass"), clock.clocks(), for_us=MINUTE, reason="try", actor="ann")
    assert watch.shown() is not None
    end_bypass(str(state / "bypass"))
    assert watch.has_changed()
    assert watch.shown() is None
