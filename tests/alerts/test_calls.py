"""Installed actions in threads: what they answer, what they raise, and what hangs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from alerts.actions import Plain, Waiting, call
from alerts.support import DictStore, Half, MovedClock

from guard.alerts.calls import Calls
from guard.alerts.outbox import Outbox
from guard.model import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTIONS = {"plain": Plain, "waiting": Waiting}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    Plain.ran.clear()
    Plain.gate.clear()
    yield
    Plain.gate.set()


@pytest.mark.parametrize("action", ["plain", "waiting"])
async def test_action_runs_with_its_parameters_and_its_answer_is_kept(action: str) -> None:
    outcome = await Calls(ACTIONS).send(call(action=action, number=7))
    assert (outcome.is_delivered, outcome.output) == (True, "number 7")
    assert Plain.ran == [("id-1", 7)]


@pytest.mark.parametrize(
    ("what", "answer"), [("nothing", ""), ("object", "['not', 'text'")], ids=["nothing", "something else than text"]
)
async def test_answer_is_made_a_short_text(what: str, answer: str) -> None:
    outcome = await Calls(ACTIONS).send(call(what=what))
    assert outcome.is_delivered
    assert outcome.output.startswith(answer)
    assert len(outcome.output) <= 200


@pytest.mark.parametrize("action", ["plain", "waiting"])
@pytest.mark.parametrize(
    ("what", "error"), [("raise", "ValueError: no such account"), ("leave", "SystemExit: 3"), ("late", "it was not done in time")]
)
async def test_whatever_it_raises_is_a_failed_attempt_in_one_harmless_line(action: str, what: str, error: str) -> None:
    outcome = await Calls(ACTIONS).send(call(action=action, what=what))
    assert (outcome.is_delivered, outcome.is_final) == (False, False)
    assert outcome.error.startswith(error)
    assert outcome.error.isprintable()
    assert (await Calls(ACTIONS).send(call(action=action, what=what, attempts=4))).is_final


@pytest.mark.parametrize("arguments", [{"number": "many"}, {"nmber": 2}])
async def test_arguments_that_a_newer_package_refuses_fail_and_say_so(arguments: dict[str, object]) -> None:
    outcome = await Calls(ACTIONS).send(call(**arguments))
    assert "ValidationError" in outcome.error
    assert Plain.ran == []


async def test_action_that_is_not_installed_is_dead_at_once() -> None:
    outcome = await Calls(ACTIONS).send(call(action="gone"))
    assert outcome.is_final
    assert "no installed package has an action 'gone'" in outcome.error


async def test_class_that_is_no_action_is_dead_at_once() -> None:
    class Loose(Plain):
        class Parameters(Plain.Parameters):
            model_config = {"extra": "ignore"}  # noqa: RUF012 - pydantic's own way

    outcome = await Calls({"plain": Loose}).send(call())
    assert outcome.is_final
    assert "ConfigDict" in outcome.error


async def test_package_that_cannot_be_imported_is_a_failed_attempt() -> None:
    class Broken(dict[str, type[Plain]]):
        def __getitem__(self, name: str) -> type[Plain]:
            raise ImportError(name)

    outcome = await Calls(Broken(plain=Plain)).send(call())
    assert outcome.error == "ImportError: plain"


async def test_coroutine_is_cancelled_at_its_time_and_leaves_no_thread() -> None:
    calls = Calls(ACTIONS)
    outcome = await calls.send(call(action="waiting", what="hang", timeout_s=0.05))
    assert (outcome.is_delivered, outcome.error) == (False, "it was not done in time")
    assert calls.hanging == {}


async def test_thread_that_is_late_is_waited_for_and_never_run_beside_itself() -> None:
    calls = Calls(ACTIONS)
    hung = call(what="hang", timeout_s=0.05)
    outcome = await calls.send(hung)
    assert (outcome.is_delivered, outcome.error) == (False, "no answer within 0.3 s")
    assert calls.hanging == {"plain": 1}
    assert not (await calls.send(hung)).is_delivered
    Plain.gate.set()
    outcome = await calls.send(hung)
    assert (outcome.is_delivered, outcome.output) == (True, "number 1")
    assert Plain.ran == [("id-1", 1)]
    assert calls.hanging == {}


async def test_coroutine_that_does_not_await_hangs_no_loop() -> None:
    calls = Calls(ACTIONS)
    sending = asyncio.create_task(calls.send(call(action="waiting", what="deaf", timeout_s=0.05)))
    turns = 0
    while not sending.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 5
    assert calls.hanging == {"waiting": 1}


async def test_after_four_hanging_threads_no_more_of_that_action_are_begun_but_others_are() -> None:
    calls = Calls(ACTIONS)
    await asyncio.gather(*(calls.send(call(f"hang-{number}", what="hang", timeout_s=0.05)) for number in range(4)))
    outcome = await calls.send(call("next"))
    assert (outcome.is_delivered, outcome.is_final) == (False, False)
    assert "4 attempts still hang" in outcome.error
    assert (await calls.send(call("other", action="waiting"))).is_delivered
    Plain.gate.set()
    async with asyncio.timeout(5):
        while calls.hanging:  # noqa: ASYNC110 - threads are waited for
            await asyncio.sleep(0.01)
    assert (await calls.send(call("next"))).is_delivered


async def test_sixteen_hanging_threads_are_all_that_guard_lives_with() -> None:
    calls = Calls({f"a{number}": Plain for number in range(5)})
    hung = [call(f"{number}", action=f"a{number % 5}", what="hang", timeout_s=0.05) for number in range(16)]
    await asyncio.gather(*map(calls.send, hung))
    assert sum(calls.hanging.values()) == 16
    assert "16 runs of actions hang" in (await calls.send(call("next", action="a4"))).error
    assert "no answer within" in (await calls.send(hung[0])).error


async def test_call_that_fails_is_tried_again_five_times_and_then_dead() -> None:
    clock, store, reports = MovedClock(), DictStore(call(what="raise")), list[str]()
    outbox = Outbox(store, Calls(ACTIONS), ["call:plain"], clock, Half(), reports.append)
    outbox.start()
    async with asyncio.timeout(10):
        while store.rows["id-1"].state is DeliveryState.PENDING:
            await asyncio.sleep(0.01)
            await clock.advance(5)
    for task in outbox._tasks.values():
        task.cancel()
    await asyncio.gather(*outbox._tasks.values(), return_exceptions=True)
    assert (store.rows["id-1"].state, store.rows["id-1"].attempts) == (DeliveryState.DEAD, 5)
    assert len(Plain.ran) == 5
    assert "did not get through call:plain in 5 attempts: ValueError" in reports[-1]
    assert outbox.health()["call:plain"].dead == 1
