"""One snapshot, several bots: what each is held back from, and that no policy closes a way out."""

from __future__ import annotations

import logging

import pytest
from client.images import BOOT_ID, MINUTE, SECOND, START_US, Machine, image, quarantine, view
from hypothesis import given
from hypothesis import strategies as st

from guard.client import ClearanceStatus
from guard.client.answer import ON_UNKNOWN, Question, answer
from guard.client.payload import PublishedBlock, decode, encode
from guard.client.policies import bot_policy, counts, policy_record, read_policy
from guard.model import (
    NEW_US,
    Block,
    BotPolicy,
    Intent,
    IsolationState,
    Level,
    ListingAnswer,
    Market,
    Mode,
    NewListings,
    Target,
    TargetKind,
)

HOUR = 60 * MINUTE
REFUSE_A_DAY = NewListings(ListingAnswer.REFUSE, 24 * HOUR)
WORDS = st.lists(st.text(max_size=6), max_size=3).map(tuple)
POLICIES = st.builds(
    BotPolicy,
    st.none() | st.sampled_from(Mode),
    WORDS,
    WORDS,
    st.sampled_from(["warning", "danger", "critical"]),
    st.sampled_from([("buy",), ("sell",), ("buy", "sell")]),
    st.lists(st.sampled_from(["sim", "okx"]), max_size=2).map(tuple),
    st.builds(NewListings, st.sampled_from(ListingAnswer), st.integers(1, 30 * 24 * HOUR), st.sampled_from([0.1, 0.5])),
)


def block(**more: object) -> PublishedBlock:
    plain = PublishedBlock(
        "a", Target(TargetKind.MARKET, "sim:X/USDT"), IsolationState.QUARANTINED, Block.ENTRIES, "pump_dump", "danger", "up 9 %",
        START_US, START_US + HOUR, is_timed=True, max_fraction=0.25, market="sim:X/USDT", actor="guard", repetition=0,
        tags=frozenset({"thin"}),
    )  # fmt: skip
    return plain._replace(**more)  # type: ignore[arg-type]


@given(POLICIES)
def test_policy_survives_the_way_to_a_bot(policy: BotPolicy) -> None:
    record = policy_record(policy)
    assert read_policy({name: list(value) if isinstance(value, tuple) else value for name, value in record.items()}) == policy


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", "maybe"), ("min_level", "severe"), ("sides", ["both"]), ("sides", "buy"), ("rules", None), ("new_listings", {})],
)
def test_policy_that_guard_would_not_write_is_refused(name: str, value: object) -> None:
    record = {key: list(found) if isinstance(found, tuple) else found for key, found in policy_record(BotPolicy()).items()}
    with pytest.raises((ValueError, KeyError)):
        read_policy({**record, name: value})


@pytest.mark.parametrize(
    ("policy", "held", "is_counted"),
    [
        (BotPolicy(), block(), True),
        (BotPolicy(rules=("pump_*",)), block(), True),
        (BotPolicy(rules=("divergence",)), block(), False),
        (BotPolicy(rules=("divergence",), tags=("thin",)), block(), True),
        (BotPolicy(tags=("thick",)), block(), False),
        (BotPolicy(tags=("thick",)), block(tags=None), True),
        (BotPolicy(tags=("thick",)), block(source="operator", rule="operator"), True),
        (BotPolicy(min_level="critical"), block(), False),
        (BotPolicy(min_level="danger"), block(), True),
        (BotPolicy(min_level="critical"), block(level="of a later guard"), True),
        (BotPolicy(min_level="critical", rules=("x",)), block(source="list:mine"), True),
    ],
)
def test_what_rules_hold_counts_by_rule_tag_and_level_and_the_rest_always(
    policy: BotPolicy, held: PublishedBlock, *, is_counted: bool
) -> None:
    assert counts(policy, held) is is_counted


@pytest.mark.parametrize(
    ("policy", "permitted_by"),
    [
        (BotPolicy(mode=Mode.OBSERVE), "bot_mode"),
        (BotPolicy(mode=Mode.ALERT), "bot_mode"),
        (BotPolicy(rules=("divergence",)), "bot_rules"),
        (BotPolicy(tags=("other",)), "bot_rules"),
        (BotPolicy(min_level="critical"), "bot_rules"),
        (BotPolicy(sides=("sell",)), "bot_sides"),
        (BotPolicy(exchanges=("okx",)), "bot_exchanges"),
    ],
)
def test_block_that_a_policy_lets_pass_is_told_with_its_reason(machine: Machine, policy: BotPolicy, permitted_by: str) -> None:
    machine.publish(image(quarantine(), bots={"brave": policy}, rule_tags={"pump_dump": ("thin",)}))
    brave = machine.guard("brave").check("sim", "X/USDT", "buy")
    assert (brave.status, brave.permitted, brave.would_block) == (ClearanceStatus.BLOCKED, True, True)
    assert (brave.reason, brave.rule, brave.permitted_by) == ("up 9 %", "pump_dump", permitted_by)
    other = machine.guard("other").check("sim", "X/USDT", "buy")
    assert (other.permitted, other.permitted_by) == (False, "")


