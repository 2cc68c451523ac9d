"""How long a stay lasts: escalation, jitter, dwell, the longest time, a person's extension; and which stays belong together."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quarantine.holds import DAY, HOUR, MINUTE, ON_X, SECOND, X, Y, hold

from guard.errors import OperationRefused
from guard.model import AddQuarantine, ExtendQuarantine, IsolationState, Market, ReleaseQuarantine, Target, TargetKind
from guard.quarantine import IsolationManager


def floors(jitter: float, seed_us: int, *, max_us: int = DAY) -> list[int]:
    """Return how long five stays in a row last at least, each released by a person at its floor."""
    manager, at_us, found = IsolationManager(), seed_us, []
    for _ in range(5):
        (opened,) = manager.quarantine(hold(max_us=max_us)._replace(jitter=jitter), at_us)
        found.append(opened.quarantine.floor_us - at_us)
        at_us = opened.quarantine.floor_us
        manager.operate(ReleaseQuarantine(ON_X, None, "", "ann", grace_us=0), at_us)
    return found


@given(seed_us=st.integers(0, 10**15), jitter=st.floats(0.0, 1.0))
def test_jitter_lengthens_repetitions_only_within_its_share_and_the_cap(seed_us: int, jitter: float) -> None:
    plain, drawn = floors(0.0, seed_us), floors(jitter, seed_us)
    assert drawn[0] == plain[0]
    assert all(least <= length <= least * (1 + jitter) + 1 for least, length in zip(plain, drawn, strict=True))
    assert all(length <= 2 * HOUR for length in floors(jitter, seed_us, max_us=2 * HOUR))
    assert floors(jitter, seed_us) == drawn


def test_jitter_differs_from_one_repetition_to_the_next() -> None:
    plain, drawn = floors(0.0, 7), floors(0.5, 7)
    assert len({length / least for least, length in zip(plain[1:], drawn[1:], strict=True)}) == 4


def test_a_score_that_flaps_around_its_threshold_moves_a_market_once_a_minute_at_most() -> None:
    manager = IsolationManager()
    flapping = hold(for_us=SECOND, max_us=HOUR, factor=1.0, forget_us=0, release_for_us=0, probation_us=0)
    changes = []
    for at_us in range(0, 20 * MINUTE, SECOND // 2):
        changes += manager.calm("pump_dump", X, at_us, is_calm=at_us % SECOND == 0)
        if at_us % SECOND:
            changes += manager.quarantine(flapping, at_us)
    entered = [each.at_us for each in changes if each.previous is IsolationState.NORMAL]
    assert 10 < len(entered) <= 21
    assert all(later - earlier >= MINUTE for earlier, later in pairwise(entered[1:]))


def test_a_rule_holds_for_a_day_at_most_and_then_goes_to_probation_whatever_it_asks_for() -> None:
    manager = IsolationManager()
    (opened,) = manager.quarantine(hold(for_us=3 * DAY, max_us=30 * DAY, probation_us=0), 0)
    assert opened.quarantine.last_end_us == DAY
    causes = [(each.cause, each.at_us, each.quarantine.state) for each in manager.advance(40 * DAY) if each.cause != "extend"]
    assert causes == [
        ("max", DAY, IsolationState.PROBATION),
        ("probation_end", DAY + 30 * MINUTE, IsolationState.NORMAL),
    ]


def test_a_person_holds_beyond_a_day_and_the_next_stay_is_the_rules_own_again() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    manager.operate(ExtendQuarantine(ON_X, None, 3 * DAY, "still there", "ann"), MINUTE)
    (held,) = manager.active()
    assert (held.floor_us, held.last_end_us) == (3 * DAY + MINUTE, 3 * DAY + MINUTE)
    manager.calm("pump_dump", X, 0, is_calm=True)
    last = [each for each in manager.advance(3 * DAY + 2 * MINUTE) if each.quarantine.state is IsolationState.PROBATION]
    assert [each.at_us for each in last] == [3 * DAY + MINUTE]
    (again,) = manager.quarantine(hold(), 3 * DAY + 3 * MINUTE)
    assert again.cause == "reoffence"
    assert again.quarantine.last_end_us - again.at_us == DAY


def test_an_extension_keeps_probation_and_cannot_shorten() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    manager.calm("pump_dump", X, 0, is_calm=True)
    manager.advance(40 * MINUTE)
    manager.operate(ExtendQuarantine(ON_X, None, 5 * HOUR, "slowly", "ann"), 41 * MINUTE)
    (held,) = manager.active()
    assert (held.state, held.until_us) == (IsolationState.PROBATION, 41 * MINUTE + 5 * HOUR)
    with pytest.raises(OperationRefused, match="ends later"):
        manager.operate(ExtendQuarantine(None, held.id, HOUR, "x", "ann"), 42 * MINUTE)


def test_an_extended_stay_restored_after_the_clock_was_set_back_lasts_no_longer() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 10 * DAY)
    manager.operate(ExtendQuarantine(ON_X, None, 3 * DAY, "x", "ann"), 10 * DAY + HOUR)
    after = IsolationManager()
    after.restore(manager.active(), 9 * DAY)
    (held,) = after.active()
    assert held.until_us - 9 * DAY <= 3 * DAY + HOUR


def on(market: Market) -> Target:
    return Target(TargetKind.MARKET, str(market))


def zones(manager: IsolationManager) -> dict[str, str]:
    return {f"{each.hold.rule} {each.target}": each.hold.zone for each in manager.active()}


def test_quarantines_of_one_asset_on_two_exchanges_share_a_zone() -> None:
    manager, kilo = IsolationManager(), Market.parse("okx:1000X/USDT:USDT")
    pepe, thousand = Market.parse("sim:PEPE/USDT"), Market.parse("okx:1000PEPE/USDT:USDT")
    manager.quarantine(hold(market=pepe, target=on(pepe)), 0)
    manager.quarantine(hold(rule="wash", market=thousand, target=on(thousand)), 30 * SECOND)
    manager.quarantine(hold(rule="spoof", market=kilo, target=on(kilo)), 30 * SECOND)
    found = zones(manager)
    assert found["pump_dump sim:PEPE/USDT"] == found["wash okx:1000PEPE/USDT:USDT"] != found["spoof okx:1000X/USDT:USDT"]


@pytest.mark.parametrize(("gap_us", "is_one"), [(60 * SECOND, True), (60 * SECOND + 1, False)])
def test_one_rule_on_two_markets_is_one_incident_within_a_minute(gap_us: int, *, is_one: bool) -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    manager.quarantine(hold(market=Y, target=on(Y)), gap_us)
    assert (len(set(zones(manager).values())) == 1) is is_one


def test_an_incident_does_not_go_on_for_ever() -> None:
    manager = IsolationManager()
    for number in range(30):
        market = Market.parse(f"sim:C{number}/USDT")
        manager.quarantine(hold(market=market, target=on(market)), number * 50 * SECOND)
    assert len(set(zones(manager).values())) == 3


def test_zones_survive_saving_and_a_restart_from_the_ledger() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    saved, restored = IsolationManager(), IsolationManager()
    saved.load(json.loads(json.dumps(manager.save())))
    restored.restore(manager.active(), 10 * SECOND)
    for each in (manager, saved, restored):
        each.quarantine(hold(market=Y, target=on(Y)), 20 * SECOND)
        assert len(set(zones(each).values())) == 1


def test_a_persons_hold_belongs_to_no_incident() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    manager.operate(AddQuarantine(on(Y), HOUR, "rumour", "ann"), 1)
    assert zones(manager)[f"operator {Y}"] == ""


def test_targets_hold_what_is_one_asset_under_aliases_and_nothing_else() -> None:
    manager = IsolationManager(aliases={"binance:BEAMX": "BEAM"})
    manager.operate(AddQuarantine(Target(TargetKind.BASE, "BEAM"), HOUR, "x", "ann"), 0)
    states = {
        name: str(manager.state_of(Market.parse(name))) for name in ("binance:BEAMX/USDT", "gate:BEAMX/USDT", "gate:BEAM/USDT")
    }
    assert states == {"binance:BEAMX/USDT": "quarantined", "gate:BEAMX/USDT": "normal", "gate:BEAM/USDT": "quarantined"}


def test_a_symbol_held_by_its_old_spelling_still_holds_after_an_upgrade() -> None:
    manager, market = IsolationManager(), Market.parse("okx:1000PEPE/USDT")
    (opened,) = manager.quarantine(hold(market=market, target=Target(TargetKind.SYMBOL, "PEPE/USDT")), 0)
    old = opened.quarantine._replace(hold=opened.quarantine.hold._replace(target=Target(TargetKind.SYMBOL, "1000PEPE/USDT")))
    after = IsolationManager()
    after.restore((old,), MINUTE)
    assert after.state_of(market) is IsolationState.QUARANTINED
    assert after.operate(ReleaseQuarantine(Target(TargetKind.SYMBOL, "1000PEPE/USDT"), None, "", "ann"), MINUTE)
