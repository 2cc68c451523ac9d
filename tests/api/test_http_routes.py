"""Every route, scope and method; hosts, origins and content types; and what errors look like."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from api.http_bench import A, image, serving
from client.images import quarantine

from guard.api.routes import ROUTES
from guard.api.tokens import Scope
from guard.client import Guard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from api.http_bench import Bench

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
PATHS = sorted({route.path for route in ROUTES})
QUERY = {"/v1/check": "?exchange=sim&symbol=A/USDT", "/v1/stream": ""}
LISTS = ("/v1/blocklist", "/v1/stream", "/v1/freqtrade/sim/pairlist")
BODY = b'{"target": "sim:A/USDT"}'


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(tmp_path) as found:
        yield found


def shown(path: str) -> str:
    return path.replace("{exchange}", "sim") + QUERY.get(path, "")


def expected(path: str, method: str, scope: Scope | None) -> int:
    routes = {route.method: route for route in ROUTES if route.path == path}
    asked = "GET" if method == "HEAD" and path != "/v1/stream" else method
    if asked not in routes:
        return 405
    needed = routes[asked].scope
    if needed is None:
        return 200
    if scope is None:
        return 401
    return 200 if scope >= needed else 403


@pytest.mark.parametrize("path", PATHS)
async def test_every_method_and_scope_of_a_route_gets_what_its_row_says(bench: Bench, path: str) -> None:
    found, wanted = {}, {}
    for number, method in enumerate(METHODS):
        for scope in (None, *Scope):
            body = BODY if method in {"POST", "PUT", "PATCH"} else None
            name = None if scope is None else str(scope)
            # Each try without a token comes from an address of its own: ten a minute are told apart from rates.
            answer = await bench.ask(method, shown(path), scope=name, body=body, source=f"127.0.0.{number + 2}")
            found[method, name] = answer.status
            wanted[method, name] = expected(path, method, scope)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert answer.status < 400 or answer.is_text
    assert found == wanted
    assert not bench.failed


async def test_no_route_is_open_to_everybody_but_health() -> None:
    assert {route.path for route in ROUTES if route.scope is None} == {"/healthz", "/readyz"}
    assert {route.scope for route in ROUTES if route.writes} == {Scope.OPERATE, Scope.ADMIN}
    assert {route.path for route in ROUTES if route.writes and route.scope is Scope.OPERATE} == {
        "/v1/quarantines",
        "/v1/quarantines/extend",
    }


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/check/", "//v1/check", "/v1/../healthz", "/v1/freqtrade/a/b/pairlist", "/V1/check"]
)
async def test_what_is_no_route_is_not_found_and_told_in_text(bench: Bench, path: str) -> None:
    answer = await bench.ask("GET", path, scope="admin")
    assert (answer.status, answer.is_text) == (404, True)


FORGED = {
    "another host": ({"Host": "evil.example:8787"}, 421),
    "a host that is rebound to this machine": ({"Host": "guard.evil.example"}, 421),
    "the right host with another port": ({"Host": "127.0.0.1:1"}, 421),
    "no host": ({"Host": ""}, 421),
    "another origin": ({"Origin": "https://evil.example"}, 403),
    "no origin worth the name": ({"Origin": "null"}, 403),
    "a request that a page sends": ({"Sec_Fetch_Site": "cross-site"}, 403),
    "a page of a neighbour": ({"Sec_Fetch_Site": "same-site"}, 403),
}
WRITES = [route for route in ROUTES if route.writes]


@pytest.mark.parametrize(("headers", "status"), FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("path", [*(route.path for route in WRITES), "/v1/check", "/v1/blocklist", "/metrics", "/healthz"])
async def test_what_a_web_page_may_have_sent_is_refused(bench: Bench, path: str, headers: dict[str, str], status: int) -> None:
    is_write = path in {route.path for route in WRITES}
    answer = await bench.ask("POST" if is_write else "GET", path, scope="admin", body=BODY if is_write else None, **headers)
    assert answer.status in ({status} if headers.get("Host", "x") else {400, 421})
    assert answer.is_text
    assert bench.calls == []


@pytest.mark.parametrize("path", [route.path for route in WRITES])
@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
)
async def test_a_form_of_a_web_page_writes_nothing(bench: Bench, path: str, kind: str) -> None:
    answer = await bench.ask("POST", path, scope="admin", body=BODY, Content_Type=kind)
    assert (answer.status, answer.is_text) == (415, True)
    assert bench.calls == []


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'"x"', b"{" * 5_000, b"\xff\xfe"])
async def test_a_body_that_is_no_object_is_told_so(bench: Bench, body: bytes) -> None:
    answer = await bench.ask("POST", "/v1/quarantines", scope="operate", body=body)
    assert (answer.status, answer.is_text) == (400, True)
    assert bench.calls == []


async def test_an_order_carries_the_tokens_name_and_nobody_signs_for_another(bench: Bench) -> None:
    answer = await bench.ask("POST", "/v1/quarantines", scope="operate", body=b'{"target": "sim:A/USDT", "actor": "root"}')
    assert json.loads(answer.body) == {"seq": 7}
    assert bench.calls == [("quarantine.add", {"target": "sim:A/USDT", "actor": "token:operate"})]


async def test_a_check_answers_what_the_client_answers(bench: Bench) -> None:
    answer = await bench.ask("GET", "/v1/check?market=sim:A/USDT&side=buy&bot=careful")
    found = json.loads(answer.body)
    clearance = Guard(bench.publisher.path, "careful").check("sim", "A/USDT", "buy")
    assert found.pop("age_ms") < 5_000
    assert {name: found[name] for name in clearance._fields if name != "age_ms"} == {
        name: value for name, value in clearance._asdict().items() if name != "age_ms"
    }
    assert (found["market"], found["intent"]) == ("sim:A/USDT", "open")


async def test_a_bots_own_policy_counts_and_strangers_share_that_of_all(bench: Bench) -> None:
    found = {}
    for bot in ("careful", "someone", ""):
        answer = await bench.ask("GET", f"/v1/check?exchange=sim&symbol=NEW/USDT&bot={bot}")
        found[bot] = json.loads(answer.body)["permitted"]
    assert found == {"careful": False, "someone": True, "": True}
    assert {bot for bot, _ in bench.checks.counts} == {"careful", "*"}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "exchange=sim",
        "symbol=A/USDT",
        "market=nonsense",
        "exchange=sim&symbol=A/USDT&sid=buy",
        "exchange=sim&symbol=A/USDT&side=short",
        "exchange=sim&symbol=A/USDT&intent=steal",
        "exchange=sim&exchange=x&symbol=A/USDT",
        "exchange=sim&symbol=" + "A" * 300,
        "exchange=sim&symbol=A%0d%0aX",
        "&".join(f"a{n}=1" for n in range(40)),
        "exchange=%ff&symbol=A/USDT",
    ],
)
async def test_a_question_that_asks_nothing_is_refused_in_text(bench: Bench, query: str) -> None:
    answer = await bench.ask("GET", f"/v1/check?{query}")
    assert (answer.status, answer.is_text) == (400, True)


@pytest.mark.parametrize("path", LISTS)
async def test_a_list_is_never_older_than_guards_lease_and_its_errors_are_never_json(bench: Bench, path: str) -> None:
    assert (await bench.ask("GET", path)).status == 200
    bench.publisher.beat(age_us=bench.publisher.lease_us + 1)
    answer = await bench.ask("GET", path)
    assert (answer.status, answer.is_text) == (503, True)
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(answer.body)
    for scope, headers in ((None, {}), ("read", {"Host": "evil"}), ("read", {"Origin": "https://evil"})):
        found = await bench.ask("GET", path, scope=scope, **headers)
        assert found.status >= 400
        assert found.is_text


async def test_freqtrades_list_is_what_the_client_answers_to_each_bot(bench: Bench) -> None:
    bench.publish(image(blocks=[quarantine("sim:A/USDT", until_us=bench.clock.now_us() + 60_000_000)]))
    found = {}
    for bot in ("", "loose", "careful", "someone"):
        answer = await bench.ask("GET", f"/v1/freqtrade/sim/pairlist?mode=blacklist&bot={bot}")
        assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (200, "application/json")
        refused = not Guard(bench.publisher.path, bot or None).check("sim", "A/USDT", "buy").permitted
        found[bot] = json.loads(answer.body)["pairs"]
        assert found[bot] == (["A/USDT"] if refused else [])
    assert found["loose"] == []
    assert found[""] == ["A/USDT"]


async def test_the_blocklist_is_given_again_only_when_it_changed(bench: Bench) -> None:
    first = await bench.ask("GET", "/v1/blocklist")
    name = first.headers["etag"]
    assert (await bench.ask("GET", "/v1/blocklist", If_None_Match=name)).status == 304
    # Scores move all the time and change no answer.
    bench.publish(image({"sim:A/USDT": A._replace(score=0.7)}), seq=bench.seq)
    again = await bench.ask("GET", "/v1/blocklist", If_None_Match=name)
    assert (again.status, again.body) == (304, b"")
    bench.publish(image({"sim:A/USDT": A._replace(level="warning")}), seq=bench.seq)
    assert (await bench.ask("GET", "/v1/blocklist", If_None_Match=name)).status == 200


async def test_the_status_names_no_channel_to_a_token_that_only_reads(bench: Bench) -> None:
    for path in ("/v1/status", "/metrics"):
        assert b"secret-channel" not in (await bench.ask("GET", path, scope="read")).body
    assert b"secret-channel" in (await bench.ask("GET", "/v1/status", scope="operate")).body


async def test_readiness_says_what_is_missing(bench: Bench) -> None:
    assert (await bench.ask("GET", "/readyz", scope=None)).body == b"ready\n"
    bench.unready = ["ledger", "feeds"]
    answer = await bench.ask("GET", "/readyz", scope=None)
    assert (answer.status, answer.body) == (503, b"not ready: ledger, feeds\n")
    assert (await bench.ask("GET", "/healthz", scope=None)).status == 200


async def test_no_answer_and_no_log_holds_a_token(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    secret = bench.tokens["admin"]
    wrong = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    raw = [
        f"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {wrong}\r\n\r\n",
        f"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {secret}\x00\r\n\r\n",
        f"GET /v1/status HTTP/9.9\r\nAuthorization: Bearer {secret}\r\n\r\n",
        f"GET /v1/status?token={secret} HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\n\r\n",
        f"GET /v1/check?token={secret} HTTP/1.1\r\nHost: 127.0.0.1:{bench.port}\r\nAuthorization: Bearer {secret}\r\n\r\n",
        f"Bearer {secret}\r\n\r\n",
    ]
    for each in raw:
        answer = await bench.send(each.encode())
        assert answer.status in {400, 401}
        assert secret[6:] not in answer.body.decode()
        assert wrong[6:] not in answer.body.decode()
        assert answer.is_text
    assert secret[6:] not in caplog.text


async def test_a_token_counts_and_ends_without_a_restart(bench: Bench) -> None:
    bench.tokens["new"] = bench.file.add("new", Scope.READ, b"n" * 32, bench.clock.now_us())
    bench.watch._look_us = 0
    assert (await bench.ask("GET", "/v1/blocklist", scope="new")).status == 200
    bench.tokens["newer"] = bench.file.rotate("new", b"m" * 32, bench.clock.now_us(), keep_us=60_000_000)
    bench.watch._look_us = 0
    assert [(await bench.ask("GET", "/v1/blocklist", scope=name)).status for name in ("new", "newer")] == [200, 200]
    bench.file.rotate("new", b"l" * 32, bench.clock.now_us())
    bench.watch._look_us = 0
    assert [(await bench.ask("GET", "/v1/blocklist", scope=name)).status for name in ("new", "newer")] == [401, 401]
