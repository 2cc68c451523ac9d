"""Sixty strings a token's issuer might choose, through every default message and four real channels."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import pytest
from alerts.support import START_US, channel, policy, serving, transition, verdict
from hypothesis import given
from hypothesis import strategies as st

from guard.alerts.display import display, is_plain_market
from guard.alerts.manager import AlertManager
from guard.alerts.notification import NotificationHandler
from guard.alerts.templates import Messages
from guard.errors import ConfigurationError
from guard.model import IsolationState, Level, RuleMode

if TYPE_CHECKING:
    from guard.model import Delivery

ATTACKS = (
    "<b>SAFE</b>", "<a href='http://evil.example'>x</a>", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    "<!channel>", "<!here>", "<!everyone>", "<@U123456>", "<#C123456>", "<!subteam^S123>", "<http://evil.example|click>",
    "<mailto:a@evil.example|mail>", "@everyone", "@here", "@channel", "@admin", "＠everyone", "﹫here", "<@!1234567890>", "<@&987>",
    "<:emoji:1234>", "[click](http://evil.example)", "![x](http://evil.example/x.png)", "https://evil.example/x",
    "http://169.254.169.254/latest", "ftp://evil.example", "tg://resolve?domain=evil", "javascript://alert(1)", "evil.example",
    "T.ME/USDT", "t.me/joinchat/abc", "EVIL.COM/USDT", "www.evil.example", "discord.gg/abc", "a\nb", "a\r\nBcc: x@evil.example\r\n",
    "a\u2028b", "a\u2029b", "a\u0085b", "a\x0bb\x0cc", "\x1b[31mred\x1b[0m", "\x1b]8;;http://evil.example\x07x\x1b]8;;\x07",
    "\x00null", "\x7fdel", "a\u202eTDSU/b", "\u2066iso\u2069", "\u200bzero\u200dwidth\ufeff", "\u00adsoft", "a\U000e0041tag",
    "z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309a", "\u3164filler\uffa0", "\u2800blank", "ﷺ" * 50, "A" * 5000,
    "&lt;b&gt;", "&#x40;everyone", "/stop", "/forceexit all", "#hashtag", "*bold* _it_ ~no~ `code` ```block```", "||spoiler||",
    "{{ 7 * 7 }}", "{% raw %}", "{{ ''.__class__.__mro__ }}", "${env:HOME}", "%s%n%x", "\ud800lone", "'; DROP TABLE x; --",
    "Blocked: nothing; entries pass", "＜!channel＞", "http:／／evil.example", "evil\u3002example",
)  # fmt: skip

# An id cannot be made of a lone surrogate; the gate of a connector lets none pass.
NAMES = tuple(text for text in ATTACKS if text.isascii() or text.encode(errors="ignore").decode() == text)
ACTIVE = re.compile(r"@\w|<[A-Za-z!@#/:]|://|[^\W\d_]\.[^\W\d_]|&[#A-Za-z]|\]\(|(?:^|\s)[/#]\w")


def body_lines(delivered: Delivery) -> int:
    return delivered.body.count("\n")


def told(text: str) -> list[Delivery]:
    """Return every kind of message with `text` wherever a market, a rule or an exchange's words go."""
    manager = AlertManager(policy(channel(daily_max=6)))
    sent = list(manager.process(verdicts=[verdict(text, rule=text)], transitions=[transition(text, rule=text)], at_us=START_US))
    end = transition(text, IsolationState.NORMAL, previous=IsolationState.QUARANTINED, at_us=START_US + 1, rule=text)
    sent += manager.process(verdicts=[], transitions=[end._replace(reason=text)], at_us=START_US + 1)
    sent += manager.process(verdicts=[verdict(text + "2", mode=RuleMode.ALERT)], transitions=[], at_us=START_US + 2)
    sent += manager.process(verdicts=[], transitions=[transition(f"{text}{n}", zone=text) for n in range(3)], at_us=START_US + 3)
    sent += manager.system("feed", text, "line\n" + text.replace("\n", " "), Level.CRITICAL, START_US + 4)
    sent += manager.process(verdicts=[], transitions=[transition(f"{text}{n}B") for n in range(5)], at_us=START_US + 5)
    sent += manager.advance(START_US + 86_400_000_000)
    return sent


