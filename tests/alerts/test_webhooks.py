"""Posting to a real server that is well, slow, gone, or hostile; and what of it reaches a log."""

from __future__ import annotations

import ast
import asyncio
import hmac
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from alerts.endpoint import KEY, Receiver, receiving
from alerts.support import START_US, DictStore, Half, MovedClock, delivery, settle

from guard.alerts.endpoints import Endpoint
from guard.alerts.events import about_test
from guard.alerts.outbox import Outbox
from guard.alerts.webhooks import Webhooks
from guard.model import Delivery, DeliveryState

if TYPE_CHECKING:
    from collections.abc import Callable

    from guard.model.ports import Outcome

PAGE = Path(__file__).parents[2] / "docs" / "actions.md"
LANE = "webhook:bot"
SECRETS = ("path-with-a-secret", "hush-hush", "a-token-of-mine", KEY.decode())


def event(**changes: object) -> Delivery:
    return about_test(LANE, START_US)._replace(**changes)  # type: ignore[arg-type]


async def posted(receiver: Receiver, *, endpoint: Endpoint | None = None, **changes: object) -> Outcome:
    webhooks = Webhooks({"bot": endpoint or receiver.endpoint()}, MovedClock())
    try:
        return await webhooks.send(event(**changes))
    finally:
        await webhooks.close()
        await webhooks.close()


async def test_body_headers_and_signature_arrive_as_documented() -> None:
    async with receiving() as receiver:
        outcome = await posted(receiver, attempts=2)
    assert (outcome.is_delivered, outcome.output) == (True, "HTTP 200")
    (post,) = receiver.posts
    sent = event()
    assert (post.path, post.body.decode()) == ("/hooks/path-with-a-secret?token=hush-hush", sent.body)
    assert post.headers["Idempotency-Key"] == sent.id
    assert post.headers["Guard-Attempt"] == "3"
    assert post.headers["Content-Type"] == "application/json"
    assert post.headers["Authorization"] == "Bearer a-token-of-mine"
    stamp = START_US // 1_000_000
    wanted = hmac.new(KEY, f"{stamp}.".encode() + post.body, sha256).hexdigest()
    assert post.headers["Guard-Signature"] == f"t={stamp},v1={wanted}"


async def test_check_of_the_page_takes_what_guard_signs_and_nothing_else() -> None:
    (code,) = (
        block for block in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL) if "hmac" in block
    )
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    names: dict[str, Any] = {}
    exec(compile(ast.parse(code), "actions.md", "exec"), names)  # noqa: S102 - it is our own page
    check: Callable[..., bool] = names["is_guards"]
    async with receiving() as receiver:
        await posted(receiver)
    (post,) = receiver.posts
    header, now_s = post.headers["Guard-Signature"], START_US / 1e6 + 10
    assert check(KEY, header, post.body, now_s)
    assert not check(b"another key", header, post.body, now_s)
    assert not check(KEY, header, post.body + b" ", now_s)
    assert not check(KEY, header, post.body, now_s + 400)
    assert not check(KEY, header.replace("t=1", "t=2"), post.body, now_s)
    assert not check(KEY, "", post.body, now_s)


async def test_owner_may_set_the_user_agent_once() -> None:
    async with receiving() as receiver:
        await posted(receiver, endpoint=receiver.endpoint()._replace(headers={"user-agent": "mine"}))
        await posted(receiver)
    assert [post.headers["User-Agent"].partition("/")[0] for post in receiver.posts] == ["mine", "guard"]


async def test_nothing_is_signed_without_a_secret() -> None:
    async with receiving() as receiver:
        await posted(receiver, endpoint=receiver.endpoint(key=None))
    assert "Guard-Signature" not in receiver.posts[0].headers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_every_2xx_is_an_arrival(status: int) -> None:
    async with receiving() as receiver:
        receiver.answers = [status]
        assert (await posted(receiver)).is_delivered


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        *((status, True) for status in (400, 401, 404, 410, 413, 304)),
        *((status, False) for status in (408, 425, 429, 500, 502, 503, 599)),
    ],
)
async def test_what_may_pass_is_tried_again_and_all_else_is_final(status: int, is_final: bool) -> None:  # noqa: FBT001 - a table
    async with receiving() as receiver:
        receiver.answers = [status]
        outcome = await posted(receiver)
    assert (outcome.is_delivered, outcome.is_final) == (False, is_final)
    assert f"it answers {status}" in outcome.error


