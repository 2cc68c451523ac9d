"""``guard check --bot``: what the bot's policy makes of the same state, with the exit codes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from client.images import image, quarantine, view

from guard.cli.main import main
from guard.model import NEW_US, BotPolicy, ListingAnswer, Mode, NewListings
from guard.runtime.clock import SystemClock
from guard.runtime.publish import SnapshotPublisher

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000
BOTS = {
    "*": BotPolicy(),
    "watching": BotPolicy(mode=Mode.OBSERVE),
    "careful": BotPolicy(new_listings=NewListings(ListingAnswer.REFUSE, 24 * HOUR)),
    "small": BotPolicy(new_listings=NewListings(ListingAnswer.SHRINK, 24 * HOUR, 0.1)),
    "critical": BotPolicy(min_level="critical"),
    "buyer": BotPolicy(sides=("buy",)),
    "okx": BotPolicy(exchanges=("okx",)),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "snapshot"
    folder.mkdir(parents=True)
    clock = SystemClock()
    publisher = SnapshotPublisher(folder, clock)
    markets = {"sim:X/USDT": view(), "sim:N/USDT": view("new")._replace(listed_until_us=clock.now_us() - HOUR + NEW_US)}
    held = quarantine(until_us=clock.now_us() + HOUR)
    publisher.publish(image(held, markets=markets, bots=BOTS), epoch=1, seq=1, durable=True)
    publisher.beat()
    return folder.parent


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("sim:X/USDT --bot watching", 0, "this bot's own mode does not refuse (bots: in guard.yaml)"),
        ("sim:X/USDT --bot critical", 0, "its level do not count for this bot"),
        ("sim:X/USDT:USDT --bot buyer --side sell", 0, "not held back on this side"),
        ("sim:X/USDT --bot okx", 0, "not held back on this exchange"),
        ("sim:X/USDT --bot careful", 10, "pump_dump: up 9 %"),
        ("sim:X/USDT --bot oxk", 10, "guard.yaml has no bot 'oxk'"),
        ("sim:N/USDT", 0, "allowed"),
        ("sim:N/USDT --bot careful", 10, "a new listing, by the policy of this bot until"),
        ("sim:N/USDT --bot small", 0, "open at most 10% of the usual size"),
        ("sim:N/USDT --bot careful --intent close", 0, "close permitted"),
    ],
)
def test_check_tells_what_the_policy_of_a_bot_does(
    state: Path, capsys: pytest.CaptureFixture[str], words: str, code: int, sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", *words.replace("sim:X/USDT:USDT", "sim:X/USDT").split(), "--state", str(state), *open_intent(words)])
    assert int(ended.value.code or 0) == code
    assert sentence in capsys.readouterr().out


def open_intent(words: str) -> list[str]:
    """Selling spot closes: say that the order opens."""
    return ["--intent", "open"] if "--side sell" in words else []


def test_document_has_the_reason_and_the_end(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "sim:N/USDT", "--bot", "careful", "--json", "--state", str(state)])
    document = json.loads(capsys.readouterr().out)
    assert (document["reason"], document["permitted"], document["would_block"]) == ("new_listing", False, True)
    assert document["until"].endswith("Z")