@pytest.mark.parametrize("ceiling", [Mode.OBSERVE, Mode.ALERT])
def test_policy_never_raises_the_ceiling(machine: Machine, ceiling: Mode) -> None:
    machine.publish(image(quarantine(), mode=ceiling, bots={"strict": BotPolicy(mode=Mode.ENFORCE)}))
    clearance = machine.guard("strict").check("sim", "X/USDT")
    assert (clearance.permitted, clearance.would_block, clearance.permitted_by) == (True, True, "mode")


def test_name_without_an_entry_takes_that_of_all_and_says_so_where_bots_are_named(machine: Machine) -> None:
    machine.publish(image(quarantine(), bots={"*": BotPolicy(), "grid": BotPolicy(mode=Mode.OBSERVE)}))
    typo = machine.guard("gird")
    assert not typo.check("sim", "X/USDT").permitted
    assert "'gird'" in str(typo.problem)
    assert "it names grid" in str(typo.problem)
    assert machine.guard("grid").problem is None
    assert machine.guard().problem is None
    machine.publish(image(bots={"*": BotPolicy()}))
    assert machine.guard("gird").problem is None


def test_refused_unknown_still_refuses_where_the_block_does_not_count(machine: Machine) -> None:
    policy = {"b": BotPolicy(rules=("divergence",))}
    machine.publish(image(quarantine(), bots=policy, markets={"sim:X/USDT": view("stale")}))
    clearance = machine.guard("b").check("sim", "X/USDT")
    assert clearance[:4] == (ClearanceStatus.UNKNOWN, False, True, "feed_stale")


def test_limit_that_counts_shrinks_beside_a_block_that_does_not(machine: Machine) -> None:
    limit = quarantine(identity="b", rule="divergence", state=IsolationState.PROBATION, max_fraction=0.1)
    machine.publish(image(quarantine(), limit, bots={"b": BotPolicy(rules=("divergence",))}))
    clearance = machine.guard("b").check("sim", "X/USDT")
    assert (clearance.status, clearance.permitted, clearance.max_fraction) == (ClearanceStatus.BLOCKED, True, 0.1)


def test_level_of_a_block_decides_with_min_level(machine: Machine) -> None:
    machine.publish(image(quarantine(level=Level.WARNING), bots={"b": BotPolicy(min_level="danger")}))
    assert machine.guard("b").check("sim", "X/USDT").permitted
    machine.publish(image(quarantine(level=Level.CRITICAL), bots={"b": BotPolicy(min_level="danger")}))
    assert not machine.guard("b").check("sim", "X/USDT").permitted


@given(policy=POLICIES, intent=st.sampled_from(["reduce", "close", "hedge"]), side=st.sampled_from(["buy", "sell", None]))
def test_no_policy_closes_a_way_out(policy: BotPolicy, intent: str, side: str | None) -> None:
    new = view()._replace(listed_until_us=START_US + NEW_US)
    state = image(quarantine(), bots={"b": policy}, markets={"sim:X/USDT": new})
    snapshot = decode(encode(state, epoch=1, seq=1, durable=True, wall_us=START_US, boot_ns=9, boot_id=BOOT_ID))
    question = Question(
        Market("sim", "X/USDT"), Intent(intent), snapshot.boot_ns, START_US, is_fresh=True, compares_clocks=True,
        policy=dict.fromkeys(ON_UNKNOWN, False), bot=bot_policy(snapshot, "b"), side=side,
    )  # fmt: skip
    clearance = answer(snapshot, question).clearance
    assert (clearance.permitted, clearance.max_fraction, clearance.would_block) == (True, 1.0, False)


def listed(age_us: int, data: str = "new") -> dict[str, object]:
    return {"sim:X/USDT": view(data)._replace(listed_until_us=START_US - age_us + NEW_US)}


@pytest.mark.parametrize("data", ["new", "warming", "degraded"])
def test_new_listing_is_refused_until_the_bots_own_time_is_over(machine: Machine, data: str) -> None:
    machine.publish(image(markets=listed(23 * HOUR, data), bots={"b": BotPolicy(new_listings=REFUSE_A_DAY)}))
    guard, other = machine.guard("b"), machine.guard()
    clearance = guard.check("sim", "X/USDT")
    assert clearance[:4] == (ClearanceStatus.BLOCKED, False, True, "new_listing")
    assert (clearance.until_us, clearance.quarantine_id, clearance.rule) == (START_US + HOUR, None, None)
    assert other.check("sim", "X/USDT").permitted
    machine.pass_time(3599)
    assert not guard.check("sim", "X/USDT").permitted
    machine.pass_time(2)
    assert guard.check("sim", "X/USDT").permitted