async def test_last_of_sixteen_attempts_is_final() -> None:
    async with receiving() as receiver:
        receiver.answers = [500, 500]
        assert not (await posted(receiver, attempts=14)).is_final
        assert (await posted(receiver, attempts=15)).is_final


def asks(value: str, status: int = 503) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, headers={"Retry-After": value})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999", 3600.0),
        ("9" * 500, 3600.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        (format_datetime(datetime.fromtimestamp(START_US / 1e6, UTC) + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(START_US / 1e6, UTC) - timedelta(days=9), usegmt=True), 0.0),
    ],
)
async def test_retry_after_is_honoured_within_an_hour(value: str, seconds: float | None) -> None:
    async with receiving() as receiver:
        receiver.answers = [asks(value)]
        assert (await posted(receiver)).retry_after_s == seconds


async def test_final_answer_asks_for_nothing() -> None:
    async with receiving() as receiver:
        receiver.answers = [asks("7", 410)]
        assert (await posted(receiver)).retry_after_s is None


def leads(to: str, status: int = 307) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, headers={"Location": to})


async def test_redirect_on_the_same_host_keeps_method_body_and_headers() -> None:
    async with receiving() as receiver:
        receiver.answers = [leads("/elsewhere", 308)]
        assert (await posted(receiver)).is_delivered
    assert [post.path for post in receiver.posts][1] == "/elsewhere"
    assert receiver.posts[0].body == receiver.posts[1].body
    assert receiver.posts[1].headers["Authorization"] == "Bearer a-token-of-mine"


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_redirect_that_changes_the_method_is_final(status: int) -> None:
    async with receiving() as receiver:
        receiver.answers = [leads("/elsewhere", status)]
        assert (await posted(receiver)).is_final
    assert len(receiver.posts) == 1


async def test_redirect_to_another_host_gets_nothing() -> None:
    async with receiving() as receiver, receiving() as other:
        for to in (other.url, f"http://localhost:{receiver.port}/", f"https://127.0.0.1:{receiver.port}/"):
            receiver.answers = [leads(to)]
            outcome = await posted(receiver)
            assert outcome.is_final
            assert "another host" in outcome.error
            assert "hush-hush" not in outcome.error
    assert other.posts == []


async def test_endless_redirect_ends() -> None:
    async with receiving() as receiver:
        receiver.answers = [leads("/again")] * 50
        assert (await posted(receiver)).is_final
    assert len(receiver.posts) == 4


async def test_answer_that_never_comes_and_a_host_that_is_gone_are_tried_again() -> None:
    async with receiving() as receiver:
        receiver.answers = [0]
        outcome = await posted(receiver, endpoint=receiver.endpoint(timeout_s=0.1))
        assert (outcome.is_final, outcome.error) == (False, "no answer within 0.1 s")
        gone = receiver.endpoint()
    outcome = await posted(receiver, endpoint=gone)
    assert (outcome.is_delivered, outcome.is_final) == (False, False)
    assert "Cannot connect" in outcome.error


async def test_gigantic_and_compressed_answers_are_not_read() -> None:
    def flood() -> web.Response:
        return web.Response(status=500, body=b"x" * 8_000_000, headers={"Content-Encoding": "gzip"})

    async with receiving() as receiver:
        receiver.answers = [flood, lambda: web.Response(status=200, body=b"y" * 8_000_000)]
        outcome = await posted(receiver)
        assert "it answers 500" in outcome.error
        assert len(outcome.error) <= 300
        assert (await posted(receiver)).is_delivered


async def test_answer_that_is_no_http_is_tried_again() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 mail.example.org ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await posted(Receiver(), endpoint=Endpoint(f"http://127.0.0.1:{port}/", None, 2.0, {}))
    assert (outcome.is_delivered, outcome.is_final) == (False, False)


