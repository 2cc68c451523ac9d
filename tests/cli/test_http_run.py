"""A real guard with its HTTP interface: orders and their audit, the examples of docs/http.md, the metrics that dashboards name."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cli.http_page import PAGE, answer, examples, masked
from cli.test_run import environment, until

from guard.api.call import call
from guard.client import Guard
from guard.client.clock import pause
from guard.client.places import locate
from guard.model import ClearanceStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "monitoring"
GUARD = [sys.executable, "-m", "guard"]
CONFIG = """\
version: 1
mode: enforce
rules: [guard:pump_dump]
exchanges:
  sim:
    connector: sim
    markets: ["*/USDT"]
    options: {seed: 7, symbols: [BTC/USDT, MOON/USDT], schedule: [], bot: false}
bots: {careful: {on_unknown: {not_watched: refuse}}}
alerts: {channels: {people: {url: "json://127.0.0.1:9/people"}}}
http: {listen: "127.0.0.1:0", unix: http.sock}
"""


class Served:
    """The guard, its folder, port and tokens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".guard"
        (folder / "guard.yaml").write_text(CONFIG)
        self.log = folder / "run.log"
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(
                [*GUARD, "run"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=errors
            )
        self.tokens: dict[str, str] = {}
        self.port = 0
        try:
            until(self._ready, within_s=60)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        for scope in ("read", "operate", "admin"):
            self.tokens[scope] = json.loads(self.guard("--json", "token", "add", f"{scope}-token", "--scope", scope)[1])["token"]

    def _ready(self) -> bool:
        try:
            found = call(locate(self.state).socket, "status")
        except Exception:  # noqa: BLE001 - it is not there yet
            return False
        addresses = [each for each in found["http"]["addresses"] if each.startswith("http")]
        if not addresses or found["http"]["unready"]:
            return False
        self.port = int(addresses[0].rpartition(":")[2])
        return True

    def guard(self, *words: str) -> tuple[int, str]:
        found = subprocess.run(
            [*GUARD, *words], cwd=self.folder, env=environment(), capture_output=True, text=True, check=False, timeout=60
        )
        return found.returncode, found.stdout or found.stderr

    @property
    def variables(self) -> dict[str, str]:
        """What the examples of docs/http.md call the address and the tokens."""
        return {"URL": f"http://127.0.0.1:{self.port}", **{name.upper(): text for name, text in self.tokens.items()}}

    def ask(self, method: str, path: str, body: Any = None, *, scope: str = "read") -> tuple[int, str]:  # noqa: ANN401 - JSON
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"Authorization": f"Bearer {self.tokens[scope]}"}
            if body is not None:
                headers["Content-Type"] = "application/json"
            link.request(method, path, None if body is None else json.dumps(body), headers)
            answer = link.getresponse()
            return answer.status, answer.read().decode()
        finally:
            link.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    found = Served(tmp_path_factory.mktemp("served"))
    yield found
    found.process.send_signal(signal.SIGTERM)
    assert found.process.wait(30) == 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_examples_of_the_page_answer_what_the_page_shows(served: Served) -> None:
    found = examples(PAGE.read_text(encoding="utf-8"))
    assert len(found) > 8
    for command, shown in found:
        assert masked(answer(command, served.variables)) == masked(shown), command


def test_an_order_over_http_is_in_the_ledger_under_its_tokens_name_and_bots_see_it(served: Served) -> None:
    bot = Guard(served.state)
    order = {"target": "sim:MOON/USDT", "for": "10m", "reason": "news"}
    assert served.ask("POST", "/v1/quarantines", order, scope="read")[0] == 403
    status, text = served.ask("POST", "/v1/quarantines", order, scope="operate")
    assert status == 200, text
    answer = json.loads(text)
    assert bot.check("sim", "MOON/USDT", "buy").status is ClearanceStatus.BLOCKED
    assert bot.check("sim", "MOON/USDT", "buy").seq >= answer["seq"]
    assert json.loads(served.ask("GET", "/v1/check?exchange=sim&symbol=MOON/USDT&side=buy")[1])["status"] == "blocked"
    assert json.loads(served.ask("GET", "/v1/check?exchange=sim&symbol=MOON/USDT&side=sell")[1])["permitted"] is True

    # Who may hold may not release.
    release = {"target": "sim:MOON/USDT", "reason": "looked at it"}
    assert served.ask("POST", "/v1/quarantines/release", release, scope="operate")[0] == 403
    assert served.ask("POST", "/v1/quarantines/release", release, scope="admin")[0] == 200
    assert bot.check("sim", "MOON/USDT", "buy").status is not ClearanceStatus.BLOCKED
    history = json.loads(served.guard("--json", "quarantine", "history")[1])["history"]
    assert [row["actor"] for row in history[:2]] == ["token:admin-token", "token:operate-token"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"target": "nowhere:A/USDT", "for": "10m", "reason": "x"}, 409),
        ({"target": "sim:MOON/USDT", "for": "10 minutes", "reason": "x"}, 409),
        ({"target": "sim:MOON/USDT", "for": 10, "reason": "x"}, 409),
        ({"target": "sim:MOON/USDT", "for_us": -1, "reason": "x"}, 409),
        ({"target": ["sim:MOON/USDT"], "for": "10m", "reason": "x"}, 409),
        ({"target": "sim:MOON/USDT", "for": "10m"}, 409),
        ({}, 409),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_why_in_text(served: Served, body: dict[str, Any], status: int) -> None:
    code, text = served.ask("POST", "/v1/quarantines", body, scope="operate")
    assert code == status
    assert text.strip()
    assert not text.startswith("{")