def test_new_listing_is_shrunk_and_a_smaller_limit_counts(machine: Machine) -> None:
    policy = BotPolicy(new_listings=NewListings(ListingAnswer.SHRINK, NEW_US, 0.5))
    machine.publish(image(markets=listed(HOUR), bots={"b": policy}))
    clearance = machine.guard("b").check("sim", "X/USDT")
    assert (clearance.status, clearance.reason, clearance.max_fraction) == (ClearanceStatus.SHRINK, "new_listing", 0.5)
    assert clearance.until_us == START_US + NEW_US - HOUR
    machine.publish(image(quarantine(state=IsolationState.PROBATION), markets=listed(HOUR), bots={"b": policy}))
    clearance = machine.guard("b").check("sim", "X/USDT")
    assert (clearance.rule, clearance.max_fraction) == ("pump_dump", 0.25)


def test_refused_new_listing_stays_refused_while_guard_is_silent_and_a_quarantine_goes_first(machine: Machine) -> None:
    policy = {"*": BotPolicy(new_listings=REFUSE_A_DAY)}
    machine.publish(image(markets=listed(HOUR), bots=policy))
    guard = machine.guard()
    machine.clock.pass_time(10)
    assert guard.check("sim", "X/USDT").reason == "new_listing"
    machine.publish(image(quarantine(), markets=listed(HOUR), bots=policy))
    assert guard.check("sim", "X/USDT").rule == "pump_dump"


def test_jump_of_the_wall_clock_does_not_end_a_new_listing(machine: Machine) -> None:
    machine.publish(image(markets=listed(23 * HOUR), bots={"*": BotPolicy(new_listings=REFUSE_A_DAY)}))
    guard = machine.guard()
    machine.clock.wall_us += 86_400 * SECOND
    assert not guard.check("sim", "X/USDT").permitted
    assert not machine.guard().check("sim", "X/USDT").permitted


def test_bot_is_told_of_a_problem_once_when_it_starts(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        guard = machine.guard(tells=True)
        for _ in range(3):
            guard.check("sim", "X/USDT")
    assert [record.name for record in caplog.records] == ["guard.client"]
    assert "start `guard run`" in caplog.text
    machine.publish(image())
    caplog.clear()
    machine.guard(tells=True)
    assert caplog.records == []


def test_what_is_held_now_is_listed_by_exchange_and_also_in_silence(machine: Machine) -> None:
    held = [
        quarantine(identity="market"),
        quarantine("okx", kind=TargetKind.EXCHANGE, identity="exchange"),
        quarantine("X", kind=TargetKind.BASE, identity="base", until_us=START_US + MINUTE),
    ]
    guard = machine.guard()
    assert guard.blocks() == ()
    machine.publish(image(*held, rule_tags={"pump_dump": ("thin",)}))
    machine.clock.pass_time(0.1)
    assert [each.id for each in guard.blocks()] == ["market", "exchange", "base"]
    assert [each.id for each in guard.blocks("okx")] == ["exchange", "base"]
    assert guard.blocks("sim")[0].tags == {"thin"}
    machine.clock.pass_time(61)
    assert [each.id for each in guard.blocks("okx")] == ["exchange"]
    machine.publisher.path.unlink()
    machine.clock.pass_time(1)
    assert [each.id for each in guard.blocks("sim")] == ["market"]


@pytest.mark.parametrize(
    ("rule", "source"), [("operator", "operator"), ("market_wide", "market_wide"), ("list:delisted", "list:delisted")]
)
def test_what_no_rule_holds_counts_for_every_bot(machine: Machine, rule: str, source: str) -> None:
    narrow = {"b": BotPolicy(rules=("divergence",), tags=("x",), min_level="critical")}
    machine.publish(image(quarantine(rule=rule), bots=narrow, rule_tags={"pump_dump": ()}))
    guard = machine.guard("b")
    assert not guard.check("sim", "X/USDT").permitted
    assert [block.source for block in guard.blocks()] == [source]


@pytest.mark.parametrize("side", ["long", "short", "LONG", "", " buy", "bid", "Side.BUY", "1"])
def test_a_side_that_is_neither_buy_nor_sell_is_never_outside_of_a_policy(machine: Machine, side: str) -> None:
    machine.publish(image(quarantine(), bots={"*": BotPolicy(), "long": BotPolicy(sides=("buy",))}))
    for bot in (None, "long"):
        found = machine.guard(bot).check("sim", "X/USDT", side=side)
        assert (found.permitted, found.status, found.permitted_by) == (False, ClearanceStatus.BLOCKED, ""), bot
