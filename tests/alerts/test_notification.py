"""Real Apprise plug-ins against local servers, well and badly behaved."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
from email import message_from_bytes, policy
from typing import TYPE_CHECKING

import pytest
from aiosmtpd.controller import Controller
from alerts.support import Hook, delivery, serving

from guard.alerts.notification import NotificationHandler
from guard.errors import ConfigurationError
from guard.model import Level

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "123456789:AAcanaryTELEGRAMtoken0123456789abcdef"  # noqa: S105 - a canary that must never be printed
SLACK = "T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcanarySLACK1"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with serving() as served:
        yield served


class Mailbox:
    """An SMTP server that keeps what it gets; `delay_s` makes it slow."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self.messages: list[bytes] = []
        self.delay_s = delay_s

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802 - aiosmtpd's name
        del server, session
        await asyncio.sleep(self.delay_s)
        self.messages.append(envelope.content)  # type: ignore[attr-defined]
        return "250 OK"


class _Smtp(Controller):
    """The controller with a port chosen by the kernel."""

    def __init__(self, mailbox: Mailbox) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        super().__init__(mailbox, hostname="127.0.0.1", port=port)


async def opened(url: str, hook: Hook | None = None, *, deadline_s: float = 15.0) -> NotificationHandler:
    handler = NotificationHandler({"hook": url}, deadline_s=deadline_s)
    await handler.open()
    if hook is not None:
        service = handler._services["hook"]
        service.notify_url = f"{hook.url}/bot"
        service.webhook_url = hook.url
        service.api_url = f"{hook.url}/api/{{}}"
        service.request_rate_per_sec = 0
    return handler


def json_url(hook: Hook) -> str:
    return f"json://127.0.0.1:{hook.port}/secret-path-canary"


async def test_json_message_carries_title_body_and_delivery_id(hook: Hook) -> None:
    handler = await opened(json_url(hook))
    assert (await handler.send(delivery("7"))).is_delivered
    (document,) = hook.documents
    assert document["title"] == "[DANGER] sim:X/USDT quarantined by pump_dump [id-7]"
    assert document["message"] == delivery().body
    assert document["type"] == "failure"


async def test_mail_arrives_with_body_and_delivery_id() -> None:
    mailbox = Mailbox()
    smtp = _Smtp(mailbox)
    smtp.start()
    try:
        handler = await opened(f"mailto://127.0.0.1:{smtp.port}/?mode=insecure&from=guard@example.org&to=me@example.org")
        assert (await handler.send(delivery())).is_delivered
    finally:
        smtp.stop()
    mail = message_from_bytes(mailbox.messages[0], policy=policy.default)
    assert mail["Subject"].endswith("[id-1]")
    assert "exits always pass" in mail.get_body(("html", "plain")).get_content()  # type: ignore[attr-defined]


async def test_slow_smtp_ends_with_the_deadline() -> None:
    smtp = _Smtp(Mailbox(delay_s=1.0))
    smtp.start()
    try:
        handler = await opened(
            f"mailto://127.0.0.1:{smtp.port}/?mode=insecure&from=guard@example.org&to=me@example.org", deadline_s=0.2
        )
        assert (await handler.send(delivery())).error == "no answer within 0.2 s"
        # The slow send succeeds in the end, and is not repeated.
        handler._lanes["hook"]._deadline_s = 10.0
        assert (await handler.send(delivery())).is_delivered
    finally:
        smtp.stop()
    assert len(smtp.handler.messages) == 1


async def test_telegram_gets_text_not_markup(hook: Hook) -> None:
    hook.usual = (200, {}, b'{"ok": true, "result": {}}')
    handler = await opened(f"tgram://{TOKEN}/987654", hook)
    assert (await handler.send(delivery(body="price < 3 & volume > 2"))).is_delivered
    (path, _, _), (document,) = hook.requests[0], hook.documents
    assert path.endswith("/sendMessage")
    assert document["chat_id"] in {"987654", 987654}
    assert "price &lt; 3 &amp; volume &gt; 2" in document["text"]


async def test_slack_gets_the_message(hook: Hook) -> None:
    handler = await opened(f"slack://{SLACK}/#alerts", hook)
    assert (await handler.send(delivery())).is_delivered
    assert "exits always pass" in hook.requests[0][2].decode()


async def test_long_body_is_split_for_telegram(hook: Hook) -> None:
    hook.usual = (200, {}, b'{"ok": true, "result": {}}')
    handler = await opened(f"tgram://{TOKEN}/987654", hook)
    assert (await handler.send(delivery(body="x" * 9000))).is_delivered
    assert len(hook.documents) >= 3
    assert all(len(each["text"]) <= 4096 for each in hook.documents)


async def test_telegram_429_gives_the_seconds_it_asked_for(hook: Hook) -> None:
    hook.usual = (
        429,
        {"Retry-After": "17"},
        b'{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 17","parameters":{"retry_after":17}}',
    )
    outcome = await (await opened(f"tgram://{TOKEN}/987654", hook)).send(delivery())
    assert (outcome.is_delivered, outcome.retry_after_s) == (False, 17.0)


async def test_seconds_of_a_429_are_found_in_the_answer_of_a_service_that_does_not_tell_them(hook: Hook) -> None:
    hook.usual = (429, {}, b'{"message": "slow down", "retry_after": 9.5}')
    outcome = await (await opened(json_url(hook))).send(delivery())
    assert (outcome.is_delivered, outcome.retry_after_s) == (False, 9.5)


