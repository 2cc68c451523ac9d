"""What a reload posts and calls: what a level that stands may order from now on, once, and its end with the rule."""

from __future__ import annotations

import json

from test_pipeline_reload import Desk, program

from guard.model import IsolationState

POSTING = """
rules:
  busy:
    mode: MODE
    when: trades(10s) >= 3
    level: danger
    for: 2s
    clear: {when: trades(10s) == 0, for: 3s}
    actions: {danger: [alert, ACTIONS{quarantine: {for: 30s, release: {when: trades(10s) == 0, for: 20s, probation: 60s}}}]}
"""
POST, OTHER = "{webhook: bot}, ", "{webhook: other}, "


class Posts(Desk):
    """A desk that keeps what is posted."""

    def take(self, decision: object) -> None:
        super().take(decision)  # type: ignore[arg-type]
        posted = getattr(self, "posted", [])
        posted += [
            (each.channel, json.loads(each.body)["event"], each.id)
            for each in decision.deliveries  # type: ignore[attr-defined]
            if each.kind == "webhook"
        ]
        self.posted: list[tuple[str, str, str]] = posted

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(lane.removeprefix("webhook:"), event) for lane, event, _ in self.posted]


def text(mode: str, actions: str) -> str:
    return POSTING.replace("MODE", mode).replace("ACTIONS", actions)


def test_a_webhook_that_was_told_of_a_level_is_not_told_again_when_the_mode_goes_up_but_of_the_quarantine() -> None:
    desk = Posts(text("alert", POST)).trade(20)
    assert desk.events == [("bot", "level")]
    desk.load(program(text("enforce", POST))).trade(2)
    assert desk.events == [("bot", "level"), ("bot", "quarantine")]
    assert desk.state is IsolationState.QUARANTINED


def test_a_webhook_that_is_added_while_a_level_stands_is_told_of_it_at_once_and_the_others_are_not() -> None:
    desk = Posts(text("enforce", POST)).trade(20)
    held = desk.held
    desk.load(program(text("enforce", POST + OTHER))).trade(2)
    assert desk.events == [("bot", "level"), ("other", "level")]
    assert desk.held == held


def test_a_webhook_is_told_of_the_level_when_its_rule_leaves_the_shadow_and_of_its_end_with_the_rule() -> None:
    desk = Posts(text("shadow", POST)).trade(20)
    assert desk.events == []
    desk.load(program(text("alert", POST))).trade(2)
    assert desk.events == [("bot", "level")]
    desk.load(program("rules: {none: {mode: shadow, when: trades(10s) > 99, level: warning}}"))
    assert desk.events == [("bot", "level"), ("bot", "clear")]