async def test_name_that_guard_yaml_does_not_have_is_dead_at_once() -> None:
    outcome = await Webhooks({}, MovedClock()).send(event())
    assert outcome.is_final
    assert "names no webhook 'bot'" in outcome.error


@pytest.mark.parametrize("kind", ["echo", "refused", "redirect"])
async def test_no_error_tells_a_secret(kind: str) -> None:
    async with receiving() as receiver:
        receiver.answers = [
            {
                "echo": lambda: web.Response(status=400, text=" ".join(SECRETS)),
                "redirect": leads(receiver.url.replace("127", "126")),
            }.get(kind, 500)
        ]
        endpoint = receiver.endpoint()
        if kind == "refused":
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                endpoint = endpoint._replace(url=receiver.url.replace(str(receiver.port), str(free.getsockname()[1])))
        outcome = await posted(receiver, endpoint=endpoint)
    assert outcome.error
    assert [secret for secret in SECRETS if secret in outcome.error] == []


async def through(
    receiver: Receiver, *deliveries: Delivery, until: Callable[[DictStore], bool], step_s: float = 0.2
) -> tuple[DictStore, list[str]]:
    """Deliver by a real outbox; its waits are passed over."""
    clock, store, reports = MovedClock(), DictStore(*deliveries), list[str]()
    webhooks = Webhooks({"bot": receiver.endpoint(timeout_s=0.3)}, clock)
    outbox = Outbox(store, webhooks, [LANE], clock, Half(), reports.append)
    outbox.start()
    async with asyncio.timeout(10):
        while not until(store):
            await asyncio.sleep(0.01)
            await clock.advance(step_s)
    for task in outbox._tasks.values():
        task.cancel()
    await asyncio.gather(*outbox._tasks.values(), return_exceptions=True)
    await settle()
    await webhooks.close()
    return store, reports


def state_of(store: DictStore, name: str = "id-1") -> DeliveryState:
    return store.rows[name].state


def order(name: str = "1", **changes: object) -> Delivery:
    return delivery(name, channel=LANE, kind="webhook", body="{}", **changes)


async def test_500_then_200_is_delivered_in_two_attempts_with_one_key() -> None:
    async with receiving() as receiver:
        receiver.answers = [500]
        store, reports = await through(receiver, order(), until=lambda store: state_of(store) is DeliveryState.DELIVERED)
    assert [post.headers["Guard-Attempt"] for post in receiver.posts] == ["1", "2"]
    assert {post.headers["Idempotency-Key"] for post in receiver.posts} == {"id-1"}
    assert (store.rows["id-1"].output, store.rows["id-1"].attempts) == ("HTTP 200", 2)
    assert reports == []


async def test_410_kills_one_event_at_once_and_the_next_one_arrives() -> None:
    async with receiving() as receiver:
        receiver.answers = [410]
        store, reports = await through(
            receiver,
            order(),
            order("2", due_us=START_US + 1),
            until=lambda store: state_of(store, "id-2") is DeliveryState.DELIVERED,
        )
    assert state_of(store) is DeliveryState.DEAD
    assert store.rows["id-1"].attempts == 1
    assert len(receiver.posts) == 2
    assert "did not get through webhook:bot in 1 attempts: it answers 410" in reports[0]


async def test_events_that_are_refused_for_good_hold_up_no_later_one() -> None:
    async with receiving() as receiver:
        receiver.answers = [400] * 6
        orders = [order(str(number), due_us=START_US + number - 9) for number in range(1, 8)]
        store, _ = await through(
            receiver, *orders, until=lambda store: state_of(store, "id-7") is DeliveryState.DELIVERED, step_s=0
        )
    assert [state_of(store, f"id-{number}") for number in range(1, 7)] == [DeliveryState.DEAD] * 6


async def test_hanging_event_comes_again_after_the_later_one() -> None:
    async with receiving() as receiver:
        receiver.answers = [0]
        await through(
            receiver,
            order(),
            order("2", due_us=START_US + 1),
            until=lambda store: {state_of(store), state_of(store, "id-2")} == {DeliveryState.DELIVERED},
        )
    assert [post.headers["Idempotency-Key"] for post in receiver.posts] == ["id-1", "id-2", "id-1"]
