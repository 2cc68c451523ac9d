"""Webhooks and calls on the command line: tried, counted, and never carried out by a replay."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import serving
from cli.test_board import shown as board_of
from cli.test_board import status as whole
from cli.test_replay import T0_MS

from guard.api.server import OperatorServer
from guard.cli.doctor import _channels
from guard.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RULES = """
rules:
  busy: {mode: %s, when: trades(10s) >= 3, level: danger, actions: {danger: [%s]}}
"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    rows = [f"AST/BTC,{T0_MS + 1000 * at},buy,1,1" for at in range(60)]
    (tmp_path / "tape.csv").write_text("\n".join(["symbol,timestamp,side,price,amount", *rows, ""]))
    return tmp_path


def replayed(capsys: pytest.CaptureFixture[str], folder: Path, mode: str, actions: str, *words: str) -> list[dict[str, Any]]:
    (folder / "own.yaml").write_text(RULES % (mode, actions))
    code, out, err = run(capsys, "--json", "replay", str(folder / "tape.csv"), "--rules", str(folder / "own.yaml"), *words)
    assert code == 0, out + err
    return [json.loads(line) for line in out.splitlines()]


def test_replay_counts_what_it_would_order_and_decides_the_same(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_webhook = replayed(capsys, tape, "enforce", "alert, quarantine, webhook: my_bot")
    without = replayed(capsys, tape, "enforce", "alert, quarantine")
    assert with_webhook[-1]["actions"] == {"webhook:my_bot": {"ordered": 1}}
    assert "actions" not in without[-1]
    assert with_webhook[-1]["digest"] == without[-1]["digest"]
    assert with_webhook[:-1] == without[:-1]
    shadow = replayed(capsys, tape, "shadow", "webhook: my_bot")
    assert shadow[-1]["actions"] == {"webhook:my_bot": {"withheld": 1}}


def test_replay_tells_a_person_that_it_posted_nothing(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tape / "own.yaml").write_text(RULES % ("alert", "webhook: my_bot"))
    _, out, _ = run(capsys, "replay", str(tape / "tape.csv"), "--rules", str(tape / "own.yaml"))
    assert "webhook:my_bot: a replay posts and calls nothing; live it would be 1 ordered" in out


def configured(folder: Path, url: str) -> str:
    text = f"version: 1\nexchanges: {{sim: {{connector: sim}}}}\nwebhooks: {{bot: {{url: '{url}', secret: 0123456789}}}}\n"
    (folder / "guard.yaml").write_text(text)
    return str(folder / "guard.yaml")


def test_webhook_is_tried_by_its_name_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as hook:
        path = configured(tmp_path, f"{hook.url}/s3cretpath")
        code, out, _ = run(capsys, "alerts", "test", "webhook:bot", "--config", path)
        assert (code, out.split()) == (0, ["webhook:bot", "delivered"])
        (document,) = hook.documents
        assert (document["schema"], document["event"]) == (1, "test")
        assert hook.requests[0][1]["Guard-Signature"].startswith("t=")
        hook.usual = (404, {}, b"no such hook /s3cretpath")
        code, out, _ = run(capsys, "--json", "alerts", "test", "webhook:bot", "--config", path)
        found = json.loads(out)
        assert code == found["exit"] == 1
        assert found["channels"]["webhook:bot"]["error"].startswith("it answers 404")
        assert "s3cretpath" not in out
        code, out, _ = run(capsys, "alerts", "test", "--config", path)
        assert (code, len(hook.requests)) == (1, 2)
    code, _, err = run(capsys, "alerts", "test", "bot", "--config", path)
    assert code == 2
    assert "it has: webhook:bot" in err


def test_outbox_shows_lanes_and_their_last_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"webhook:my_bot_with_a_long_name": {"delivered": 2, "dead": 1}, "people": {"pending": 1}}
    row = {
        "ts": "2027-01-31T12:00:00.250Z",
        "id": "1",
        "channel": "call:a.b",
        "title": "busy: sim:X/USDT is danger",
        "error": "old",
    }
    rows = [{**row, "state": "delivered", "attempts": 2, "output": "done"}, {**row, "state": "dead", "attempts": 1, "output": ""}]
    answer = {"actions": rows, "channels": counts, "errors": {"webhook:my_bot_with_a_long_name": "it answers 410 \x1b[31m"}}

    async def outbox(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        del arguments
        return answer

    async def serve(ready: threading.Event, end: threading.Event) -> None:
        async with OperatorServer(tmp_path / "operator.sock", {"alerts.outbox": outbox}):
            ready.set()
            await asyncio.to_thread(end.wait, 20)

    ready, end = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve(ready, end)))
    thread.start()
    try:
        assert ready.wait(10)
        code, out, _ = run(capsys, "alerts", "outbox", "--state", str(tmp_path))
    finally:
        end.set()
        thread.join(10)
    assert code == 0
    assert out.splitlines() == [
        "channel                            pending  delivered       dead",
        "people                                   1          0          0",
        "webhook:my_bot_with_a_long_name          0          2          1",
        "    last error: it answers 410 ?[31m",
        "2027-01-31T12:00:00Z  call:a.b  busy: sim:X/USDT is danger  delivered after 2 attempts: done",
        "2027-01-31T12:00:00Z  call:a.b  busy: sim:X/USDT is danger  dead: old",
    ]


def status(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    failing = {"failing": True, "delivered": 0, "failed": 5, "dead": 2, "error": "it answers 500"}
    return {"outbox": {"webhook:bot": {"dead": 2}}, "channels": {"webhook:bot": failing, "call:a": failing}, **changes}


def test_doctor_names_a_lane_that_fails_and_how_to_try_it() -> None:
    found = {finding.what: finding for finding in _channels(status())}
    assert found["webhook:bot"].found == "0 delivered, 0 waiting, 2 undeliverable; it fails: it answers 500"
    assert (found["webhook:bot"].is_well, found["webhook:bot"].mend) == (False, "guard alerts test webhook:bot")
    assert found["call:a"].mend == "guard alerts outbox"


def test_board_shows_a_lane_that_fails_and_refused_orders() -> None:
    text = board_of(whole(**status(), actions={"webhook:bot": {"ordered": 3, "refused": 7}}))
    assert "webhook:bot does not deliver: it answers 500" in text
    assert "webhook:bot: 7 orders refused, too many in an hour" in text
