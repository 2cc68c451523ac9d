"""What bots are told before guard.yaml is read: what the very same file said to the last start, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from guard.client import Guard
from guard.client.payload import Snapshot, decode
from guard.dsl import load_guard
from guard.model import AddQuarantine, Decision, Image, Target, TargetKind
from guard.quarantine import IsolationManager
from guard.runtime.early import OWN, Early, settings_key
from guard.runtime.opening import Opening

if TYPE_CHECKING:
    from pathlib import Path

BASE = "version: 1\nrules: [guard:pump_dump]\nexchanges: {sim: {connector: sim, markets: ['*/USDT']}}\n"
CONFIG = BASE + "mode: enforce\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "guard.yaml").write_text(CONFIG)
    return tmp_path / "guard.yaml"


async def test_a_second_start_shows_the_same_before_it_reads_guard_yaml(path: Path) -> None:
    state, key = path.parent / ".guard", settings_key(path, {})
    async with Opening(load_guard(path, {}), state, key=key) as opening:
        now_us = opening.clock.now_us()
        command = AddQuarantine(Target(TargetKind.MARKET, "sim:A/USDT"), 10**9, "news", "ann")
        held = IsolationManager().operate(command, now_us)
        await opening.store.commit([Decision(now_us, transitions=held)], epoch=1)
        slow = opening._settings()
    early = Early.read(state / "caches", key)
    assert early is not None
    assert early.image == slow
    async with Opening(early, state, key=key) as opening:
        bot = Guard(state)
        assert bot.check("sim", "A/USDT", "buy").status == "blocked"
        assert (bot.check("sim", "B/USDT", "buy").reason, bot.check("sim", "B/USDT", "buy").permitted) == ("warming", True)
        opening.config = load_guard(path, {})
        assert opening._settings() == slow


async def test_any_change_of_the_settings_is_waited_for(path: Path) -> None:
    state, key = path.parent / ".guard", settings_key(path, {})
    async with Opening(load_guard(path, {}), state, key=key):
        pass
    assert Early.read(state / "caches", settings_key(path, {"GUARD_MODE": "observe"})) is None
    path.write_text(CONFIG.replace("enforce", "observe"))
    assert Early.read(state / "caches", settings_key(path, {})) is None
    assert Early.read(state / "caches", "") is None
    assert settings_key(path.with_name("none.yaml"), {}) == ""


@pytest.mark.parametrize("content", [b"", b"\n", b"KEY\n{}", b"KEY\n\xff", b"KEY"])
def test_a_spoilt_cache_is_no_settings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "head").write_bytes(content)
    assert Early.read(tmp_path, "KEY") is None


def test_each_field_that_guard_yaml_sets_comes_back_from_a_snapshot() -> None:
    read = Snapshot.__annotations__
    missing = [name for name in Image._fields if name not in OWN and name not in read]
    assert not missing, "the next start would wait for guard.yaml"
    # A market's view is a list in a snapshot; all else is of the same type.
    told = Image.__annotations__
    others = {name for name in Image._fields if name not in OWN and told[name] != read[name]}
    assert others == {"unreached"}


@pytest.mark.parametrize("field", sorted(set(Image._fields) - OWN))
async def test_a_setting_that_would_be_lost_is_told_and_not_kept(path: Path, field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    state, key = path.parent / ".guard", settings_key(path, {})
    read = decode

    def forgets(payload: bytes) -> Snapshot:
        other: Any = {"?": ["?"] * 5} if field == "unreached" else {"?": ("?",)}
        return read(payload)._replace(**{field: other})

    monkeypatch.setattr("guard.runtime.early.decode", forgets)
    async with Opening(load_guard(path, {}), state, key=key) as opening:
        assert field in str(opening.record()["problem"])
    assert Early.read(state / "caches", key) is None
    monkeypatch.undo()
    async with Opening(load_guard(path, {}), state, key=key) as opening:
        assert opening.record() == {"fast": False, "problem": None}
    assert Early.read(state / "caches", key) is not None


@pytest.mark.parametrize("reference", ["${env:BOT_MODE}", "${file:mode}", '"\\x24{env:BOT_MODE}"'])
async def test_what_guard_yaml_takes_from_elsewhere_is_waited_for_when_it_changes(path: Path, reference: str) -> None:
    path.write_text(BASE + f"mode: {reference}\n")
    elsewhere = path.parent / "mode"
    elsewhere.write_text("observe")
    elsewhere.chmod(0o600)
    state, before = path.parent / ".guard", {"BOT_MODE": "observe"}
    key = settings_key(path, before)
    async with Opening(load_guard(path, before), state, key=key):
        pass
    elsewhere.write_text("enforce")
    early = Early.read(state / "caches", settings_key(path, {"BOT_MODE": "enforce"}))
    assert early is None


def test_a_reference_that_stays_keeps_the_quick_start(path: Path) -> None:
    path.write_text(CONFIG + "alerts: {channels: {phone: {url: '${env:BOT_URL}'}}}\n")
    before, after = {"BOT_URL": "json://a", "PID": "1"}, {"BOT_URL": "json://a", "PID": "2"}
    assert settings_key(path, before) == settings_key(path, after) != settings_key(path, {"BOT_URL": "json://b"})
