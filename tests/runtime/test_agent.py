"""An agent against a real server: equality by digest, beats of the right age, and every way to lose step."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest
from api.http_bench import A, image, serving
from client.images import quarantine
from hypothesis import given
from hypothesis import strategies as st

from guard.api.blocklist import change, changed, content_digest
from guard.api.following import Event, Events, Followed, OutOfStep
from guard.client import Guard
from guard.client.snapshot import read_snapshot
from guard.errors import StateError
from guard.runtime.agent import Agent, Uplink
from guard.runtime.clock import SystemClock, seeded_random
from guard.runtime.http import secured

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from api.http_bench import Bench

LEASE_NS = 700_000_000


@asynccontextmanager
async def following(bench: Bench, folder: Path, *, url: str = "") -> AsyncIterator[Agent]:
    (folder / "away").mkdir(exist_ok=True)
    uplink = Uplink(url or f"http://127.0.0.1:{bench.port}", lambda: bench.tokens["read"])
    agent = Agent(uplink, folder / "away", SystemClock(), seeded_random(1), lease_ns=LEASE_NS)
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        agent.stop()


async def until(condition: Callable[[], object], within_s: float = 8.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - another task's socket is waited for
            await asyncio.sleep(0.01)


@asynccontextmanager
async def alive(bench: Bench) -> AsyncIterator[None]:
    async def beat() -> None:
        while True:
            bench.publisher.beat()
            await asyncio.sleep(0.05)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()


async def test_what_is_published_there_is_published_here_and_digests_agree(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, alive(bench), following(bench, tmp_path) as agent:
        await until(lambda: agent.health.connected)
        held = quarantine("sim:A/USDT", until_us=bench.clock.now_us() + 60_000_000)
        bench.publish(image(blocks=[held]))
        bot = Guard(tmp_path / "away" / "guard.snapshot")
        await until(lambda: bot.check("sim", "A/USDT", "buy").status == "blocked")
        here, there = read_snapshot(str(tmp_path / "away" / "guard.snapshot")), read_snapshot(str(bench.publisher.path))
        assert here is not None
        assert there is not None
        assert (here.epoch, here.seq, here.blocks, here.on_unknown) == (there.epoch, there.seq, there.blocks, there.on_unknown)
        listed = bench.server.blocklist.current()
        assert listed is not None
        assert agent._followed.digest == listed.digest
        bench.publish(image({"sim:B/USDT": A}))
        await until(lambda: bot.check("sim", "B/USDT", "buy").status == "allowed")
        assert bot.check("sim", "A/USDT", "buy").reason == "not_watched"
        assert agent.health.resyncs == 0


async def test_no_beat_of_guard_is_unknown_within_the_lease_though_the_link_stands(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, following(bench, tmp_path) as agent:
        async with alive(bench):
            await until(lambda: agent.health.connected)
            bot = Guard(tmp_path / "away" / "guard.snapshot")
            await until(lambda: bot.check("sim", "A/USDT", "buy").permitted)
        began = asyncio.get_running_loop().time()
        await until(lambda: bot.check("sim", "A/USDT", "buy").reason == "guard_silent")
        assert asyncio.get_running_loop().time() - began < LEASE_NS / 1e9 + 0.3
        async with alive(bench):
            await until(lambda: bot.check("sim", "A/USDT", "buy").permitted)


class HeldUp:
    """A proxy that passes bytes on only while it is told to."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.open = asyncio.Event()
        self.open.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", self.target)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while data := await source.read(65536):
                    await self.open.wait()
                    sink.write(data)
            sink.close()

        await asyncio.gather(carry(reader, here), carry(there, writer))


