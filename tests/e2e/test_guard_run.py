from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from e2e.world import OWN_RULE, World

from guard.client import Guard
from guard.model import ClearanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PUMPED, CALM = "sim:MOON/USDT", "sim:BTC/USDT"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def bot_orders(world: World) -> list[dict[str, Any]]:
    log = world.state / "caches" / "demo_bot.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_a_pump_is_blocked_told_survived_and_released(world: World) -> None:
    bot = Guard(world.state)

    # Nothing runs yet, and nothing ever has.
    code, _ = world.guard("check", PUMPED)
    assert code == 4

    world.start()
    world.wait("live rows", lambda: world.guard("status")[1].get("markets"), within_s=90)
    world.wait("the quarantine", lambda: any(line.get("state") == "quarantined" for line in world.lines), within_s=180)
    (opening,) = [line for line in world.lines if line.get("state") == "quarantined"]
    assert (opening["market"], opening["rule"]) == (PUMPED, "pump_dump")
    world.wait("the snapshot", lambda: bot.check("sim", "MOON/USDT", "buy").status is ClearanceStatus.BLOCKED)
    assert world.guard("check", PUMPED, "--side", "buy")[0] == 10
    assert world.guard("check", PUMPED, "--side", "sell", "--intent", "close")[0] == 0
    assert world.guard("check", CALM, "--side", "buy")[0] == 0

    # The demo bot is refused exactly there, and trades on elsewhere.
    world.wait("a refusal", lambda: any(o.get("status") == "blocked" for o in bot_orders(world)))
    refused = [order for order in bot_orders(world) if order.get("permitted") is False and order.get("status") == "blocked"]
    assert {order["market"] for order in refused} <= {PUMPED, "MOON/USDT"}
    assert any(order.get("sent") and "MOON" not in order["market"] for order in bot_orders(world))

    # The channel is down: the message waits in the ledger. Then guard dies.
    world.wait("a refused delivery", lambda: world.channel.refused)
    assert not world.channel.titles
    world.kill()
    assert world.guard("check", PUMPED, "--side", "buy")[0] == 10
    world.process = None
    world.wait("silence", lambda: bot.check("sim", "BTC/USDT", "buy").reason == "guard_silent", within_s=10)
    assert world.guard("check", CALM, "--side", "buy")[0] == 4
    assert bot.check("sim", "MOON/USDT", "buy").status is ClearanceStatus.BLOCKED

    # A person can always let the bot trade, with guard dead too.
    assert world.guard("bypass", "--for", "5m", "--reason", "moving house")[0] == 0
    world.wait("the bypass", lambda: bot.check("sim", "MOON/USDT", "buy").permitted, within_s=10)
    assert bot.check("sim", "MOON/USDT", "buy").bypassed
    assert world.guard("bypass", "--end")[0] == 0
    world.wait("the end of the bypass", lambda: not bot.check("sim", "MOON/USDT", "buy").permitted, within_s=10)

    # Started again: the block was never gone, and the message arrives, once.
    world.channel.is_down = False
    seen: set[str] = set()
    world.start()
    world.wait(
        "an answer",
        lambda: (
            seen.add(str(bot.check("sim", "MOON/USDT", "buy").status)) or bot.check("sim", "BTC/USDT", "buy").age_ms is not None
        ),
    )
    assert seen == {"blocked"}
    told = f"{PUMPED} quarantined"
    world.wait("the message", lambda: any(told in title for title in world.channel.titles))

    # Broken rules do not replace good ones, and say so.
    world.own_rules.write_text("rules:\n  busy: {mode: shadow, when: tradez(10s) > 100, level: warning}\n")
    world.wait("the complaint", lambda: world.guard("status")[1].get("rules", {}).get("problem"))
    _, status = world.guard("status")
    assert "own.yaml:2:" in status["rules"]["problem"]
    assert status["rules"]["active"] == 2
    code, document = world.guard("rules", "check", "rules")
    assert code == 1
    (error,) = document["errors"]
    assert error["line"] == 2
    assert "trades" in error["hint"]
    world.own_rules.write_text(OWN_RULE.replace("100000", "200000"))
    world.wait("new rules", lambda: world.guard("status")[1].get("rules", {}).get("problem") is None)

    # A person releases it.
    assert world.guard("quarantine", "release", PUMPED, "--reason", "checked by hand")[0] == 0
    world.wait("the release", lambda: bot.check("sim", "MOON/USDT", "buy").status is not ClearanceStatus.BLOCKED, within_s=10)
    _, history = world.guard("quarantine", "history")
    assert "checked by hand" in json.dumps(history)

    assert world.stop() == 0, world.lines[-1]
    world.wait("the summary", lambda: world.lines[-1]["type"] == "summary") if world.process is None else None
    assert max(count for title, count in world.channel.titles.items() if told in title) == 1
    assert bot.check("sim", "BTC/USDT", "buy").reason == "guard_silent"
