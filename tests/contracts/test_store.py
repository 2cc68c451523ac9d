"""What every store promises; a new one joins by a line in `STORES`."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from quarantine.holds import DAY, HOUR, MINUTE
from store.decisions import NOW, HandClock, decision, delivered, delivery, quarantine, transition, verdict

from guard.errors import StateError
from guard.model import AddAllow, Decision, DeliveryState, IsolationState, Level, RemoveAllow, Target, TargetKind
from guard.quarantine import AllowList
from guard.store import LedgerStore, MemoryStore

AnyStore = LedgerStore | MemoryStore
STORES: dict[str, Callable[[Path, HandClock], AnyStore]] = {
    "memory": lambda _, clock: MemoryStore(clock),
    "sqlite": lambda folder, clock: LedgerStore(folder / "ledger.sqlite", clock, busy_timeout_s=0.05),
}


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: HandClock) -> AsyncIterator[AnyStore]:
    made = STORES[request.param](tmp_path, clock)
    yield made
    await made.close()


async def test_a_new_store_is_empty(store: AnyStore) -> None:
    state = await store.open()
    assert (state.epoch, state.seq, state.quarantines, state.pending, state.recent_deliveries) == (1, 0, (), (), ())
    assert await store.changes(0) == []
    assert await store.audit() == []
    assert await store.due("ops", now_us=NOW) is None
    assert await store.outbox() == {}
    assert (await store.verify()).rows == 0


async def test_what_was_committed_is_there_after_a_restart(store: AnyStore) -> None:
    first = await store.open()
    assert await store.commit([decision()], epoch=first.epoch) == 2
    await store.close()
    state = await store.open()
    assert (state.epoch, state.seq) == (2, 2)
    assert state.quarantines == (quarantine(),)
    assert state.pending == state.recent_deliveries == (delivery("d0"),)
    assert await store.load() == state


async def test_allow_entries_are_audited_and_stand_after_a_restart_until_they_are_taken_back(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    allowed, orders = AllowList(), []
    for base in ("A", "B"):
        orders += allowed.operate(AddAllow(Target(TargetKind.BASE, base), ("pump_dump",), DAY, "ours", "ann"), NOW)
    await store.commit([Decision(NOW, allows=tuple(orders))], epoch=epoch)
    removed = allowed.operate(RemoveAllow(None, orders[0].entry.id, "no more", "bob"), NOW + MINUTE)
    seq = await store.commit([Decision(NOW + MINUTE, allows=removed), decision(7)], epoch=epoch)
    await store.close()
    assert (await store.open()).allows == (orders[1].entry,)
    rows = [row for row in await store.audit() if row["type"] == "allow"]
    assert [(row["cause"], row["actor"], row["allowed"]) for row in rows] == [
        ("removed", "bob", "base:A"), ("added", "ann", "base:B"), ("added", "ann", "base:A"),
    ]  # fmt: skip
    assert (await store.verify()).seq == seq


async def test_an_older_epoch_is_refused_and_nothing_written(store: AnyStore) -> None:
    old = await store.open()
    new = await store.open()
    assert new.epoch == old.epoch + 1
    with pytest.raises(StateError, match=r"another guard took .* epoch is 2, this one's 1"):
        await store.commit([decision()], epoch=old.epoch)
    assert (await store.load()).quarantines == ()
    assert await store.commit([decision()], epoch=new.epoch) == 2


async def test_audit_rows_tell_transitions_and_verdicts_with_actor_and_cause(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    quiet = verdict(level=Level.NORMAL, previous=Level.NORMAL)
    await store.commit([decision(verdicts=(verdict(), quiet))], epoch=epoch)
    (first, told), (second, held) = await store.changes(0)
    assert (first, second) == (1, 2)
    assert (told["type"], told["level"], told["score"], told["target"]) == ("verdict", "danger", 0.84, "sim:X/USDT")
    assert told["findings"][0]["evidence"] == {"ret(60s)": 0.04, "spread()": None, "vol_z(30s)": None}
    assert (held["type"], held["state"], held["previous"], held["cause"], held["actor"]) == (
        "quarantine", "quarantined", "normal", "rule", "guard",
    )  # fmt: skip
    assert held["quarantine"]["id"] == quarantine().id


async def test_the_log_gives_the_order_of_a_decision(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    await store.commit([decision(log=(transition(), verdict()))], epoch=epoch)
    assert [row["type"] for _, row in await store.changes(0)] == ["quarantine", "verdict"]


async def test_changes_and_audit_select(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    for number in (1, 2, 1):
        await store.commit([Decision(NOW, transitions=(transition(number),))], epoch=epoch)
    assert [seq for seq, _ in await store.changes(1)] == [2, 3]
    assert [row["seq"] for row in await store.audit()] == [3, 2, 1]
    assert [row["seq"] for row in await store.audit(target="sim:C1/USDT", limit=1)] == [3]
    assert await store.audit(target="sim:none/USDT") == []


async def test_the_last_transition_of_a_quarantine_is_what_is_remembered(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    await store.commit([decision(), Decision(NOW, transitions=(transition(until_us=NOW + HOUR),))], epoch=epoch)
    (held,) = (await store.load()).quarantines
    assert held.until_us == NOW + HOUR


async def test_ended_quarantines_are_remembered_until_forgotten(store: AnyStore, clock: HandClock) -> None:
    epoch = (await store.open()).epoch
    end = transition(state=IsolationState.NORMAL, until_us=NOW)
    await store.commit([decision(), Decision(NOW, transitions=(end,))], epoch=epoch)
    assert (await store.load()).quarantines == (end.quarantine,)
    clock.us = NOW + 7 * DAY
    assert (await store.load()).quarantines == ()


async def test_a_repeated_delivery_is_kept_once(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    await store.commit([decision(), decision()], epoch=epoch)
    await store.settle(delivered(delivery("d0")))
    await store.commit([decision()], epoch=epoch)
    assert await store.outbox() == {"ops": {"delivered": 1}}


async def test_deliveries_come_due_oldest_first_by_channel(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    late = delivery("late", created_us=NOW + 2)
    early = delivery("early", created_us=NOW + 1)
    later = delivery("later", created_us=NOW, due_us=NOW + MINUTE)
    other = delivery("other", channel="mail")
    await store.commit([Decision(NOW, deliveries=(late, early, later, other))], epoch=epoch)
    assert await store.due("ops", now_us=NOW) == early
    assert await store.due("ops", now_us=NOW + MINUTE) == later
    await store.settle(early._replace(attempts=1, due_us=NOW + HOUR, error="timeout"))
    assert await store.due("ops", now_us=NOW) == late
    assert await store.due("mail", now_us=NOW) == other
    assert await store.due("none", now_us=NOW) is None
    again = await store.due("ops", now_us=NOW + HOUR)
    assert again == later
    await store.settle(delivered(later))
    await store.settle(late._replace(state=DeliveryState.DEAD, error="gone"))
    assert await store.due("ops", now_us=NOW + HOUR) == early._replace(attempts=1, due_us=NOW + HOUR, error="timeout")
    assert await store.outbox() == {"mail": {"pending": 1}, "ops": {"dead": 1, "delivered": 1, "pending": 1}}
    assert {each.id for each in (await store.load()).pending} == {"early", "other"}


async def test_an_unknown_delivery_cannot_be_settled(store: AnyStore) -> None:
    await store.open()
    with pytest.raises(StateError, match="no delivery d1"):
        await store.settle(delivery())


async def test_deliveries_without_transitions_leave_the_sequence_number(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    await store.commit([decision()], epoch=epoch)
    assert await store.commit([Decision(NOW, deliveries=(delivery("d9"),))], epoch=epoch) == 2
    assert await store.commit([], epoch=epoch) == 2


async def test_the_trail_is_chained_and_equal_in_all_stores(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    await store.commit([decision(1), decision(2)], epoch=epoch)
    await store.commit([decision(3)], epoch=epoch)
    verified = await store.verify()
    assert (verified.rows, verified.seq) == (6, 6)
    other = MemoryStore(HandClock())
    await other.open()
    await other.commit([decision(1), decision(2), decision(3)], epoch=1)
    assert await other.verify() == verified


async def test_a_closed_store_refuses_and_closing_twice_is_fine(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    await store.close()
    await store.close()
    with pytest.raises(StateError, match="not open"):
        await store.commit([decision()], epoch=epoch)
    with pytest.raises(StateError, match="not open"):
        await store.load()


async def test_a_failed_commit_writes_nothing(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    broken = decision(1, deliveries=(delivery("ok"), delivery("bad")._replace(body=object())))
    if isinstance(store, MemoryStore):
        broken = decision(1, transitions=(transition(), transition()._replace(reason=object())))
    with pytest.raises(TypeError):
        await store.commit([decision(), broken], epoch=epoch)
    state = await store.load()
    assert (state.seq, state.quarantines, state.pending) == (0, (), ())
    assert await store.commit([decision()], epoch=epoch) == 2


async def test_newest_actions_come_first_and_messages_to_people_are_none_of_them(store: AnyStore) -> None:
    epoch = (await store.open()).epoch
    orders = [delivery(f"a{number}", channel="webhook:bot", created_us=NOW + number) for number in range(4)]
    await store.commit([Decision(NOW, deliveries=(*orders, delivery("mail")))], epoch=epoch)
    await store.settle(orders[1]._replace(state=DeliveryState.DEAD, error="it answers 410", attempts=1))
    await store.settle(orders[2]._replace(state=DeliveryState.DELIVERED, output="line in guard.txt", attempts=2))
    found = await store.actions(limit=3)
    assert [(each.id, each.state.value, each.output, each.error) for each in found] == [
        ("a3", "pending", "", ""),
        ("a2", "delivered", "line in guard.txt", ""),
        ("a1", "dead", "", "it answers 410"),
    ]
    assert await store.actions(limit=0) == await store.actions(limit=-1) == type(found)()
