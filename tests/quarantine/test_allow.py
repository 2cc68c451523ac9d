"""Allow entries: what they override, for how long, and what they never do."""

from __future__ import annotations

import json

import pytest
from quarantine.holds import HOUR, MINUTE, ON_X, X, hold

from guard.errors import OperationRefused
from guard.model import AddAllow, AddQuarantine, AllowEntry, Market, RemoveAllow, Target, TargetKind
from guard.quarantine import IsolationManager
from guard.quarantine.allow import AllowList

BASE = Target(TargetKind.BASE, "X")


def ordered(rules: tuple[str, ...] = (), target: Target = ON_X) -> tuple[IsolationManager, AllowEntry]:
    manager = IsolationManager()
    (change,) = manager.allowed.operate(AddAllow(target, rules, HOUR, "ours", "ann"), 0)
    return manager, change.entry


def test_an_entry_overrides_the_rules_that_it_names_until_it_ends() -> None:
    manager, entry = ordered(("pump_dump",))
    assert manager.quarantine(hold(), MINUTE) == ()
    assert len(manager.quarantine(hold(rule="wash"), MINUTE)) == 1
    (*_, opened) = manager.quarantine(hold(), HOUR)
    assert (opened.cause, opened.quarantine.hold.rule) == ("rule", "pump_dump")
    assert (entry.reason, entry.actor, entry.until_us) == ("ours", "ann", HOUR)


def test_a_persons_own_hold_stands_under_any_entry() -> None:
    manager, _ = ordered()
    assert manager.operate(AddQuarantine(ON_X, HOUR, "rumour", "bob"), MINUTE)
    assert [held.hold.rule for held in manager.covering(X)] == ["operator"]
    with pytest.raises(OperationRefused, match="never overrides a person's own hold"):
        manager.allowed.operate(AddAllow(BASE, ("operator",), HOUR, "x", "ann"), MINUTE)


def test_what_is_held_already_stays_held() -> None:
    manager = IsolationManager()
    manager.quarantine(hold(), 0)
    manager.allowed.operate(AddAllow(ON_X, (), HOUR, "ours", "ann"), MINUTE)
    assert len(manager.active()) == 1


def test_an_entry_of_an_asset_reaches_every_spelling_and_no_wider_hold() -> None:
    manager, _ = ordered(target=Target(TargetKind.BASE, "1000PEPE"))
    kilo = Market.parse("okx:1000PEPE/USDT:USDT")
    held = hold(market=kilo, target=Target(TargetKind.MARKET, str(kilo)))
    assert manager.quarantine(held, MINUTE) == ()
    assert manager.quarantine(held._replace(target=Target(TargetKind.SYMBOL, "PEPE/USDT")), MINUTE) == ()
    assert len(manager.quarantine(held._replace(target=Target(TargetKind.EXCHANGE, "okx")), MINUTE)) == 1


def test_entries_survive_saving_and_the_ledger() -> None:
    manager, entry = ordered(("pump_dump",))
    again = IsolationManager()
    again.load(json.loads(json.dumps(manager.save())))
    assert again.allowed.all(0) == (entry,)
    after = IsolationManager()
    after.allowed.restore((entry,), MINUTE)
    assert after.quarantine(hold(), MINUTE) == ()
    after.allowed.restore((entry,), 2 * HOUR)
    assert after.allowed.all(2 * HOUR) == ()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (AddAllow(Target(TargetKind.EXCHANGE, "sim"), (), HOUR, "x", "a"), "a whole exchange"),
        (AddAllow(ON_X, (), 0, "x", "a"), "above 0"),
        (AddAllow(Target(TargetKind.MARKET, "X/USDT"), (), HOUR, "x", "a"), "exchange:SYMBOL"),
        (AddAllow(Target(TargetKind.BASE, ""), (), HOUR, "x", "a"), "empty base"),
        (RemoveAllow(None, None, "x", "a"), "found neither"),
        (RemoveAllow(None, "0123456789ab", "x", "a"), "ordered are none"),
        (RemoveAllow(Target(TargetKind.BASE, "FILE"), None, "x", "a"), "take it out there"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_with_the_way_out(command: AddAllow | RemoveAllow, words: str) -> None:
    allowed = AllowList()
    allowed.write((AllowEntry(Target(TargetKind.BASE, "FILE"), reason="core"),))
    with pytest.raises(OperationRefused, match=words):
        allowed.operate(command, 0)


def test_a_longer_entry_is_taken_beside_a_shorter_one_and_both_go_by_target() -> None:
    allowed = AllowList()
    for at_us, length_us in ((0, MINUTE), (1, HOUR)):
        allowed.operate(AddAllow(ON_X, (), length_us, "x", "a"), at_us)
    with pytest.raises(OperationRefused, match="already"):
        allowed.operate(AddAllow(ON_X, (), 30 * MINUTE, "x", "a"), 2)
    assert len(allowed.operate(RemoveAllow(ON_X, None, "x", "a"), 3)) == 2


def test_entries_are_bounded() -> None:
    allowed = AllowList()
    for number in range(1_000):
        allowed.operate(AddAllow(Target(TargetKind.BASE, f"C{number}"), (), HOUR, "x", "a"), 0)
    with pytest.raises(OperationRefused, match="1000 allow entries"):
        allowed.operate(AddAllow(BASE, (), HOUR, "x", "a"), 0)
    assert allowed.operate(AddAllow(BASE, (), HOUR, "x", "a"), HOUR)
