"""Webhooks of guard.yaml: what is refused, and that no secret is ever shown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from dsl.test_loading import SMALL, problems, written

from guard.dsl import load_guard
from guard.dsl.describe import configuration

if TYPE_CHECKING:
    from pathlib import Path

ENV = {"HOOK": "https://bot.example.org/t0psecret", "KEY": "hunter2hunter2", "TOKEN": "Bearer l0ngtoken"}
ALL = 'webhooks: {my_bot: {url: "${env:HOOK}", secret: "${env:KEY}", timeout: 500ms, headers: {Authorization: "${env:TOKEN}"}}}\n'


def test_everything_is_read_and_opened_for_the_one_who_posts(tmp_path: Path) -> None:
    settings = load_guard(written(tmp_path, SMALL + ALL), ENV).webhooks["my_bot"]
    assert settings.opened() == (ENV["HOOK"], ENV["KEY"].encode(), {"Authorization": ENV["TOKEN"]})
    assert settings.timeout_us == 500_000
    plain = load_guard(written(tmp_path, SMALL + "webhooks: {a: {url: http://127.0.0.1:1/x}}\n"), {}).webhooks["a"]
    assert plain.opened() == ("http://127.0.0.1:1/x", None, {})
    assert plain.timeout_us == 5_000_000


def test_no_secret_is_shown_or_written(tmp_path: Path) -> None:
    config = load_guard(written(tmp_path, SMALL + ALL), ENV)
    texts = [json.dumps(configuration(config, is_redacted=True)), repr(config), config.model_dump_json()]
    assert [text for text in texts for secret in ("t0psecret", *ENV.values()) if secret in text] == []
    opened = configuration(config, is_redacted=False)["webhooks"]["my_bot"]
    assert (opened["url"], opened["secret"], opened["headers"]) == (ENV["HOOK"], ENV["KEY"], {"Authorization": ENV["TOKEN"]})


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("url: ftp://secret.example.org", "https://bot.example.org/guard"),
        ("url: secret.example.org", "https://bot.example.org/guard"),
        ('url: ""', "https://bot.example.org/guard"),
        ("url: 'https://'", "https://bot.example.org/guard"),
        ("url: 'https://x:99999/secret'", "https://bot.example.org/guard"),
        ("url: 'https://x:0/secret'", "https://bot.example.org/guard"),
        ('url: "https://x/secret\\n"', "https://bot.example.org/guard"),
        ("url: 'https://[::1/secret'", "https://bot.example.org/guard"),
        ("url: https://me:secret@x/", "headers: {Authorization: ...}"),
        ("url: 'https://x/#secret'", "after '#'"),
        ("secret: abc", "'url' is missing"),
        ("url: https://x, secret: ''", "secret is empty"),
        ("url: https://x, timeout: 50ms", "100ms to 30s, found 0.05s"),
        ("url: https://x, timeout: 31s", "100ms to 30s"),
        ("url: https://x, retries: 5", "unknown key 'retries'"),
        ("url: https://x, headers: {Host: secret}", "Host is guard's own"),
        ("url: https://x, headers: {guard-signature: secret}", "is guard's own"),
        ("url: https://x, headers: {'X Y': secret}", "not the name of a header"),
        ('url: https://x, headers: {X: "secret\\r\\nX-Evil: 1"}', "printable ASCII"),
        ("url: https://x, headers: {X: 'secrét'}", "printable ASCII"),
    ],
)
def test_what_cannot_be_posted_to_is_refused_and_not_repeated(tmp_path: Path, keys: str, says: str) -> None:
    (problem,) = problems(tmp_path, f"{SMALL}webhooks: {{my_bot: {{{keys}}}}}\n")
    assert says in problem.message
    assert problem.line == 4
    assert "secr" not in problem.message.replace("secret is empty", "").replace("secret:", "")


def test_reference_that_is_not_set_is_told_at_its_place(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL + ALL, {"HOOK": ENV["HOOK"], "TOKEN": ENV["TOKEN"]})
    assert [(problem.id, problem.column) for problem in found if problem.id == "E030"] == [("E030", 49)]


@pytest.mark.parametrize(
    ("url", "is_warned"),
    [
        ("http://bot.example.org/s3cret", True),
        ("http://8.8.8.8:80/s3cret", True),
        ("https://bot.example.org/s3cret", False),
        ("http://bot:8080/s3cret", False),
        ("http://192.168.1.4/s3cret", False),
        ("http://[::1]:80/s3cret", False),
    ],
)
def test_webhook_beyond_the_own_network_without_tls_is_warned_of(tmp_path: Path, url: str, is_warned: bool) -> None:  # noqa: FBT001 - a table
    warnings = load_guard(written(tmp_path, f"{SMALL}webhooks:\n  my_bot: {{url: '${{env:HOOK}}'}}\n"), {"HOOK": url}).warnings
    assert [(warning.id, warning.line, warning.column) for warning in warnings] == ([("W071", 5, 3)] if is_warned else [])
    assert "s3cret" not in "".join(map(str, warnings))