def names_of(expression: str) -> set[tuple[str, frozenset[str]]]:
    """Return the metrics of an expression with the labels that it names."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    found = set()
    for match in re.finditer(r"\b((?:guard|up)[a-z_]*)(?:\{([^}]*)\})?", bare):
        labels = re.findall(r"([a-z_]+)\s*[=!]", match.group(2) or "")
        found.add((match.group(1), frozenset(labels)))
    return found


def scraped(served: Served) -> dict[str, set[str]]:
    """Return the metrics of a scrape with their labels."""
    status, text = served.ask("GET", "/metrics")
    assert status == 200
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:4]
            # A counter without a sample yet is announced without its ending.
            found.setdefault(name if kind != "counter" or name.endswith("_total") else f"{name}_total", set())
        elif not line.startswith("#"):
            name, _, labels = line.partition(" ")[0].partition("{")
            found.setdefault(name, set()).update(re.findall(r"([a-z_]+)=", labels))
    return found


def test_dashboard_and_alerts_name_only_what_a_running_guard_tells(served: Served) -> None:
    # One request each, so that counters have samples.
    served.ask("GET", "/v1/check?exchange=sim&symbol=MOON/USDT&bot=careful")
    pause(1.1)
    known = scraped(served)
    dashboard = json.loads((EXAMPLES / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len(rules) == 6
    expressions += [rule["expr"] for rule in rules]
    for expression in expressions:
        assert expression.count("(") == expression.count(")")
        names = names_of(expression)
        assert names, expression
        for name, labels in names - {("up", frozenset({"job"}))}:
            assert name in known, f"{name} of {expression}"
            assert labels - {"instance", "job"} <= known[name], expression
    legends = [(target["expr"], target["legendFormat"]) for panel in dashboard["panels"] for target in panel["targets"]]
    for expression, legend in legends:
        for label in re.findall(r"\{\{(\w+)\}\}", legend):
            assert any(label in known[name] or not known[name] for name, _ in names_of(expression)), (expression, legend)
    assert "careful" in served.ask("GET", "/metrics")[1]


def test_what_a_feed_costs_and_misses_is_scraped(served: Served) -> None:
    text = served.ask("GET", "/metrics")[1]
    found = dict(re.findall(r'^guard_feed_(\w+)\{exchange="sim"\} (\S+)$', text, re.MULTILINE))
    assert {"gap_seconds_total", "bad_frames_total", "stalls_total", "fallbacks_total"} <= set(found)
    assert float(found["frames_total"]) > float(found["fallbacks_total"]) > 0  # ccxt reads the answers to requests at least
    assert 0 < float(found["rest_share_used"]) <= 1


def test_the_owner_needs_no_token_on_the_unix_socket(served: Served) -> None:
    link = http.client.HTTPConnection("guard")
    link.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.sock.connect(str(served.folder / "http.sock"))
    link.request("GET", "/v1/quarantines")
    answer = link.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, {"quarantines": [], "market_wide": []})
    link.close()
    assert (served.folder / "http.sock").stat().st_mode & 0o777 == 0o660
    assert (served.state / "tokens.json").stat().st_mode & 0o777 == 0o600


def test_the_status_tells_of_the_interface_and_the_log_holds_no_token(served: Served) -> None:
    found = json.loads(served.guard("--json", "status")[1])["http"]
    assert found["tokens"] == 3
    assert found["unready"] == []
    assert found["problem"] is None
    assert found["failures"] == 0
    assert not any(token[6:] in served.log.read_text() for token in served.tokens.values())
