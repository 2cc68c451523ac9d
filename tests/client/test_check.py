"""What a bot is told, for every state that a guard can be in while it is heard."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from client.images import MINUTE, SECOND, START_US, Machine, image, quarantine, view

from guard.client import ClearanceStatus
from guard.model import Block, IsolationState, Mode, Quarantine, TargetKind

if TYPE_CHECKING:
    from pathlib import Path

OPENING = ("open", "increase")
LEAVING = ("reduce", "close", "hedge")
ALLOWED, SHRINK, BLOCKED, UNKNOWN = ClearanceStatus


def test_calm_market_of_a_live_guard_is_allowed_with_all_that_stands_behind_it(machine: Machine) -> None:
    machine.publish(image())
    machine.clock.pass_time(0.1)
    clearance = machine.guard().check("sim", "X/USDT", side="buy")
    assert clearance[:3] == (ALLOWED, True, False)
    assert (clearance.reason, clearance.level, clearance.data) == ("", "normal", "ok")
    assert (clearance.rules_active, clearance.rules_expected) == (3, 4)
    assert (clearance.epoch, clearance.seq, clearance.durable, clearance.bypassed) == (7, 1, True, False)
    assert clearance.age_ms == pytest.approx(100)


def test_repeated_checks_give_the_same_answer_with_a_growing_age(machine: Machine) -> None:
    machine.publish(image())
    guard = machine.guard()
    ages = []
    for _ in range(5):
        first = guard.check("sim", "X/USDT")
        assert guard.check("sim", "X/USDT") == first
        ages.append(first.age_ms)
        machine.clock.pass_time(0.25)
    assert ages == pytest.approx([0, 250, 500, 750, 1000])


def test_block_is_seen_by_the_next_check(machine: Machine) -> None:
    machine.publish(image())
    guard = machine.guard()
    assert guard.check("sim", "X/USDT").permitted
    machine.publish(image(quarantine()), durable=False)
    clearance = guard.check("sim", "X/USDT")
    assert clearance[:6] == (BLOCKED, False, True, "up 9 %", "pump_dump", "danger")
    assert (clearance.quarantine_id, clearance.until_us) == ("aabbccddeeff", START_US + 30 * MINUTE)
    assert clearance.durable is False
    assert guard.check("sim", "Y/USDT").permitted


@pytest.mark.parametrize("looks", ["problem", "mode", "bypass"])
def test_asking_for_anything_else_between_never_revives_an_old_answer(machine: Machine, looks: str) -> None:
    machine.publish(image())
    guard = machine.guard()
    assert guard.check("sim", "X/USDT").permitted
    machine.publish(image(quarantine()))
    getattr(guard, looks)
    assert guard.check("sim", "X/USDT").status is BLOCKED


@pytest.mark.parametrize("intent", LEAVING)
@pytest.mark.parametrize("held", [quarantine(), quarantine(state=IsolationState.PROBATION)])
def test_leaving_a_position_always_passes_in_full_size(machine: Machine, intent: str, held: Quarantine) -> None:
    machine.publish(image(held))
    guard = machine.guard(strict=True)
    for seconds in (0, 5, 3600):
        machine.clock.pass_time(seconds)
        clearance = guard.check("sim", "X/USDT", intent=intent)
        assert (clearance.permitted, clearance.would_block, clearance.max_fraction) == (True, False, 1.0)


@pytest.mark.parametrize(
    ("symbol", "side", "intent", "permitted"),
    [
        ("X/USDT", None, None, False),
        ("X/USDT", "buy", None, False),
        ("X/USDT", "sell", None, True),
        ("X/USDT", "SELL", None, True),
        ("X/USDT:USDT", "sell", None, False),
        ("X/USDT", "sell", "open", False),
        ("X/USDT", "buy", "CLOSE", True),
        ("X/USDT", "buy", "leave", False),
    ],
)
def test_intent_follows_from_side_where_it_is_not_given(
    machine: Machine, symbol: str, side: str | None, intent: str | None, *, permitted: bool
) -> None:
    machine.publish(image(quarantine("X", kind=TargetKind.BASE)))
    assert machine.guard().check("sim", symbol, side, intent).permitted is permitted


@pytest.mark.parametrize(
    ("kind", "name", "blocked"),
    [
        (TargetKind.MARKET, "sim:X/USDT", {"sim:X/USDT"}),
        (TargetKind.SYMBOL, "X/USDT", {"sim:X/USDT", "okx:X/USDT"}),
        (TargetKind.BASE, "X", {"sim:X/USDT", "okx:X/USDT", "okx:X/EUR"}),
        (TargetKind.EXCHANGE, "okx", {"okx:X/USDT", "okx:X/EUR", "okx:Y/USDT"}),
    ],
)
def test_target_reaches_as_wide_as_it_says_watched_or_not(machine: Machine, kind: TargetKind, name: str, blocked: set[str]) -> None:
    machine.publish(image(quarantine(name, kind=kind)))
    guard = machine.guard()
    asked = ("sim:X/USDT", "sim:Y/USDT", "okx:X/USDT", "okx:X/EUR", "okx:Y/USDT")
    assert {market for market in asked if guard.check(*market.split(":")).status is BLOCKED} == blocked


@pytest.mark.parametrize(
    ("data", "status", "reason", "permitted"),
    [
        ("ok", ALLOWED, "", True),
        ("new", ALLOWED, "", True),
        ("degraded", ALLOWED, "warming", True),
        ("warming", UNKNOWN, "warming", True),
        ("stale", UNKNOWN, "feed_stale", False),
        ("maintenance", UNKNOWN, "feed_stale", False),
        ("a state of a later guard", UNKNOWN, "feed_stale", False),
    ],
)
def test_data_state_decides_what_guard_can_know(
    machine: Machine, data: str, status: ClearanceStatus, reason: str, *, permitted: bool
) -> None:
    machine.publish(image(markets={"sim:X/USDT": view(data)}))
    clearance = machine.guard().check("sim", "X/USDT")
    assert (clearance.status, clearance.reason, clearance.permitted) == (status, reason, permitted)
    assert clearance.would_block is not permitted
    assert clearance.data == data


def test_market_that_nobody_watches_is_unknown_and_permitted(machine: Machine) -> None:
    machine.publish(image())
    assert machine.guard().check("sim", "Z/USDT")[:4] == (UNKNOWN, True, False, "not_watched")


def test_policy_of_the_bot_goes_before_that_of_all_and_the_defaults(machine: Machine) -> None:
    policies = {"*": {"not_watched": False}, "brave": {"guard_silent": True, "not_watched": True}}
    machine.publish(image(on_unknown=policies))
    anyone, brave = machine.guard("other"), machine.guard("brave")
    assert [guard.check("sim", "Z/USDT").permitted for guard in (anyone, brave)] == [False, True]
    machine.clock.pass_time(3)
    assert [guard.check("sim", "X/USDT").permitted for guard in (anyone, brave)] == [False, True]


def test_probation_shrinks_by_the_smallest_fraction(machine: Machine) -> None:
    halves = [
        quarantine(state=IsolationState.PROBATION, max_fraction=0.25, identity="a"),
        quarantine("X", kind=TargetKind.BASE, block=Block.SHRINK, max_fraction=0.1, identity="b", until_us=START_US + MINUTE),
    ]
    machine.publish(image(*halves))
    guard = machine.guard()
    clearance = guard.check("sim", "X/USDT")
    assert (clearance.status, clearance.permitted, clearance.max_fraction, clearance.quarantine_id) == (SHRINK, True, 0.1, "a")
    machine.pass_time(61)
    assert guard.check("sim", "X/USDT").max_fraction == 0.25


def test_shrink_is_not_lifted_by_a_permitted_unknown(machine: Machine) -> None:
    held = quarantine(state=IsolationState.PROBATION)
    machine.publish(image(held, markets={"sim:X/USDT": view("warming")}))
    clearance = machine.guard().check("sim", "X/USDT")
    assert (clearance.status, clearance.max_fraction) == (SHRINK, 0.25)


def test_shrink_gives_way_to_a_refused_unknown(machine: Machine) -> None:
    held = quarantine(state=IsolationState.PROBATION)
    machine.publish(image(held, markets={"sim:X/USDT": view("stale")}))
    assert machine.guard().check("sim", "X/USDT")[:4] == (UNKNOWN, False, True, "feed_stale")


def test_strongest_block_wins_then_latest_end(machine: Machine) -> None:
    machine.publish(
        image(
            quarantine(identity="short", until_us=START_US + MINUTE),
            quarantine(identity="long", until_us=START_US + 9 * MINUTE),
            quarantine(identity="shrink", until_us=START_US + 99 * MINUTE, state=IsolationState.PROBATION),
        )
    )
    guard = machine.guard()
    assert guard.check("sim", "X/USDT").quarantine_id == "long"
    machine.pass_time(9 * 60 + 1)
    assert guard.check("sim", "X/USDT")[:2] == (SHRINK, True)


def test_timed_block_ends_with_its_time_to_the_second(machine: Machine) -> None:
    machine.publish(image(quarantine(until_us=START_US + 60 * SECOND)))
    guard = machine.guard()
    machine.pass_time(59.9995)
    assert guard.check("sim", "X/USDT").status is BLOCKED
    machine.clock.pass_time(0.0003)
    assert guard.check("sim", "X/USDT").status is BLOCKED
    machine.clock.pass_time(0.0003)
    assert guard.check("sim", "X/USDT").status is ALLOWED


def test_block_that_guard_must_end_waits_a_second_for_what_follows(machine: Machine) -> None:
    machine.publish(image(quarantine(until_us=START_US + 60 * SECOND, is_timed=False)))
    guard = machine.guard()
    machine.pass_time(60.9)
    assert guard.check("sim", "X/USDT").status is BLOCKED
    machine.pass_time(0.2)
    assert guard.check("sim", "X/USDT").status is ALLOWED


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_jump_of_the_wall_clock_changes_no_remaining_time(machine: Machine, jump_s: int) -> None:
    machine.publish(image(quarantine(until_us=START_US + 60 * SECOND)))
    guard = machine.guard()
    machine.clock.wall_us += jump_s * SECOND
    assert guard.check("sim", "X/USDT").status is BLOCKED
    assert machine.guard().check("sim", "X/USDT").status is BLOCKED
    machine.pass_time(59)
    assert guard.check("sim", "X/USDT").status is BLOCKED
    machine.pass_time(2)
    assert guard.check("sim", "X/USDT").status is ALLOWED


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ALERT])
def test_under_observe_and_alert_all_is_permitted_and_says_what_would_be_refused(machine: Machine, mode: Mode) -> None:
    held = [quarantine(), quarantine("sim:Y/USDT", state=IsolationState.PROBATION)]
    machine.publish(image(*held, mode=mode))
    guard = machine.guard()
    assert guard.check("sim", "X/USDT")[:3] == (BLOCKED, True, True)
    shrunk = guard.check("sim", "Y/USDT")
    assert (shrunk.status, shrunk.permitted, shrunk.would_block, shrunk.max_fraction) == (SHRINK, True, False, 1.0)
    machine.clock.pass_time(3)
    assert guard.check("sim", "Y/USDT")[:4] == (UNKNOWN, True, True, "guard_silent")
    assert machine.guard(strict=True).check("sim", "Y/USDT").permitted
    machine.publisher.path.unlink()
    machine.clock.pass_time(1)
    assert guard.check("sim", "Y/USDT")[:3] == (UNKNOWN, True, True)


@pytest.mark.parametrize(
    "arguments", [(None, None), (1, 2), (["sim"], "X/USDT"), ("sim", "X/USDT", 5), ("sim", "X/USDT", "buy", {})]
)
@pytest.mark.parametrize("mode", [Mode.ENFORCE, Mode.OBSERVE])
def test_nonsense_never_raises_and_is_refused_where_guard_enforces(
    machine: Machine, arguments: tuple[str, ...], mode: Mode
) -> None:
    machine.publish(image(mode=mode, on_unknown={"*": {"not_watched": False}}))
    guard = machine.guard()
    clearance = guard.check(*arguments)
    assert clearance.status is UNKNOWN
    assert clearance.permitted is (mode is Mode.OBSERVE)
    assert guard.check("sim", "X/USDT").permitted


def test_word_that_is_no_intent_counts_as_open_and_is_told(machine: Machine) -> None:
    machine.publish(image(quarantine()))
    guard = machine.guard()
    assert not guard.check("sim", "X/USDT", intent="flee").permitted
    assert "'flee' counts as open" in str(guard.problem)
    with pytest.raises(ValueError, match="flee"):
        machine.guard(strict=True).check("sim", "X/USDT", intent="flee")


def test_threads_that_share_one_guard_never_see_an_answer_older_than_the_last_publication(machine: Machine) -> None:
    machine.publish(image())
    guard = machine.guard()
    wrong: list[int] = []
    finished = threading.Event()
    published = [1]

    def ask() -> None:
        while not finished.is_set():
            least = published[0]
            seq = guard.check("sim", "X/USDT").seq
            if seq < least:
                wrong.append(seq)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for round_ in range(300):
        machine.publish(image(quarantine()) if round_ % 2 else image())
        published[0] = machine.seq
        machine.clock.pass_time(0.0004)
    finished.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_memory_stays_bounded_for_a_bot_that_asks_ever_new_words(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guard.client.check._ANSWERS_MAX", 10)
    machine.publish(image())
    guard = machine.guard()
    for number in range(50):
        assert guard.check("sim", f"{number}/USDT").reason == "not_watched"
    ready = guard._ready
    assert len(ready.answers) == 10


def test_state_is_found_beside_the_nearest_guard_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from guard.client.places import locate

    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "guard.yaml").touch()
    monkeypatch.delenv("GUARD_STATE", raising=False)
    monkeypatch.chdir(deep)
    assert locate().state == str(tmp_path / ".guard")
    (tmp_path / "guard.yaml").unlink()
    assert locate().state == str(deep / ".guard")
    monkeypatch.setenv("GUARD_STATE", str(tmp_path / "elsewhere"))
    assert locate().snapshot == str(tmp_path / "elsewhere/snapshot/guard.snapshot")
    assert locate(tmp_path / "mounted" / "snapshot").snapshot == str(tmp_path / "mounted/snapshot/guard.snapshot")