def test_there_are_sixty_attacks_at_least() -> None:
    assert len(set(ATTACKS)) >= 60


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda text: ascii(text[:24]))
def test_attack_stays_one_harmless_line(attack: str) -> None:
    shown = display(attack)
    assert len(shown.replace("\u200b", "")) <= 200
    assert not ACTIVE.search(shown)
    assert {unicodedata.category(sign) for sign in shown.replace("\u200b", "")}.isdisjoint(
        {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    )
    assert display(shown) == shown


@pytest.mark.parametrize("attack", NAMES, ids=lambda text: ascii(text[:24]))
def test_attack_adds_no_line_mention_link_or_tag_to_any_message(attack: str) -> None:
    calm = {(each.kind, each.alert_id.partition(":")[0][:6]): each for each in told("X")}
    assert {kind for kind, _ in calm} == {"quarantine", "release", "verdict", "summary", "system"}
    for each in told(attack):
        assert "\n" not in each.title
        assert not ACTIVE.search(each.title + "\n" + each.body)
        assert len(each.title) <= 160
        assert len(each.body) <= 3000
    assert sorted(map(body_lines, told(attack))) == sorted(map(body_lines, told("X")))


def test_attacks_reach_telegram_slack_and_json_without_markup() -> None:
    import asyncio

    asyncio.run(_through_real_channels())


async def _through_real_channels() -> None:
    with serving() as hook:
        hook.usual = (200, {}, b"ok")
        handler = NotificationHandler(
            {
                "phone": "tgram://123456789:AAabcdefghijklmnopqrstuvwxyz012345678/987",
                "team": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts",
                "post": f"json://127.0.0.1:{hook.port}",
            }
        )
        await handler.open()
        for service in handler._services.values():
            service.notify_url, service.webhook_url, service.request_rate_per_sec = f"{hook.url}/bot", hook.url, 0
        for attack in NAMES:
            (sent, *_) = AlertManager(policy()).process(
                verdicts=[verdict(attack)], transitions=[transition(attack)], at_us=START_US
            )
            for name in ("phone", "team", "post"):
                hook.requests.clear()
                assert (await handler.send(sent._replace(channel=name))).is_delivered
                (document,) = hook.documents
                _check(name, document, attack)


def _check(name: str, document: dict[str, object], attack: str) -> None:
    if name == "phone":
        text = str(document["text"])
        assert set(re.findall(r"</?[^>]*>", text)) <= {"<b>", "</b>"}, attack
        assert not re.search(r"@\w|://", text), attack
    elif name == "team":
        text = str(document["attachments"] if "attachments" in document else document["blocks"])
        assert not re.search(r"<[!@#h]|@\w|&lt;!", text), attack
    else:
        assert not ACTIVE.search(f"{document['title']}\n{document['message']}"), attack


@given(st.text(max_size=600))
def test_any_text_becomes_one_short_line_and_stays_so(text: str) -> None:
    shown = display(text)
    assert "\n" not in shown
    assert not ACTIVE.search(shown)
    assert len(shown.replace("\u200b", "")) <= 200


@pytest.mark.parametrize(
    "market", ["binance:PEPE/USDT", "okx:BTC/USDT:USDT-261225", "sim:1INCH/USDT", "okx:BTC/USD:BTC-261225-50000-C"]
)
def test_usual_markets_are_shown_unchanged_in_commands(market: str) -> None:
    assert display(market) == market
    assert is_plain_market(market)


def test_odd_market_is_not_offered_as_a_command() -> None:
    (sent,) = AlertManager(policy()).process(verdicts=[], transitions=[transition("X; rm -rf ~/USDT")], at_us=START_US)
    assert "guard why" not in sent.body
    assert f"guard quarantine show {sent.alert_id}" in sent.body


@pytest.mark.parametrize(
    "text",
    [
        "{{ about.__class__.__mro__ }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
        "{{ nothing_here }}",
        "{{ about.update({'market': 1}) }}",
        "{% include '/etc/passwd' %}",
        "{{ 'x' * 10 }}{% for n in range(9999999) %}{% endfor %}",
    ],
)
def test_template_of_a_user_cannot_leave_its_sandbox(text: str) -> None:
    messages = Messages({"verdict": "title\n" + text})
    with pytest.raises(ConfigurationError):
        messages.render("verdict", about={"market": "x"})


def test_template_of_a_user_replaces_the_default_and_stays_harmless() -> None:
    messages = Messages({"system": "Trouble: {{ title }}\n{{ lines[0] }}"})
    assert messages.render("system", title="@all", lines=["<b>"], level="danger") == ("Trouble: @\u200ball", "<\u200bb>")


@pytest.mark.parametrize(("kind", "text"), [("nonsense", "x"), ("test", "{% if %}")])
def test_unusable_template_is_refused_with_its_place(kind: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"alerts.templates.{kind}"):
        Messages({kind: text})
