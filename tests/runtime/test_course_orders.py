"""Orders that stand beside a recording are what was ordered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from guard.model import (
    AddAllow,
    AddMaintenance,
    AddQuarantine,
    EndMaintenance,
    ExtendQuarantine,
    ReleaseQuarantine,
    RemoveAllow,
    Target,
    TargetKind,
)
from guard.pipeline import Settings
from guard.quarantine import BrakePolicy
from guard.runtime.course import CourseWriter, _command, _settings

if TYPE_CHECKING:
    from guard.model import Command

BASE = Target(TargetKind.BASE, "PEPE")
ORDERS: tuple[Command, ...] = (
    AddQuarantine(BASE, 5, "x", "ann"),
    ReleaseQuarantine(None, "0123456789ab", "x", "ann"),
    ExtendQuarantine(BASE, None, 5, "x", "ann"),
    AddAllow(BASE, ("pump_dump", "wash"), 5, "x", "ann"),
    RemoveAllow(None, "0123456789ab", "x", "ann"),
    AddMaintenance(Target(TargetKind.EXCHANGE, "okx"), 1, 2, "x", "ann"),
    EndMaintenance(BASE, None, "x", "ann"),
)


@pytest.mark.parametrize("order", ORDERS, ids=lambda each: type(each).__name__)
def test_an_order_survives_the_way_to_a_recording_and_back(order: Command) -> None:
    said: list[Any] = []
    CourseWriter(Settings(), said.append).order(order)
    assert _command(json.loads(json.dumps(said[-1]))["orders"][0]) == order


@pytest.mark.parametrize("pause_us", [None, 300_000_000])
def test_settings_that_decisions_depend_on_survive_the_way_to_a_recording_and_back(pause_us: int | None) -> None:
    said: list[Any] = []
    settings = Settings(aliases={"LUNA2": "LUNA"}, brake=BrakePolicy(pause_us=pause_us), references={"one": "BTC/USDT"})
    CourseWriter(settings, said.append)
    read = _settings(json.loads(json.dumps(said[0]))["settings"])
    assert (read.aliases, read.brake, read.references) == (settings.aliases, settings.brake, settings.references)