async def test_beats_that_were_held_up_are_never_taken_for_fresh(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, alive(bench):
        proxy = HeldUp(bench.port)
        listening = await asyncio.start_server(proxy.take, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        bench.gate.hosts |= {f"127.0.0.1:{port}"}
        async with following(bench, tmp_path, url=f"http://127.0.0.1:{port}") as agent:
            await until(lambda: agent.health.connected)
            bot = Guard(tmp_path / "away" / "guard.snapshot")
            await until(lambda: bot.check("sim", "A/USDT", "buy").permitted)
            proxy.open.clear()
            await asyncio.sleep(2.5)
            assert bot.check("sim", "A/USDT", "buy").reason == "guard_silent"
            held = bench.publisher.silent_us
            bench.publisher.on_published = lambda: None
            proxy.open.set()
            # Two beats wait in the proxy; the newest was made up to a second before.
            seen = []
            for _ in range(20):
                answer = bot.check("sim", "A/USDT", "buy")
                if answer.permitted:
                    seen.append(answer.age_ms)
                await asyncio.sleep(0.005)
            assert all(age is not None and age < LEASE_NS / 1e6 for age in seen)
            assert held is not None
        listening.close()


async def test_a_state_that_is_not_guards_is_read_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, alive(bench), following(bench, tmp_path) as agent:
        await until(lambda: agent.health.connected)
        # A bit that fell over in this process: the next event no longer makes what guard has.
        content: Any = dict(agent._followed.content or {})
        content["markets"] = {**content["markets"], "sim:GHOST/USDT": ["ok", "normal", None, 1, 1]}
        agent._followed.content = content
        bench.publish(image({"sim:A/USDT": A, "sim:C/USDT": A}))
        bot = Guard(tmp_path / "away" / "guard.snapshot")
        await until(lambda: bot.check("sim", "C/USDT", "buy").status == "allowed")
        assert agent.health.resyncs == 1
        assert bot.check("sim", "GHOST/USDT", "buy").reason == "not_watched"


async def test_an_older_ledger_is_not_followed_and_blocks_stand(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, alive(bench), following(bench, tmp_path) as agent:
        held = quarantine("sim:A/USDT", until_us=bench.clock.now_us() + 60_000_000)
        bench.publish(image(blocks=[held]), seq=10)
        bot = Guard(tmp_path / "away" / "guard.snapshot")
        await until(lambda: bot.check("sim", "A/USDT", "buy").status == "blocked")
        bench.publish(image(), seq=4)
        await until(lambda: "told of 3.10" in str(agent.health.problem))
        assert bot.check("sim", "A/USDT", "buy").status == "blocked"


async def test_a_removed_token_ends_the_stream(tmp_path: Path) -> None:
    async with serving(tmp_path) as bench, alive(bench), following(bench, tmp_path) as agent:
        await until(lambda: agent.health.connected)
        bench.file.remove("read")
        await until(lambda: "a token is needed" in str(agent.health.problem))


CONTENTS = st.fixed_dictionaries(
    {
        "markets": st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from(["ok", None, 3]), max_size=2)),
        "blocks": st.lists(
            st.fixed_dictionaries({"id": st.sampled_from("wxyz"), "until_us": st.integers(0, 3)}), unique_by=lambda each: each["id"]
        ).map(lambda blocks: sorted(blocks, key=lambda each: each["id"])),
        "epoch": st.just(1),
        "seq": st.integers(0, 5),
    },
    optional={"mode": st.sampled_from(["alert", None]), "bots": st.dictionaries(st.text(max_size=2), st.booleans())},
)


@given(old=CONTENTS, new=CONTENTS)
def test_a_change_makes_one_state_of_another_whatever_they_are(old: dict[str, Any], new: dict[str, Any]) -> None:
    made = changed(old, json.loads(json.dumps(change(old, new))))
    assert made == new
    assert content_digest(made) == content_digest(new)


@given(st.binary(max_size=300), st.lists(st.integers(1, 20), max_size=20))
def test_bytes_of_whatever_kind_are_split_alike_however_they_come(data: bytes, cuts: list[int]) -> None:
    data += b"\n\nevent: state\nid: 1.2.3\ndata: {}\n\n"
    whole = list(Events().feed(data))
    events, parts, at = Events(), [], 0
    for size in cuts:
        parts += events.feed(data[at : at + size])
        at += size
    assert [*parts, *events.feed(data[at:])] == whole


@given(
    st.sampled_from(["state", "change"]),
    st.text(max_size=20),
    st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists),
)
def test_an_event_that_makes_no_sense_is_never_a_state(kind: str, identity: str, data: Any) -> None:  # noqa: ANN401 - JSON
    followed = Followed()
    with pytest.raises(OutOfStep):
        followed.take(Event(kind, identity, json.dumps(data)))
    assert followed.content is None


def certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "c.pem", folder / "k.pem"
    words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *words, *names, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
async def test_over_tls_only_a_guard_with_the_right_certificate_is_followed(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    key.chmod(0o640)
    with pytest.raises(StateError, match="chmod 600"):
        secured(cert, key)
    key.chmod(0o600)
    async with serving(tmp_path) as bench, alive(bench):
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(bench.server.doors, "localhost", 0, ssl=secured(cert, key))
        port = listening.sockets[0].getsockname()[1]
        bench.gate.hosts |= {f"localhost:{port}"}
        (tmp_path / "away").mkdir()
        for trust, told in ((ssl.create_default_context(cafile=str(cert)), None), (None, "certificate verify failed")):
            uplink = Uplink(f"https://localhost:{port}", lambda: bench.tokens["read"], trust)
            agent = Agent(uplink, tmp_path / "away", SystemClock(), seeded_random(1), lease_ns=LEASE_NS)
            running = asyncio.create_task(agent.run())
            await until(
                lambda agent=agent, told=told: agent.health.connected if told is None else told in str(agent.health.problem)
            )
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            agent.stop()
        listening.close()
