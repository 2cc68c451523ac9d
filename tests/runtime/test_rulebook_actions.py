"""Rules that post to a webhook of guard.yaml: at a start, and when one of the two changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runtime.test_rulebook import CONFIG, Bench

from guard.errors import ConfigurationError
from guard.runtime.action_watch import lanes_of
from guard.runtime.reloading import ReloadState

if TYPE_CHECKING:
    from pathlib import Path

WITH_BOT = CONFIG + "webhooks: {bot: {url: https://bot.example.org}}\n"
POSTS = "rules:\n  busy: {mode: enforce, when: trades(10s) > 3, level: danger, actions: {danger: [webhook: %s]}}\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.config.write_text(WITH_BOT)
    bench.rules.write_text(POSTS % "bot")
    return bench


def test_rule_that_posts_to_nobody_keeps_a_first_start_from_happening(bench: Bench) -> None:
    bench.rules.write_text(POSTS % "bto")
    with pytest.raises(ConfigurationError, match=r"E070 unknown-webhook.*no webhook 'bto'"):
        bench.start()


async def test_reload_that_names_a_webhook_the_running_guard_has_no_address_of_changes_nothing(bench: Bench) -> None:
    book = bench.start()
    before = book.program.hash
    bench.config.write_text(WITH_BOT.replace("webhooks: {", "webhooks: {late: {url: https://late.example.org}, "))
    bench.rules.write_text(POSTS % "late")
    assert (await book.reload()).state is ReloadState.BROKEN
    assert book.program.hash == before
    assert book.problem is not None
    assert "no webhook 'late' when guard started" in book.problem
    assert "restart guard" in book.problem
    assert bench.start().program.hash != before


async def test_reload_may_use_a_webhook_that_was_there_at_the_start(bench: Bench) -> None:
    bench.rules.write_text(POSTS.replace("[webhook: %s]", "[alert]"))
    book = bench.start()
    bench.rules.write_text(POSTS % "bot")
    program = (await book.reload()).program
    assert program is not None
    assert lanes_of(program) == ["webhook:bot"]
    assert book.problem is None


def test_restart_without_the_webhook_runs_the_last_good_rules_and_says_so(bench: Bench) -> None:
    before = bench.start().program.hash
    bench.config.write_text(CONFIG)
    book = bench.start()
    assert book.program.hash == before
    assert "no webhook 'bot'" in str(book.problem)
