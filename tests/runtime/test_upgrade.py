"""Shipped rules that change with guard: told until accepted, and no mode goes up by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.dsl import load_guard, load_rules
from guard.model import Level
from guard.runtime.rulebook import Rulebook
from guard.runtime.shipped import Known, read_known, write_known
from guard.runtime.upgrade import Kind, Upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from guard.dsl import RuleSet

PACK = """\
lists: {majors: [BTC/USDT]}
rules:
  RULE:
    title: TITLE
    mode: MODE
    when: trades(10s) > 3
    unless: {majors: market.symbol in $majors}
    risk: {volume: {weight: 1, value: VALUE}}
    levels: {danger: DANGER}
    actions: {danger: [alert, {quarantine: {for: 10m}}]}
"""
ORDER = ("disabled", "shadow", "alert", "enforce")


class World:
    """A guard of one version after the other, with packs of its own, and the user's guard.yaml."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shipped = folder / "shipped"
        self.shipped.mkdir()
        self.config = folder / "guard.yaml"
        self.state = folder / "state"
        self._patch = monkeypatch
        monkeypatch.setattr("guard.dsl.loading.pack_folder", lambda: self.shipped)
        self.write("")

    def write(self, more: str) -> None:
        self.config.write_text(f"version: 1\nmode: enforce\nrules: [guard:pump]\nexchanges: {{sim: {{connector: sim}}}}\n{more}")

    def ship(self, version: str, text: str = PACK, **values: object) -> None:
        values = {"RULE": "pump", "TITLE": "A pump", "MODE": "alert", "VALUE": 1, "DANGER": 0.8, **values}
        for word, value in values.items():
            text = text.replace(word, str(value))
        (self.shipped / "pump.yaml").write_text(text)
        self._patch.setattr("guard.runtime.upgrade.__version__", version)

    def start(self) -> Rulebook:
        return Rulebook(self.config, {}, last_good=self.state / "last-good-rules")

    def run(self) -> tuple[list[str], dict[str, str]]:
        """Start once; return what is told and the modes that run."""
        book = self.start()
        return [change.text for change in book.upgrade.pending], {rule.id: str(rule.mode) for rule in book.program.rules}

    def accept(self) -> None:
        self.upgrade().accept(load_guard(self.config, {}))

    def upgrade(self) -> Upgrade:
        return Upgrade(self.state / "shipped-rules.json")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_a_first_start_and_the_same_packs_again_tell_nothing(world: World) -> None:
    world.ship("0.4.0", MODE="enforce")
    assert world.run() == ([], {"pump": "enforce"})
    world.ship("0.5.0", MODE="enforce")
    assert world.run() == ([], {"pump": "enforce"})
    assert read_known(world.upgrade().path)["pump"]["pump"].version == "0.5.0"