async def test_429_with_the_seconds_in_a_header_only_pauses_half_a_minute(hook: Hook) -> None:
    hook.usual = (429, {"Retry-After": "3"}, b"")
    outcome = await (await opened(json_url(hook))).send(delivery())
    assert (outcome.is_delivered, outcome.retry_after_s) == (False, 30.0)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, {}, b"boom"), "500"),
        ((401, {}, b'{"ok":false,"description":"Unauthorized"}'), "401"),
        ("hang up", "onnection error"),
    ],
)
async def test_failure_says_why_and_asks_for_no_pause(hook: Hook, answer: object, words: str) -> None:
    hook.usual = answer  # type: ignore[assignment]
    outcome = await (await opened(json_url(hook))).send(delivery())
    assert not outcome.is_delivered
    assert words in outcome.error
    assert outcome.retry_after_s is None


async def test_wrong_telegram_token_is_told_without_the_token(hook: Hook) -> None:
    hook.usual = (401, {}, f'{{"ok":false,"error_code":401,"description":"Unauthorized {TOKEN}"}}'.encode())
    outcome = await (await opened(f"tgram://{TOKEN}/987654", hook)).send(delivery())
    assert not outcome.is_delivered
    assert outcome.error
    assert "canary" not in outcome.error


async def test_redirect_is_not_followed(hook: Hook) -> None:
    with serving() as inside:
        hook.usual = (307, {"Location": f"{inside.url}/metadata"}, b"")
        assert not (await (await opened(json_url(hook))).send(delivery())).is_delivered
        assert inside.requests == []


@pytest.mark.parametrize("answer", ["hang", "drip"])
async def test_hanging_channel_ends_with_the_deadline_and_refuses_the_next_at_once(hook: Hook, answer: str) -> None:
    hook.usual = answer
    handler = await opened(json_url(hook), deadline_s=0.1)
    assert (await handler.send(delivery("1"))).error == "no answer within 0.1 s"
    assert "still hangs" in (await handler.send(delivery("2"))).error
    assert len(hook.requests) == 1


async def test_hanging_channel_does_not_delay_another(hook: Hook) -> None:
    hook.usual = "hang"
    with serving() as well:
        handler = NotificationHandler(
            {**{f"bad{n}": json_url(hook) for n in range(12)}, "good": f"json://127.0.0.1:{well.port}"}, deadline_s=15
        )
        await handler.open()
        stuck = [asyncio.create_task(handler.send(delivery(channel=f"bad{n}"))) for n in range(12)]
        async with asyncio.timeout(3):
            assert (await handler.send(delivery(channel="good"))).is_delivered
        for task in stuck:
            task.cancel()


async def test_unknown_channel_is_an_outcome(hook: Hook) -> None:
    outcome = await (await opened(json_url(hook))).send(delivery(channel="pager"))
    assert "no channel 'pager'; there are: hook" in outcome.error


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("json://localhost/?redirect=yes", "the option 'redirect' is not allowed"),
        ("jsons://localhost/?VERIFY=no", "the option 'VERIFY' is not allowed"),
        ("json://localhost/?rto=60", "the option 'rto' is not allowed"),
        ("json://localhost/?retry=9", "the option 'retry' is not allowed"),
        (f"tgram://{TOKEN}/1?format=markdown", "allows text and html"),
        ("canary-without-a-service", "service://"),
        ("nosuchservice://canary/canary", "nosuchservice:// is not a service"),
        ("tgram://canary", "tgram://"),
    ],
)
async def test_unusable_url_is_refused_at_start_without_being_shown(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        await NotificationHandler({"phone": url}).open()
    assert words in str(raised.value) or "refused by its service" in str(raised.value)
    assert "alerts.channels.phone.url" in str(raised.value)
    assert "canary" not in str(raised.value)


async def test_all_unusable_urls_are_told_in_one_run() -> None:
    with pytest.raises(ConfigurationError) as raised:
        NotificationHandler({"a": "json://x/?verify=no", "b": "nothing"})
    assert len(raised.value.problems) == 2


async def test_no_secret_reaches_a_log_at_debug(hook: Hook) -> None:
    out = io.StringIO()
    root, handler = logging.getLogger(), logging.StreamHandler(out)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    urls = {
        "hook": f"tgram://{TOKEN}/987654",
        "team": f"slack://{SLACK}/#alerts",
        "post": f"json://user:passcanary@127.0.0.1:{hook.port}/pathcanary?+X-Token=headercanary",
    }
    try:
        notifier = NotificationHandler(urls)
        await notifier.open()
        for service in notifier._services.values():
            service.notify_url, service.webhook_url, service.request_rate_per_sec = f"{hook.url}/bot", hook.url, 0
        for answer in ((200, {}, b"ok"), (500, {}, b"canary"), "hang up"):
            hook.usual = answer  # type: ignore[assignment]
            for name in urls:
                await notifier.send(delivery(channel=name))
        logging.getLogger("apprise").warning("POST %s/sendMessage", TOKEN)
        await notifier.close()
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert "apprise" in out.getvalue() or "***" in out.getvalue()
    for secret in ("canary", "AAcanary", "T1JJ3T3L2", "A1BRTD4JD"):
        assert secret not in out.getvalue()
    assert hook.requests


@pytest.mark.parametrize(
    ("level", "kind", "word"),
    [
        (Level.WARNING, "verdict", "warning"),
        (Level.CRITICAL, "quarantine", "failure"),
        (Level.DANGER, "release", "success"),
        (Level.NORMAL, "test", "info"),
    ],
)
async def test_level_becomes_the_kind_of_notification(hook: Hook, level: Level, kind: str, word: str) -> None:
    handler = await opened(json_url(hook))
    await handler.send(delivery(level=level, kind=kind))
    assert hook.documents[0]["type"] == word
