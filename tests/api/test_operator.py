"""The operator's socket, over the real thing."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
import stat
from typing import TYPE_CHECKING, Any

import pytest

from guard.api.call import call
from guard.api.protocol import REQUEST_BYTES_MAX
from guard.api.server import OperatorServer
from guard.errors import ConfigurationError, NotRunning, OperationRefused, Problem, StateError, Timeout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


async def echo(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"heard": dict(arguments)}


async def refuse(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise OperationRefused("not while the moon is full")


async def misread(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ConfigurationError(Problem("rules/a.yaml", 3, 1, "E001", "bad", "error", "found 1"))


async def fail(_: Mapping[str, Any]) -> Mapping[str, Any]:
    raise ZeroDivisionError


async def hang(_: Mapping[str, Any]) -> Mapping[str, Any]:
    await asyncio.Event().wait()
    return {}


async def large(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"text": "x" * 3_000_000}


async def unspeakable(_: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"what": object()}


HANDLERS = {
    "echo": echo,
    "refuse": refuse,
    "misread": misread,
    "fail": fail,
    "hang": hang,
    "large": large,
    "unspeakable": unspeakable,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "operator.sock"


@pytest.fixture
async def server(path: Path) -> AsyncIterator[OperatorServer]:
    async with OperatorServer(path, HANDLERS, idle_s=0.3, handle_s=0.3, connections_max=3) as running:
        yield running


async def ask(path: Path, op: str, **arguments: Any) -> Mapping[str, Any]:  # noqa: ANN401 - JSON
    return await asyncio.to_thread(call, path, op, **arguments)


async def say(path: Path, line: bytes) -> dict[str, Any]:
    reader, writer = await asyncio.open_unix_connection(str(path), limit=1 << 20)
    writer.write(line)
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.usefixtures("server")
async def test_answer_comes_back_with_the_user_as_actor_whatever_the_caller_claims(path: Path) -> None:
    heard = (await ask(path, "echo", target="sim:X/USDT", actor="ceo"))["heard"]
    assert heard == {"target": "sim:X/USDT", "actor": pwd.getpwuid(os.getuid()).pw_name}


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("op", "message"),
    [("refuse", "moon is full"), ("misread", "rules/a.yaml:3:1"), ("nothing", "knows no operation 'nothing'; it knows echo")],
)
async def test_refusal_reaches_the_caller_with_its_reason(path: Path, op: str, message: str) -> None:
    with pytest.raises(OperationRefused, match=message):
        await ask(path, op)


@pytest.mark.parametrize("op", ["fail", "unspeakable"])
async def test_mistake_of_a_handler_is_told_counted_and_survived(path: Path, server: OperatorServer, op: str) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with pytest.raises(OperationRefused, match="mistake of guard"):
        await ask(path, op)
    assert server.failures == len(told) == 1
    assert isinstance(told[0]["exception"], Exception)
    assert await ask(path, "echo")


@pytest.mark.usefixtures("server")
async def test_handler_that_hangs_is_given_up(path: Path) -> None:
    with pytest.raises(Timeout, match="given up"):
        await ask(path, "hang")


@pytest.mark.usefixtures("server")
async def test_caller_waits_no_longer_than_it_wants(path: Path) -> None:
    with pytest.raises(Timeout, match=r"within 0\.05 s"):
        await ask(path, "hang", timeout_s=0.05)


@pytest.mark.usefixtures("server")
async def test_large_answer_arrives_whole(path: Path) -> None:
    assert len((await ask(path, "large"))["text"]) == 3_000_000


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "line",
    [b"\n", b"{\n", b"[]\n", b"7\n", b'{"op": 5}\n', b'{"op": "echo", "arguments": []}\n', b"\xff\xfe\n", b"[" * 9000 + b"\n"],
)
async def test_malformed_request_is_answered_as_such(path: Path, line: bytes) -> None:
    assert (await say(path, line))["error"] == "malformed"


@pytest.mark.usefixtures("server")
async def test_request_beyond_the_bound_is_refused_on_both_sides(path: Path) -> None:
    assert (await say(path, b"x" * (REQUEST_BYTES_MAX * 3) + b"\n"))["error"] == "malformed"
    with pytest.raises(OperationRefused, match="at most 65536 bytes"):
        call(path, "echo", text="x" * REQUEST_BYTES_MAX)


@pytest.mark.usefixtures("server")
async def test_one_connection_may_ask_again(path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    for number in range(3):
        writer.write(json.dumps({"op": "echo", "arguments": {"n": number}}).encode() + b"\n")
        assert json.loads(await reader.readline())["answer"]["heard"]["n"] == number
    writer.close()
    await writer.wait_closed()


@pytest.mark.usefixtures("server")
async def test_silent_connections_are_cut_and_too_many_are_told_to_try_again(path: Path) -> None:
    silent = [await asyncio.open_unix_connection(str(path)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert (await say(path, b'{"op": "echo"}\n'))["error"] == "busy"
    assert [await reader.read() for reader, _ in silent] == [b"", b"", b""]
    for _, writer in silent:
        writer.close()
        await writer.wait_closed()
    assert await ask(path, "echo")


@pytest.mark.usefixtures("server")
async def test_caller_that_goes_away_harms_nobody(path: Path) -> None:
    for line in (b'{"op": "large"}\n', b'{"op": "hang"}\n', b'{"op": "ec'):
        _, writer = await asyncio.open_unix_connection(str(path))
        writer.write(line)
        await writer.drain()
        writer.transport.abort()
    await asyncio.sleep(0.05)
    assert await ask(path, "echo")


@pytest.mark.usefixtures("server")
async def test_socket_is_for_its_owner_only(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_socket_of_a_dead_guard_is_replaced(path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with pytest.raises(NotRunning):
        call(path, "echo")
    async with OperatorServer(path, HANDLERS):
        assert await ask(path, "echo")


@pytest.mark.usefixtures("server")
async def test_socket_of_a_live_guard_is_not_taken(path: Path) -> None:
    with pytest.raises(StateError, match="another guard answers"):
        await OperatorServer(path, HANDLERS).start()
    assert await ask(path, "echo")


async def test_other_file_in_its_place_is_told_and_kept(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(StateError, match="cannot be made"):
        await OperatorServer(path, HANDLERS).start()
    assert path.read_text() == "precious"


async def test_stop_cuts_callers_and_removes_the_socket(path: Path) -> None:
    server = OperatorServer(path, HANDLERS)
    await server.start()
    waiting = asyncio.create_task(ask(path, "hang"))
    await asyncio.sleep(0.05)
    await server.stop()
    await server.stop()
    with pytest.raises(NotRunning, match="went away"):
        await waiting
    assert not path.exists()


async def test_path_longer_than_the_system_allows_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120) / "operator.sock"
    deep.parent.mkdir()
    async with OperatorServer(deep, HANDLERS):
        assert await ask(deep, "echo")
    assert not deep.exists()


def test_call_without_a_guard_says_how_to_start_one(path: Path) -> None:
    with pytest.raises(NotRunning, match="start it with `guard run`"):
        call(path, "status")


@pytest.mark.parametrize("answer", [b"hello\n", b"{}\n", b'{"ok": false}\n'])
async def test_answer_that_cannot_be_read_is_told(path: Path, answer: bytes) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_unix_server(babble, str(path)):
        with pytest.raises(OperationRefused, match="of one version"):
            await ask(path, "status")