def test_a_changed_value_runs_and_is_told_at_each_start_until_it_is_accepted(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", DANGER=0.75)
    for _ in range(2):
        told, _ = world.run()
        assert told == ["pump: levels.danger 0.8 -> 0.75 (guard 0.4.0 -> 0.5.0)"]
    assert world.start().program.rules[0].classifier.score((0.76,), (False,)).score == 0.76  # type: ignore[union-attr] - it has risk
    world.accept()
    assert world.run()[0] == []
    world.ship("0.6.0", DANGER=0.7)
    assert world.run()[0] == ["pump: levels.danger 0.75 -> 0.7 (guard 0.5.0 -> 0.6.0)"]


def test_two_upgrades_that_nobody_accepted_are_told_as_one(world: World) -> None:
    for version, danger in (("0.4.0", 0.8), ("0.5.0", 0.75), ("0.6.0", 0.7)):
        world.ship(version, DANGER=danger)
        told, _ = world.run()
    assert told == ["pump: levels.danger 0.8 -> 0.7 (guard 0.4.0 -> 0.6.0)"]
    world.ship("0.4.0", DANGER=0.8)
    assert world.run()[0] == []


def test_a_mode_that_went_up_is_held_down_until_the_user_sets_it(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", MODE="enforce")
    for _ in range(2):
        assert world.run() == (["pump: mode alert -> enforce, held at alert (guard 0.4.0 -> 0.5.0)"], {"pump": "alert"})
    world.accept()
    assert world.run()[1] == {"pump": "alert"}
    world.write("override: {pump: {mode: enforce}}\n")
    assert world.run() == ([], {"pump": "enforce"})
    # Without his word it is the lower one again.
    world.write("")
    assert world.run()[1] == {"pump": "alert"}


def test_an_override_of_the_mode_below_is_the_users_word_too(world: World) -> None:
    world.ship("0.4.0")
    world.write("override: {pump: {mode: shadow}}\n")
    world.run()
    world.ship("0.5.0", MODE="enforce")
    assert world.run() == ([], {"pump": "shadow"})


def test_an_override_of_the_mode_in_a_pack_of_the_users_is_his_word(world: World) -> None:
    world.ship("0.4.0")
    world.config.with_name("own.yaml").write_text("override: {pump: {mode: enforce}}\n")
    world.config.write_text(world.config.read_text().replace("guard:pump", "guard:pump, own.yaml"))
    world.run()
    world.ship("0.5.0", MODE="enforce")
    assert world.run() == ([], {"pump": "enforce"})


def test_a_mode_that_went_down_runs_and_is_told_as_weaker(world: World) -> None:
    world.ship("0.4.0", MODE="enforce")
    world.run()
    world.ship("0.5.0", MODE="alert")
    assert world.run() == (["pump: mode enforce -> alert, weaker than before (guard 0.4.0 -> 0.5.0)"], {"pump": "alert"})
    world.accept()
    world.ship("0.6.0", MODE="enforce")
    assert world.run()[1] == {"pump": "alert"}


def test_what_the_user_overrides_and_what_changes_no_verdict_is_not_told(world: World) -> None:
    world.write("override: {pump: {levels: {danger: 85%}, actions: {danger: [alert]}}}\n")
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", text=PACK.replace("for: 10m", "for: 20m"), DANGER=0.75, TITLE="Another title")
    assert world.run()[0] == []
    world.ship("0.6.0", DANGER=0.75, VALUE='"ramp(ret(60s), 1%, 2%)"')
    assert world.run()[0] == ["pump: risk.volume.value 1 -> ramp(ret(60s), 1%, 2%) (guard 0.5.0 -> 0.6.0)"]


def test_the_same_value_written_otherwise_is_no_change(world: World) -> None:
    world.ship("0.4.0", DANGER=0.8)
    world.run()
    world.ship("0.5.0", text=PACK.replace("for: 10m", "for: 600s").replace("mode: MODE", "mode: 'MODE'  # told"), DANGER="80%")
    assert world.run()[0] == []


def test_lists_and_macros_of_the_pack_are_values(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", text=PACK.replace("[BTC/USDT]", "[BTC/USDT, ETH/USDT]"))
    assert world.run()[0] == ["pump: lists.majors [BTC/USDT] -> [BTC/USDT, ETH/USDT] (guard 0.4.0 -> 0.5.0)"]


def test_a_default_of_guard_that_changed_is_told_and_a_key_that_is_new_is_not(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    known = read_known(world.upgrade().path)
    meaning: dict[str, Any] = dict(known["pump"]["pump"].meaning)
    del meaning["tags"]
    meaning["levels"] = {**meaning["levels"], "critical": 0.95}
    meaning["clear"] = {"when": None, "for": "30s"}
    del meaning["scope"]["where"]
    write_known(world.upgrade().path, Known({"pump": {"pump": known["pump"]["pump"]._replace(meaning=meaning)}}))
    assert world.run()[0] == [
        "pump: clear.for 30s -> 1m (guard 0.4.0)",
        "pump: levels.critical 0.95 -> 0.9 (guard 0.4.0)",
    ]


def test_a_new_rule_of_a_pack_in_use_is_held_in_the_shadow_and_a_gone_one_is_told(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", RULE="pumps", MODE="enforce")
    told, modes = world.run()
    assert told == [
        "pump: is shipped no more, its protection is gone (guard 0.4.0 -> 0.5.0)",
        "pumps: a new rule, mode enforce, held in shadow (guard 0.4.0 -> 0.5.0)",
    ]
    assert modes == {"pumps": "shadow"}
    world.accept()
    told, modes = world.run()
    assert told == ["pumps: mode shadow -> enforce, held at shadow (guard 0.5.0)"]
    assert modes == {"pumps": "shadow"}


def test_a_pack_that_the_user_adds_runs_as_it_is_shipped(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    (world.shipped / "more.yaml").write_text(
        PACK.replace("RULE", "more").replace("MODE", "enforce").replace("VALUE", "1").replace("DANGER", "0.8")
    )
    world.config.write_text(world.config.read_text().replace("guard:pump", "guard:pump, guard:more"))
    assert world.run() == ([], {"pump": "alert", "more": "enforce"})


def test_rules_of_the_users_own_files_are_his_business(world: World) -> None:
    own = world.config.with_name("own.yaml")
    world.config.write_text(world.config.read_text().replace("guard:pump", "own.yaml"))
    for mode in ("alert", "enforce"):
        own.write_text(PACK.replace("RULE", "own").replace("MODE", mode).replace("VALUE", "1").replace("DANGER", "0.8"))
        assert world.run() == ([], {"own": mode})


def test_a_held_mode_is_in_the_copy_that_a_restart_with_broken_rules_takes(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", MODE="enforce")
    world.run()
    world.write("override: {pump: {mode: nonsense}}\n")
    book = world.start()
    assert book.problem
    assert [str(rule.mode) for rule in book.program.rules] == ["alert"]


async def test_an_upgrade_beneath_a_running_guard_is_held_down_at_its_reload(world: World) -> None:
    world.ship("0.4.0")
    book = world.start()
    world.ship("0.5.0", MODE="enforce", DANGER=0.75)
    before = book.program.hash
    await book.reload()
    assert book.program.hash != before
    assert [str(rule.mode) for rule in book.program.rules] == ["alert"]
    assert [change.kind for change in book.upgrade.pending] == [Kind.HELD, Kind.VALUE]
    world.accept()
    await book.reload()
    assert [change.kind for change in book.upgrade.pending] == [Kind.HELD]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": 2}', b'{"schema": 1, "packs": {"pump": {"pump": 1}}}', b"\xff" * 9]
)
def test_a_damaged_file_keeps_guard_from_nothing_and_is_told(content: bytes, world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.upgrade().path.write_bytes(content)
    book = world.start()
    assert "shipped-rules.json" in str(book.upgrade.problem)
    assert book.active == 1
    assert book.problem is None
    assert world.upgrade().path.read_bytes() == content


def test_a_folder_that_cannot_be_written_keeps_guard_from_nothing(world: World) -> None:
    world.ship("0.4.0")
    world.state.write_text("in the way")
    assert world.start().active == 1


def test_people_are_told_once_with_the_lines_and_as_danger_where_it_protects_less(world: World) -> None:
    told: list[tuple[str, str, str, Level]] = []
    world.ship("0.4.0", MODE="enforce")
    world.start().upgrade.tell(lambda *words: told.append(words))
    world.ship("0.5.0", MODE="enforce", DANGER=0.75)
    world.start().upgrade.tell(lambda *words: told.append(words))
    world.ship("0.6.0", MODE="shadow")
    world.start().upgrade.tell(lambda *words: told.append(words))
    assert [(key, level) for key, _, _, level in told] == [
        ("upgrade", Level.NORMAL),
        ("upgrade", Level.WARNING),
        ("upgrade", Level.DANGER),
    ]
    assert told[1][1] == "an upgrade changed 1 value of shipped rules"
    assert told[1][2].splitlines()[0] == "pump: levels.danger 0.8 -> 0.75 (guard 0.4.0 -> 0.5.0)"
    assert "some protect less" in told[2][1]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from([*ORDER, None]), st.sampled_from([0.7, 0.8]), st.booleans()), min_size=2, max_size=6))
def test_no_sequence_of_upgrades_raises_a_mode_above_what_was_accepted(
    tmp_path_factory: pytest.TempPathFactory, versions: list[tuple[str | None, float, bool]]
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(tmp_path_factory.mktemp("upgrades"), monkeypatch)
        # Up to what it may run: its mode when it was noted, or accepted. None while a rule that an upgrade brought waits.
        ceiling: int | None = None
        for number, (mode, danger, is_accepted) in enumerate(versions):
            if mode is None:
                world.ship(f"0.{number}.0", "rules: {other: {mode: shadow, when: trades(10s) > 3, level: danger}}\n")
            else:
                world.ship(f"0.{number}.0", MODE=mode, DANGER=danger)
            config = load_guard(world.config, {})
            upgrade = world.upgrade()
            rules: RuleSet = upgrade.take(config, load_rules(config))
            upgrade.keep()
            running = next((ORDER.index(rule.spec.mode) for rule in rules.rules if rule.spec and rule.id == "pump"), None)
            if running is not None and mode is not None:
                shipped = ORDER.index(mode)
                if ceiling is None and (number == 0 or shipped <= ORDER.index("shadow")):
                    # Nothing is held down, so nothing is told: this is how it is known from now on.
                    ceiling = shipped
                assert running == min(shipped, ORDER.index("shadow") if ceiling is None else ceiling)
                assert (running < shipped) == any(change.kind in {Kind.HELD, Kind.NEW} for change in upgrade.pending)
            if is_accepted:
                upgrade.accept(config)
                ceiling = running


def test_a_new_rule_that_was_disabled_before_anybody_accepted_it_stays_so_when_a_version_raises_it(world: World) -> None:
    modes = []
    for number, mode in enumerate((None, "alert", "disabled", "shadow")):
        text = PACK if mode else "rules: {other: {mode: shadow, when: trades(10s) > 3, level: danger}}\n"
        world.ship(f"0.{number}.0", text, MODE=mode or "")
        modes.append(world.run())
    assert [running.get("pump") for _, running in modes] == [None, "shadow", "disabled", "disabled"]
    assert modes[3][0][-1] == "pump: mode disabled -> shadow, held at disabled (guard 0.2.0 -> 0.3.0)"


def test_a_damaged_file_raises_no_mode_above_the_one_that_ran_but_by_the_users_word(world: World) -> None:
    world.ship("0.4.0")
    world.run()
    world.ship("0.5.0", MODE="enforce")
    assert world.run()[1] == {"pump": "alert"}
    world.upgrade().path.write_bytes(b"{")
    for _ in range(2):
        assert world.run()[1] == {"pump": "alert"}
    world.write("override: {pump: {mode: enforce}}\n")
    assert world.run()[1] == {"pump": "enforce"}


async def test_a_file_that_is_damaged_beneath_a_running_guard_raises_no_mode_at_its_reload(world: World) -> None:
    world.ship("0.4.0")
    book = world.start()
    world.ship("0.5.0", MODE="enforce", DANGER=0.75)
    world.upgrade().path.write_bytes(b"{")
    await book.reload()
    assert [str(rule.mode) for rule in book.program.rules] == ["alert"]
    assert "shipped-rules.json" in str(book.upgrade.problem)
