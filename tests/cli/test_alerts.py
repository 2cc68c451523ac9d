"""``guard alerts`` against real channels and a real operator's socket."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from alerts.support import serving

from guard.api.server import OperatorServer
from guard.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG = """\
version: 1
exchanges: {{sim: {{connector: sim}}}}
alerts:
  channels: {channels}
"""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def configured(folder: Path, channels: str) -> str:
    path = folder / "guard.yaml"
    path.write_text(CONFIG.format(channels=channels))
    return str(path)


def test_all_channels_are_tried_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as well, serving() as ill:
        ill.usual = (500, {}, b"")
        channels = f'{{good: {{url: "json://127.0.0.1:{well.port}"}}, bad: {{url: "json://127.0.0.1:{ill.port}"}}}}'
        code, out, _ = run(capsys, "alerts", "test", "--config", configured(tmp_path, channels))
    assert code == 1
    assert "good             delivered" in out
    assert "bad              FAILED" in out
    assert "500" in out
    (document,) = well.documents
    assert document["title"].startswith("guard test message for channel good [")


def test_one_channel_is_tried_alone_and_told_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as well, serving() as other:
        channels = f'{{good: {{url: "json://127.0.0.1:{well.port}"}}, other: {{url: "json://127.0.0.1:{other.port}"}}}}'
        code, out, _ = run(capsys, "--json", "alerts", "test", "good", "--config", configured(tmp_path, channels))
        assert other.requests == []
    assert code == 0
    assert json.loads(out) == {"schema": 1, "channels": {"good": {"delivered": True, "error": ""}}, "exit": 0}


def test_secret_is_read_from_the_environment_and_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_URL", "nosuchservice://canary-token/canary")
    code, out, err = run(capsys, "alerts", "test", "--config", configured(tmp_path, '{hook: {url: "${env:HOOK_URL}"}}'))
    assert code == 1
    assert "nosuchservice:// is not a service" in out
    assert "canary" not in out + err


def test_bad_option_of_one_channel_does_not_hide_the_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as well:
        channels = f'{{good: {{url: "json://127.0.0.1:{well.port}"}}, bad: {{url: "json://127.0.0.1:1/?verify=no"}}}}'
        code, out, _ = run(capsys, "alerts", "test", "--config", configured(tmp_path, channels))
    assert code == 1
    assert "good             delivered" in out
    assert "'verify' is not allowed" in out


def test_unknown_channel_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "alerts", "test", "pager", "--config", configured(tmp_path, '{hook: {url: "json://x"}}'))
    assert code == 2
    assert "it has: hook" in err


def test_no_channel_at_all_is_a_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "alerts", "test", "--config", configured(tmp_path, "{}"))
    assert code == 1
    assert "names no channel" in out


def test_missing_configuration_exits_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = run(capsys, "alerts", "test", "--config", str(tmp_path / "nowhere.yaml"))
    assert code == 3


def test_outbox_without_a_guard_exits_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "alerts", "outbox", "--state", str(tmp_path))
    assert code == 4
    assert "no live guard" in err


class _Guard:
    """An operator's socket in a thread."""

    def __init__(self, folder: Path, channels: Mapping[str, Mapping[str, int]]) -> None:
        self._folder = folder
        self._channels = channels
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._ready.wait(5)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async def outbox(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
            del arguments
            return {"channels": self._channels}

        server = OperatorServer(self._folder / "operator.sock", {"alerts.outbox": outbox})
        await server.start()
        self._ready.set()
        await self._end.wait()
        await server.stop()


def test_outbox_shows_counts_by_channel_and_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _Guard(tmp_path, {"slack": {"pending": 2, "dead": 1}, "mail": {"delivered": 7}}):
        code, out, _ = run(capsys, "alerts", "outbox", "--state", str(tmp_path))
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["channel", "pending", "delivered", "dead"],
        ["mail", "0", "7", "0"],
        ["slack", "2", "0", "1"],
    ]


def test_outbox_as_json_is_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with _Guard(tmp_path, {"slack": {"pending": 2}}):
        code, out, _ = run(capsys, "--json", "alerts", "outbox", "--state", str(tmp_path))
    assert (code, json.loads(out)) == (0, {"schema": 1, "channels": {"slack": {"pending": 2}}})
